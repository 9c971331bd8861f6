"""One run of the load against a server with its worker and projections beside it."""

import asyncio
import json
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psycopg
from msgspec import Struct
from pydantic import SecretStr

from benchmarks.ready import until_ready
from benchmarks.shoppers import DAY, record
from benchmarks.stage import Stage
from demo.children import Child
from deploy.embedded.ports import find_free_ports
from deploy.priority import give_way
from ledger.application import Ledger
from ledger.errors import LedgerError
from ledger.received import received
from ledger.settings import Settings
from schemas.decode import decode_record
from streams.topics import ensure_topics

MEMBERS = 2_000
PURCHASES = 20
"""Of each member before: some months of a weekly shopper."""

PER_SECOND = 300
"""Calls of the open load."""

CLIENTS = 32
"""Of the closed load."""

FED_PER_SECOND = 1_000
FED_SATURATING = 100_000
"""More than any machine produces: the worker then takes what it can."""

WARM_SECONDS = 25
"""Not counted: until a broker that has just started has compiled itself, and what waited meanwhile
is through."""

READY_SECONDS = 60.0

LOCUST = Path(".venv-load") / "bin" / "locust"
"""Made by `make bench-api`, apart from all else: it brings a web framework of its own."""


class Calls(Struct, frozen=True):
    """Of one class of calls: how many, and their milliseconds."""

    count: int
    p50: float
    p99: float
    worst: float


class Run(Struct, frozen=True):
    """One load: what it met. `errors`: calls that failed, whatever their class."""

    name: str
    seconds: float
    calls: dict[str, Calls]
    errors: int
    fed_per_second: float


@contextmanager
def served(stage: Stage) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Worker, projections and API on a ledger with members who have points: the API's address, a
    key, and the environment of the processes."""
    url = stage.ledger("api")
    asyncio.run(_past(url, stage.sized(MEMBERS, 50), stage.sized(PURCHASES, 2)))
    asyncio.run(ensure_topics(stage.bootstrap, Settings().partitions))
    (port,) = find_free_ports(1)
    environment = {
        "POINTS_DATABASE_URL": url,
        "POINTS_KAFKA_BOOTSTRAP": stage.bootstrap,
        "POINTS_API_PORT": str(port),
    }
    worker = stage.child("worker", ["worker"], environment)
    folding = stage.child("projections", ["projections", "run"], environment)
    for behind in (worker, folding):  # as under `points serve`
        give_way(behind.pid)
    scopes = ["--scope", "members:read", "--scope", "preview"]
    scopes += ["--scope", "redeem", "--scope", "purchases"]
    made = stage.child(
        "key",
        ["api", "keys", "create", "--client", "load", *scopes, "--rate", "1000000"],
        environment,
    )
    made.answer(READY_SECONDS)
    key = next(word for word in made.log.read_text().split() if word.startswith("pl_"))
    api = stage.child("api", ["api", "serve"], environment)
    try:
        until_ready([worker])
        address = f"http://127.0.0.1:{port}"
        _until_open(address, api)
        stage.checkpoint()
        yield address, key, environment
    finally:
        for child in (api, folding, worker):
            child.stop()


async def _past(url: str, members: int, purchases: int) -> None:
    ledger = await Ledger.open(Settings(database_url=SecretStr(url)))
    try:
        start = time.time_ns() // 1_000 - (purchases * 7 + 10) * DAY  # points are spendable by now
        for number in range(purchases):
            values = [
                record(f"m-{n:05}", number, start + number * 7 * DAY, amount=60_000)
                for n in range(members)
            ]
            for at in range(0, members, 500):
                await ledger.handle([received(decode_record(v)) for v in values[at : at + 500]])
    finally:
        await ledger.close()


def _until_open(address: str, api: Child) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{address}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            api.check()
            if time.monotonic() > deadline:
                raise LedgerError("The API is not ready in time.", "not_ready") from None
            time.sleep(0.1)


def run(
    stage: Stage,
    name: str,
    address: str,
    key: str,
    *,
    mix: str,
    users: int,
    seconds: int,
    fed: int,
) -> Run:
    """Run one load, with so many purchases a second fed to the worker meanwhile."""
    stage.progress(f"  {name}: {seconds} s")
    result = stage.folder / f"{name}.json"
    total = WARM_SECONDS + seconds
    feeding = None
    before = _events(stage)
    begun = time.monotonic()
    if fed:
        feeding = stage.child(
            f"feeding-{name}",
            [stage.bootstrap, str(fed), str(total + 5)],
            {},
            module="benchmarks.api.feeding",
        )
        if fed >= FED_SATURATING:  # it is the worker that is to be full, not the processors
            give_way(feeding.pid)
    environ = {
        **os.environ,
        "MIX": mix,
        "KEY": key,
        "WARM": str(WARM_SECONDS),
        "MEMBERS": str(stage.sized(MEMBERS, 50)),
        "RESULT": str(result),
        "RUN": name,
    }
    load = Path(__file__).with_name("load.py")
    done = subprocess.run(
        [str(LOCUST), "-f", str(load), "--headless", "--host", address, "-u", str(users),
         "-r", str(users), "-t", f"{total}s", "--loglevel", "ERROR", "--only-summary"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=total + 120,
    )  # fmt: skip
    fed_rate = (_events(stage) - before) / (time.monotonic() - begun)
    if feeding is not None:
        feeding.kill()
    if not result.exists():
        raise LedgerError(f"Locust failed: {done.stderr[-500:]}", "load_failed")
    told = json.loads(result.read_text())
    calls = {name: _calls(took) for name, took in sorted(told["took"].items())}
    return Run(name, told["seconds"], calls, sum(told["failed"].values()), fed_rate)


def _calls(took: list[float]) -> Calls:
    took.sort()
    p99 = took[min(len(took) - 1, len(took) * 99 // 100)]
    return Calls(len(took), median(took), p99, took[-1])


def _events(stage: Stage) -> int:
    with psycopg.connect(stage.url("api")) as connection:
        row = connection.execute("SELECT sum(position)::bigint FROM ledger.heads").fetchone()
    assert row is not None
    return int(row[0])
