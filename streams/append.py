"""How a batch gets through the ledger's one door, whatever the database does.

Transient failures: the same batch again, in place, with growing and jittered pauses; for too long,
and the worker stops (its supervisor restarts it, it resumes at the stored offset). Any other
failure: the batch is halved (first by partition numbers) until one record is left, and that becomes
a dead letter. When more than a few records of a batch would fail for reasons of ours, none of them
is stored and the worker stops (of one that was halved, no more of them): a bug must not dead-letter
a day.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import psycopg
import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    RetryError,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from ledger.crash import crash_point
from ledger.errors import AppendFailed, DatabaseUnavailable, LedgerError, WorkerStopped
from ledger.received import (
    COMMANDS,
    INTERNAL_ERROR,
    Outcome,
    Received,
    SourcePosition,
    Sources,
    internal_errors,
    undecodable,
)
from streams import correlation
from streams.metrics import Metrics

RETRY_FIRST_SECONDS = 0.1
"""Longest first pause: a deadlock or a failed-over connection is over by then."""

RETRY_PAUSE_MAX_SECONDS = 2.0
"""Longest pause: how late the return of the database is noticed."""

RETRY_GIVE_UP_SECONDS = 120.0
"""Then the worker stops. Longer than a PostgreSQL failover or restart; short enough that the group
is not kept waiting by a worker that has lost its network."""

INTERNAL_PERCENT_MAX = 5
"""Of the latest records, at most so many may fail for reasons of ours."""

INTERNAL_WINDOW_RECORDS = 100
"""Over so many records at least is that share taken: five may fail in a quiet hour, so that one
broken record in a chunk of three becomes a dead letter and stops nobody."""

log = structlog.get_logger(__name__)


def _nothing() -> None:
    pass


class Door(Protocol):
    """The ledger's door (`ledger.application.Ledger`)."""

    async def handle(
        self,
        inputs: Sequence[Received],
        source: SourcePosition | Sources | None = None,
        *,
        internal_errors_max: int | None = None,
    ) -> list[Outcome]:
        """Decide and append; see there."""


class Cursor(Protocol):
    """Who knows the offsets that go with a part of a batch."""

    def position(self, part: Sequence[Received]) -> SourcePosition:
        """The moves that storing `part` makes."""

    def appended(self, position: SourcePosition) -> None:
        """They are made."""


class Part(NamedTuple):
    """What one partition number adds to an append."""

    batch: Sequence[Received]
    cursor: Cursor


def _records(parts: Sequence[Part]) -> int:
    return sum(len(part.batch) for part in parts)


def _halves(parts: Sequence[Part]) -> tuple[Sequence[Part], Sequence[Part]] | None:
    """Partition numbers are told apart first, then the records of one; None of a single record."""
    if len(parts) > 1:
        middle = len(parts) // 2
        return parts[:middle], parts[middle:]
    ((batch, cursor),) = parts
    if len(batch) == 1:
        return None
    middle = len(batch) // 2
    return [Part(batch[:middle], cursor)], [Part(batch[middle:], cursor)]


