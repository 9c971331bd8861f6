"""A door that fails as told, a cursor over one topic, and the records to go through."""

from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ledger.errors import AppendFailed, InternalErrors
from ledger.received import (
    INTERNAL_ERROR,
    Outcome,
    Problem,
    Received,
    RecordRef,
    SourcePosition,
    Sources,
    TopicMove,
)
from streams.append import LedgerAppender
from streams.metrics import Metrics


class Offsets:
    """A cursor over one topic."""

    def __init__(self, stored: int = 0) -> None:
        self.stored = stored

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
        self.calls = 0

    async def handle(
        self,
        inputs: Sequence[Received],
        source: SourcePosition | Sources | None = None,
        *,
        internal_errors_max: int | None = None,
    ) -> list[Outcome]:
        self.calls += 1
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
            assert received.record is not None
            odd = received.record.offset % 2  # those have a shard of their own, and no effects
            code = None if problem is None else problem.code
            outcomes.append(Outcome(kind, 3 + odd, 1, code, effects=1 - odd))  # type: ignore[arg-type]
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


def broken(count: int, of: int) -> list[Received]:
    """Records of which the first `count` meet a bug."""
    bug = Problem(INTERNAL_ERROR, "$", "A bug.")
    return [
        replace(item, undecodable=bug) if number < count else item
        for number, item in enumerate(inputs(of))
    ]
