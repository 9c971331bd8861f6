"""Getting a batch through the door: retries, halving, dead letters, and when to stop."""

import asyncio
from collections.abc import Callable, Sequence

import psycopg
import pytest

from ledger.errors import AppendFailed, DatabaseUnavailable, OffsetGap, WorkerStopped
from ledger.received import (
    INTERNAL_ERROR,
    Outcome,
    Received,
    RecordRef,
    SourcePosition,
    TopicMove,
)
from streams.append import LedgerAppender, is_transient
from streams.metrics import Metrics


class Offsets:
    """A cursor over one topic."""

    def __init__(self) -> None:
        self.stored = 0

    def position(self, part: Sequence[Received]) -> SourcePosition:
        last = part[-1].record
        assert last is not None
        return SourcePosition("g", 0, (TopicMove("purchases", self.stored, last.offset + 1),))

    def appended(self, position: SourcePosition) -> None:
        (move,) = position.moves
        assert move.from_offset == self.stored
        self.stored = move.next_offset


class Door:
    """A door that fails as told. `fails(inputs)` returns the error to raise, or None."""

    def __init__(self, fails: Callable[[Sequence[Received]], Exception | None]) -> None:
        self.fails = fails
        self.stored: list[tuple[int, str]] = []

    async def handle(
        self, inputs: Sequence[Received], source: SourcePosition | None = None
    ) -> list[Outcome]:
        error = self.fails(inputs)
        if error is not None:
            raise error
        outcomes = []
        for received in inputs:
            problem = received.undecodable
            kind = "applied" if problem is None else "dead_lettered"
            outcomes.append(
                Outcome(kind, 3, 1, None if problem is None else problem.code)  # type: ignore[arg-type]
            )
            assert received.record is not None
            self.stored.append((received.record.offset, kind))
        return outcomes


def inputs(count: int) -> list[Received]:
    return [Received(record=RecordRef("purchases", 0, offset)) for offset in range(count)]


def appender(door: Door, changed: set[int] | None = None, give_up: float = 5.0) -> LedgerAppender:
    told = set() if changed is None else changed
    return LedgerAppender(door, Metrics(), told.update, give_up)


def poisoned(*offsets: int) -> Callable[[Sequence[Received]], Exception | None]:
    """The database refuses batches that hold one of these as an event."""

    def fails(batch: Sequence[Received]) -> Exception | None:
        for received in batch:
            assert received.record is not None
            if received.record.offset in offsets and received.undecodable is None:
                return AppendFailed("no")
        return None

    return fails


def test_transient_errors_are_retried_in_place() -> None:
    errors: list[Exception] = [
        psycopg.errors.DeadlockDetected("deadlock"),
        DatabaseUnavailable("away"),
    ]
    door = Door(lambda _: errors.pop() if errors else None)
    changed: set[int] = set()
    offsets = Offsets()
    asyncio.run(appender(door, changed).append(inputs(3), offsets))
    assert [offset for offset, _ in door.stored] == [0, 1, 2]
    assert offsets.stored == 3
    assert changed == {3}


def test_a_database_that_stays_away_stops_the_worker() -> None:
    door = Door(lambda _: DatabaseUnavailable("away"))
    with pytest.raises(WorkerStopped) as stopped:
        asyncio.run(appender(door, give_up=0.2).append(inputs(3), Offsets()))
    assert stopped.value.code == "database_gone"


def test_the_one_bad_record_is_dead_lettered_and_the_rest_goes_on() -> None:
    door = Door(poisoned(137))
    offsets = Offsets()
    asyncio.run(appender(door).append(inputs(500), offsets))
    assert [offset for offset, _ in door.stored] == list(range(500))
    assert [offset for offset, kind in door.stored if kind == "dead_lettered"] == [137]
    assert offsets.stored == 500


def test_a_bug_does_not_dead_letter_a_day() -> None:
    door = Door(lambda batch: ValueError("bug") if batch[0].undecodable is None else None)
    with pytest.raises(WorkerStopped) as stopped:
        asyncio.run(appender(door).append(inputs(500), Offsets()))
    assert stopped.value.code == "internal_errors"
    assert len(door.stored) == 6


def test_one_failure_in_a_quiet_hour_is_not_a_hundred_percent() -> None:
    async def scenario() -> None:
        door = Door(poisoned(0))
        offsets = Offsets()
        one = appender(door)
        await one.append(inputs(1), offsets)
        assert door.stored == [(0, "dead_lettered")]

    asyncio.run(scenario())


def test_errors_reported_by_the_door_are_counted_too() -> None:
    class Internal(Door):
        async def handle(
            self, inputs: Sequence[Received], source: SourcePosition | None = None
        ) -> list[Outcome]:
            return [Outcome("dead_lettered", code=INTERNAL_ERROR) for _ in inputs]

    with pytest.raises(WorkerStopped):
        asyncio.run(appender(Internal(lambda _: None)).append(inputs(10), Offsets()))


def test_a_gap_is_never_passed_over() -> None:
    door = Door(lambda _: OffsetGap("gap"))
    with pytest.raises(OffsetGap):
        asyncio.run(appender(door).append(inputs(3), Offsets()))
    assert door.stored == []


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (psycopg.OperationalError("lost"), True),
        (psycopg.errors.SerializationFailure("again"), True),
        (psycopg.errors.DiskFull("full"), True),
        (ConnectionResetError(), True),
        (psycopg.errors.ProgramLimitExceeded("row"), False),
        (psycopg.errors.CheckViolation("check"), False),
        (AppendFailed("no"), False),
        (KeyError("bug"), False),
    ],
)
def test_which_errors_may_pass(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient
