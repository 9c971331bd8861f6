"""The scheduler of due times: settles the accounts that nothing else touches.

Only up to the shard's watermark: behind the clock, and behind Kafka's latest word, by the allowed
lateness, and never past an event that is still unread. So it changes what is posted when, never
what a balance is (invariant 11). It stands still while a history is loaded.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import structlog

from ledger.crash import crash_point
from ledger.errors import LedgerError, WorkerStopped
from ledger.received import Outcome, Received, SourcePosition, tick
from schemas.fields import Instant
from streams.append import is_transient
from streams.metrics import Metrics

ROUND_SECONDS = 5.0
"""Between two looks: how much later than the watermark a due moment may be posted."""

TICKS_AT_ONCE = 200
"""Accounts settled in one append: less than a batch, for tills wait for the same heads."""

ROUND_TICKS_MAX = 20_000
"""Accounts of one partition number settled in one round; the rest in the next."""

log = structlog.get_logger(__name__)


class DueAccounts(Protocol):
    """What the scheduler needs of `ledger.application.Ledger`."""

    async def due_accounts(
        self, shards: Sequence[int], until: Instant, limit: int
    ) -> Sequence[str]:
        """Members for whom something may fall due up to `until`, soonest first."""

    async def handle(
        self, inputs: Sequence[Received], source: SourcePosition | None = None
    ) -> list[Outcome]:
        """The one door."""


def watermark(known: Instant, allowed_lateness: Instant, oldest_unread: Instant | None) -> Instant:
    """Up to when a shard may be settled. `known`: up to when it is known what has arrived;
    `oldest_unread` None: all its topics are read."""
    behind = max(known - allowed_lateness, 0)
    return behind if oldest_unread is None else min(behind, oldest_unread)


class Scheduler:
    """One per worker. `partitions`: those read now; of one of them: `oldest_unread`, and `heard`,
    the moment up to which it is known what there is to read."""

    def __init__(
        self,
        *,
        ledger: DueAccounts,
        shards: int,
        stride: int,
        allowed_lateness: Instant,
        now: Callable[[], Instant],
        partitions: Callable[[], Sequence[int]],
        oldest_unread: Callable[[int], Instant | None],
        heard: Callable[[int], Instant],
        metrics: Metrics,
        on_fail: Callable[[LedgerError], None],
    ) -> None:
        """`stride`: the number of partitions; partition p feeds the shards p, p + stride, …"""
        self._ledger = ledger
        self._shards = shards
        self._stride = stride
        self._allowed_lateness = allowed_lateness
        self._now = now
        self._partitions = partitions
        self._oldest_unread = oldest_unread
        self._heard = heard
        self._metrics = metrics
        self._on_fail = on_fail
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name="scheduler")

    async def stop(self, grace_seconds: float) -> None:
        """Finish the append in hand, at most for the grace."""
        self._stopping.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=grace_seconds)
            self._task.cancel()

    async def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                await self.round()
            except Exception as error:
                self._metrics.tick_failures.inc()
                log.warning("scheduler_round_failed", error=repr(error))
                if not is_transient(error):
                    self._on_fail(
                        WorkerStopped(
                            f"The scheduler failed ({error!r}): read the worker's log.",
                            "worker_bug",
                        )
                    )
                    return
            try:
                await asyncio.wait_for(self._stopping.wait(), ROUND_SECONDS)
            except TimeoutError:
                continue

    async def round(self) -> int:
        """Settle what is due in the shards of every partition; the number of accounts."""
        started = time.monotonic()
        settled, lowest = 0, None
        for partition in self._partitions():
            known = min(self._now(), self._heard(partition))
            until = watermark(known, self._allowed_lateness, self._oldest_unread(partition))
            lowest = until if lowest is None else min(lowest, until)
            settled += await self._settle(range(partition, self._shards, self._stride), until)
        if lowest is not None:
            self._metrics.watermark.set(lowest / 1_000_000)
        if settled:
            log.info("settled", accounts=settled, seconds=round(time.monotonic() - started, 3))
        return settled

    async def _settle(self, shards: Sequence[int], until: Instant) -> int:
        settled = 0
        while until > 0 and settled < ROUND_TICKS_MAX and not self._stopping.is_set():
            due = await self._ledger.due_accounts(shards, until, TICKS_AT_ONCE)
            if not due:
                break
            crash_point("scheduler.before_settle")
            await self._ledger.handle([tick(member_id, until) for member_id in due])
            crash_point("scheduler.after_settle")
            settled += len(due)
            self._metrics.ticks.inc(len(due))
            if len(due) < TICKS_AT_ONCE:
                break
        return settled
