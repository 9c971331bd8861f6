"""A whole worker dies at each point that it passes; another one goes on at the stored offsets.

In `make test` the points that only a worker has; in the long run all that it passes.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from ledger.application import Ledger
from ledger.core.program.load import load_program
from ledger.crash import CRASH_POINTS
from ledger.settings import load_settings
from streams.topics import EFFECTS
from tests.crash.state import State, state_of
from tests.databases import copied, new_ledger
from tests.ledger.opened import run
from tests.services import PARTITIONS
from tests.streams.workers import (
    PROGRAM,
    Event,
    Stage,
    Worker,
    enrolment,
    event,
    purchase,
    referral,
    running,
    send,
    survey,
)

SHARDS = 2 * PARTITIONS

OWN = [name for name in CRASH_POINTS if name.startswith("worker.")]

NOT_PASSED = (
    "append.after_retry_taken",
    "append.after_decided_again",
    "append.after_released",
    "append.after_stock_",
    "scheduler.",
)
"""Points of retries, of claims, of two who want the same shard, of a return that waits for a later
batch, and of a worker in service for hours: the plays of test_crash_points.py pass them."""

PASSED = [
    name
    for name in CRASH_POINTS
    if name.startswith(("append.", "notify.", "effects.", "scheduler."))
    and not name.startswith(NOT_PASSED)
]


BY_POSITION = {
    *("read.balance_changes", "read.member_purchases"),
    *("read.sale_notes", "read.point_notes", "read.referral_steps"),
}
"""Read models with a row for an event, known by its shard and position."""


def history() -> Iterator[Event]:
    """Members who refer each other, buy twice, return before they bought; and what nobody can
    read."""
    for n in range(24):
        member = f"m{n}"
        yield enrolment(member)
        yield survey(member, f"c{n}")
        if n % 3 == 0:
            yield referral(member, f"friend-of-{n}")
        yield purchase(member, f"o{n}")
        if n % 4 == 1:
            data = {"order_id": f"p{n}", "return_id": f"r{n}"}
            value = event("purchase.returned.v1", member, f"r{n}", "2023-05-04T12:00:00Z", data)
            yield ("purchases", member, value)
        yield purchase(member, f"p{n}", "2023-05-03T12:00:00Z")
        yield purchase(member, f"o{n}")
    yield ("purchases", "m1", b"{")


@pytest.fixture(scope="module")
def bootstrap(kafka_topics: str) -> str:
    """Kafka with the history in its topics."""
    send(kafka_topics, history())
    return kafka_topics


@pytest.fixture(scope="module")
def made(server: str, admin: psycopg.Connection) -> Iterator[str]:
    """A database with an empty ledger that the tests copy."""
    program = load_program(PROGRAM.read_text(), PROGRAM.name)
    with new_ledger(server, admin, program, SHARDS, "worker") as name:
        yield name


@pytest.fixture
def play(
    server: str, admin: psycopg.Connection, made: str, bootstrap: str, tmp_path: Path
) -> Callable[[str | None], State]:
    """Work through the history, dying at a point; the state that is left behind."""

    def of(point: str | None) -> State:
        asyncio.run(without_effects(bootstrap))
        with copied(server, admin, made) as url:
            stage = Stage(url, bootstrap)
            # A group of its own: the worker killed in the test before is still one of the old's.
            own: dict[str, Any] = {"group": uuid4().hex, "session_timeout_seconds": 6}
            arguments = ("--history", "--until-idle", "0.5")
            if point is not None:
                armed = {**own, "crash_at": point}
                with running(stage, tmp_path / "dies", *arguments, **armed) as worker:
                    killed_at(point, worker)
            with running(stage, tmp_path / "lives", *arguments, **own) as worker:
                assert worker.wait() == 0, worker.errors()
            run(check_chains(url))
            return per_account(state_of(url), own["group"])

    return of


def killed_at(point: str, worker: Worker) -> None:
    status = worker.wait()
    said = worker.errors()
    assert status == -signal.SIGKILL, (status, said)
    assert f"crash point {point}:1" in said


async def without_effects(bootstrap: str) -> None:
    """Delete what the workers of other tests have published."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await consumer.start()
    await admin.start()
    try:
        tps = [TopicPartition(EFFECTS, number) for number in range(PARTITIONS)]
        ends = await consumer.end_offsets(tps)
        await admin.delete_records(
            {tp: RecordsToDelete(before_offset=end) for tp, end in ends.items() if end}
        )
    finally:
        await admin.close()
        await consumer.stop()


async def check_chains(url: str) -> None:
    settings = load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)
    ledger = await Ledger.open(settings)
    try:
        for shard in range(-1, SHARDS):
            await ledger.verify_chain(shard)
    finally:
        await ledger.close()


def per_account(state: State, group: str) -> State:
    """The state without what depends on when effects came back from Kafka: their positions among
    the shard's others, and how often they were published."""
    events = sorted((member, version, *rest) for _, _, _, member, version, *rest in state["events"])
    offsets = [row[1:] for row in state["offsets"] if row[0] == group and row[1] != EFFECTS]
    by_position = ("inputs", "cursors", "read.positions")
    kept = {name: rows for name, rows in state.items() if name not in by_position}
    inputs = sorted(row[:2] for row in state["inputs"])
    counts = [row for row in state["counts"] if row[2] != "skipped"]
    without = {
        name: sorted(line.split(",", 2)[2] for line in text.splitlines())
        for name, text in state.items()
        if name in BY_POSITION
    }
    return {
        **kept,
        "events": events,
        "offsets": [row[:4] for row in offsets],
        "inputs": inputs,
        "counts": counts,
        **without,
    }


@pytest.fixture(scope="module")
def known() -> dict[str, State]:
    """The state without a crash, once it is known."""
    return {}


def check(point: str, play: Callable[[str | None], State], known: dict[str, State]) -> None:
    if not known:
        known["undisturbed"] = play(None)
        rewards = [row for row in known["undisturbed"]["events"] if row[0].startswith("friend")]
        assert len(rewards) == 8
    state, expected = play(point), known["undisturbed"]
    for part in expected:
        assert state[part] == expected[part], part


@pytest.mark.parametrize("point", OWN)
def test_a_worker_dies_at_a_point_of_its_own(
    point: str, play: Callable[[str | None], State], known: dict[str, State]
) -> None:
    check(point, play, known)


@pytest.mark.long
@pytest.mark.parametrize("point", PASSED)
def test_a_worker_dies_at_any_point(
    point: str, play: Callable[[str | None], State], known: dict[str, State]
) -> None:
    check(point, play, known)
