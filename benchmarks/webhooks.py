"""`webhooks`: deliveries a second from the log to a receiver on this machine.

The deliverer is a process of its own; what it tells of is in the log before it starts. One webhook
has the events of many members, of whom several are told of at once; another has as many of one
member, which go one after the other.
"""

import asyncio
import time

import psycopg
from pydantic import SecretStr

from api.webhooks import subscriptions
from api.webhooks.deliverer import EACH_MAX
from benchmarks.report import Figure, Result
from benchmarks.shoppers import DAY, program, record
from benchmarks.stage import Stage
from ledger.application import Ledger
from ledger.core.calendar import to_instant
from ledger.received import received
from ledger.settings import Settings
from schemas.decode import decode_record

ROUNDS = 3
MANY = 3_000
"""Deliveries of a round to many members, as many members."""

SINGLE = 300
"""Deliveries of a round to one member."""

WAIT_SECONDS = 600.0
"""For a round: ten times what a slow machine takes."""

TYPE = "purchase.rewarded"

_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


def measure(stage: Stage) -> list[Result]:
    """Deliveries per second."""
    many, single = stage.sized(MANY, 20), stage.sized(SINGLE, 5)
    figures = [
        Figure(name, "deliveries/s", tuple(_round(stage, members, each) for _ in range(ROUNDS)))
        for name, members, each in (("many members", many, 1), ("one member", 1, single))
    ]
    sizes: dict[str, float] = {"rounds": ROUNDS, "many": many, "single": single}
    sizes["at once"] = EACH_MAX
    return [Result("webhooks", sizes, tuple(figures))]


def _round(stage: Stage, members: int, each: int) -> float:
    url = stage.ledger("hooks")
    try:
        return asyncio.run(_delivered(stage, url, members, each))
    finally:
        stage.drop("hooks")


async def _delivered(stage: Stage, url: str, members: int, each: int) -> float:
    taken: list[float] = []
    all_taken = asyncio.Event()

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                _, _, rest = head.lower().partition(b"content-length:")
                await reader.readexactly(int(rest.partition(b"\r\n")[0]))
                writer.write(_ANSWER)
                taken.append(time.perf_counter())
                if len(taken) >= members * each:
                    all_taken.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with psycopg.connect(url, autocommit=True) as session:
        subscriptions.add(
            session, f"http://127.0.0.1:{port}/", [TYPE], "", "benchmark", allow_private=True
        )
    await _write(url, members, each)
    environment = {"POINTS_DATABASE_URL": url, "POINTS_WEBHOOKS_PRIVATE_ADDRESSES": "allow"}
    environment["POINTS_KAFKA_BOOTSTRAP"] = stage.bootstrap
    child = stage.child("webhooks", ["webhooks", "run"], environment)
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            await all_taken.wait()
    finally:
        await asyncio.to_thread(child.stop)
        server.close()
    return (len(taken) - 1) / (taken[-1] - taken[0])


async def _write(url: str, members: int, each: int) -> None:
    ledger = await Ledger.open(Settings(database_url=SecretStr(url)))
    try:
        start = to_instant(program().effective_from)
        values = [
            record(f"m-{n:05}", number, start + number * DAY, amount=1_000)
            for number in range(each)
            for n in range(members)
        ]
        for at in range(0, len(values), 500):
            await ledger.handle([received(decode_record(v)) for v in values[at : at + 500]])
    finally:
        await ledger.close()