class InternalErrors:
    """Counts failures of ours among the latest records, over all partitions."""

    def __init__(self) -> None:
        self._latest: deque[tuple[int, int]] = deque()
        self._records = 0
        self._errors = 0

    def allowed(self, records: int) -> int:
        """How many of the next `records` may fail: as many as leave the share of the latest below
        its bound, and of a quiet hour's few records a handful."""
        counted = max(self._records + records, INTERNAL_WINDOW_RECORDS)
        return max(counted * INTERNAL_PERCENT_MAX // 100 - self._errors, 0)

    def seen(self, records: int, errors: int) -> None:
        """So many were stored, and so many of them as dead letters because of a bug."""
        self._latest.append((records, errors))
        self._records += records
        self._errors += errors
        while self._records - self._latest[0][0] >= INTERNAL_WINDOW_RECORDS:
            old_records, old_errors = self._latest.popleft()
            self._records -= old_records
            self._errors -= old_errors


class LedgerAppender:
    """Appends batches through the door, as often as it takes."""

    def __init__(
        self,
        door: Door,
        metrics: Metrics,
        committed: Callable[[set[int]], None],
        give_up_seconds: float = RETRY_GIVE_UP_SECONDS,
        commanded: Callable[[], None] = _nothing,
    ) -> None:
        """`committed` is told the shards that got effects, `commanded` that commands were among
        the inputs."""
        self._door = door
        self._metrics = metrics
        self._committed = committed
        self._commanded = commanded
        self._give_up_seconds = give_up_seconds
        self._internal = InternalErrors()

    async def append(self, batch: Sequence[Received], cursor: Cursor) -> None:
        """Store all of `batch`. Raises: WorkerStopped, OffsetGap, InternalErrors."""
        await self.append_all([Part(batch, cursor)])

    async def append_all(self, parts: Sequence[Part]) -> None:
        """Store all of the parts, at least one, of different partition numbers: in one transaction,
        or in several. Raises: WorkerStopped, OffsetGap, InternalErrors."""
        # Once, for the whole: a half that holds all the bad records is judged by what the batch is.
        records = _records(parts)
        allowed = self._internal.allowed(records)
        errors = await self._store(parts, allowed)
        self._internal.seen(records, errors)

    async def _store(self, parts: Sequence[Part], allowed: int) -> int:
        """Store batches or parts of them; how many became dead letters because of a bug, of the
        `allowed` ones."""
        positions = [cursor.position(batch) for batch, cursor in parts]
        inputs = [received for batch, _ in parts for received in batch]
        try:
            outcomes = await self._handle(inputs, positions, allowed)
        except LedgerError as error:
            if not isinstance(error, AppendFailed):
                raise
            return await self._halve(parts, allowed, error)
        except Exception as error:
            return await self._halve(parts, allowed, error)
        for (_, cursor), position in zip(parts, positions, strict=True):
            cursor.appended(position)
        self._metrics.outcomes(inputs, outcomes)
        correlation.told(inputs, outcomes)
        if any(move.topic == COMMANDS for position in positions for move in position.moves):
            self._commanded()
        self._committed({o.shard for o in outcomes if o.effects and o.shard is not None})
        return internal_errors(outcomes)

    async def _halve(self, parts: Sequence[Part], allowed: int, error: Exception) -> int:
        if (halves := _halves(parts)) is not None:
            errors = await self._store(halves[0], allowed)
            return errors + await self._store(halves[1], allowed - errors)
        (((one,), cursor),) = parts
        assert one.record is not None
        if one.undecodable is not None and one.undecodable.code == INTERNAL_ERROR:
            raise WorkerStopped(
                f"Record {one.record.topic}/{one.record.partition} {one.record.offset} can be "
                f"stored neither as an event nor as a dead letter ({error}): read the log.",
                "internal_errors",
            ) from error
        log.error(
            "record_dead_lettered",
            topic=one.record.topic,
            partition=one.record.partition,
            offset=one.record.offset,
            exc_info=error,
        )
        message = f"The ledger failed on this record ({type(error).__name__}): see its log."
        letter = undecodable(one.record, INTERNAL_ERROR, "$", message)
        return await self._store([Part([letter], cursor)], allowed)

    async def _handle(
        self, inputs: Sequence[Received], positions: Sequence[SourcePosition], allowed: int
    ) -> list[Outcome]:
        retrying = AsyncRetrying(
            retry=retry_if_exception(is_transient),
            wait=wait_random_exponential(RETRY_FIRST_SECONDS, RETRY_PAUSE_MAX_SECONDS),
            stop=stop_after_delay(self._give_up_seconds),
            before_sleep=self._before_sleep,
        )
        started = time.perf_counter()
        try:
            outcomes: list[Outcome] = await retrying(
                self._door.handle,
                inputs,
                positions,
                internal_errors_max=allowed,
            )
        except RetryError as error:
            cause = error.last_attempt.exception()
            raise WorkerStopped(
                f"PostgreSQL did not take an append for {self._give_up_seconds:.0f} seconds "
                f"({cause}): the worker stops and resumes at the stored offset when restarted.",
                "database_gone",
            ) from cause
        self._metrics.batch(len(inputs), time.perf_counter() - started)
        crash_point("worker.after_append")
        return outcomes

    def _before_sleep(self, state: RetryCallState) -> None:
        self._metrics.retries.inc()
        error = state.outcome.exception() if state.outcome else None
        log.warning("append_retried", attempt=state.attempt_number, error=str(error))


def is_transient(error: BaseException) -> bool:
    """Whether the same append may succeed later: connections, deadlocks, a disk to be emptied."""
    # Operational by psycopg's classes, but the same rows meet it again.
    if isinstance(error, psycopg.errors.ProgramLimitExceeded):
        return False
    return isinstance(
        error,
        DatabaseUnavailable
        | psycopg.OperationalError
        | psycopg.InterfaceError
        | ConnectionError
        | TimeoutError,
    )
