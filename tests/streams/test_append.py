"""Getting a batch through the door: retries, halving, dead letters, and when to stop."""

import asyncio
from collections.abc import Callable, Sequence

import psycopg
import pytest
from msgspec.structs import replace

from ledger.errors import (
    AppendFailed,
    DatabaseUnavailable,
    InternalErrors,
    OffsetGap,
    WorkerStopped,
)
from ledger.received import (
    INTERNAL_ERROR,
    Outcome,
    Problem,
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
        self,
        inputs: Sequence[Received],
        source: SourcePosition | None = None,
        *,
        internal_errors_max: int | None = None,
    ) -> list[Outcome]:
        error = self.fails(inputs)
        if error is not None:
            raise error
        bugs = sum(
            item.undecodable is not None and item.undecodable.code == INTERNAL_ERROR
            for item in inputs
        )
        if internal_errors_max is not None and bugs > internal_errors_max:
            raise InternalErrors(bugs, len(inputs), internal_errors_max)
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
    with pytest.raises(InternalErrors):
        asyncio.run(appender(door).append(inputs(500), Offsets()))
    assert len(door.stored) == 5


def test_one_failure_in_a_quiet_hour_is_not_a_hundred_percent() -> None:
    async def scenario() -> None:
        door = Door(poisoned(0))
        offsets = Offsets()
        one = appender(door)
        await one.append(inputs(1), offsets)
        assert door.stored == [(0, "dead_lettered")]

    asyncio.run(scenario())


def broken(count: int, of: int) -> list[Received]:
    """Records of which the first `count` meet a bug."""
    bug = Problem(INTERNAL_ERROR, "$", "A bug.")
    return [
        replace(item, undecodable=bug) if number < count else item
        for number, item in enumerate(inputs(of))
    ]


@pytest.mark.parametrize(("count", "of"), [(1, 1), (1, 3), (5, 5), (5, 100), (25, 500)])
def test_a_few_broken_records_become_dead_letters(count: int, of: int) -> None:
    door = Door(lambda _: None)
    asyncio.run(appender(door).append(broken(count, of), Offsets()))
    assert len([kind for _, kind in door.stored if kind == "dead_lettered"]) == count
    assert len(door.stored) == of


@pytest.mark.parametrize(("count", "of"), [(6, 6), (6, 100), (26, 500), (500, 500)])
def test_more_than_a_few_are_refused_before_any_is_stored(count: int, of: int) -> None:
    door = Door(lambda _: None)
    with pytest.raises(InternalErrors):
        asyncio.run(appender(door).append(broken(count, of), Offsets()))
    assert door.stored == []


def test_the_latest_records_count_together() -> None:
    """Five of ten, then one more: refused; a hundred good ones later it is taken."""

    async def scenario() -> None:
        door, offsets = Door(lambda _: None), Offsets()
        one = appender(door)
        await one.append(broken(5, 10), offsets)
        with pytest.raises(InternalErrors):
            await one.append(broken(1, 10), offsets)
        assert len(door.stored) == 10
        await one.append(inputs(100), offsets)
        await one.append(broken(1, 10), offsets)
        assert len(door.stored) == 120

    asyncio.run(scenario())


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
