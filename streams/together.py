"""One append for what several partition numbers have: small batches wait for each other.

An append costs nearly the same for one record as for ten, and at a thousand records a second each
of eight partition numbers has some ten: eight appends beside each other then wait for a processor
more than for anything else. So while an append of small batches is under way, those that come
gather, and the next one takes them all. A batch that is large by itself goes by itself, beside few
others that are large.

Within a partition number nothing changes: its task hands over one batch and waits until that is
stored. What goes together is one transaction, offsets included: all of it is stored, or nothing;
what cannot be stored is told apart by `LedgerAppender`.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import Protocol

from ledger.reading import UNDER_LOCK_MAX
from ledger.received import Received
from streams.append import Cursor, Part

TOGETHER_RECORDS_MAX = UNDER_LOCK_MAX
"""Records of an append that is gathered: as many as are read and decided in the round trip of the
locks. A batch of more goes by itself."""

ROUNDS_AT_ONCE = 1
"""Gathered appends under way: while one waits for the disk, what comes gathers for the next."""

LARGE_AT_ONCE = 2
"""Appends of large batches under way: while one waits for PostgreSQL, the next is decided. With
more nothing is stored sooner, and each holds the heads it has locked while others decide."""

GATHER_SECONDS = 0.002
"""How long an append waits for what comes along with the first batch of it: the batches of one
fetch are handed over one after the other."""


class Parts(Protocol):
    """Who stores them (`streams.append.LedgerAppender`)."""

    async def append_all(self, parts: Sequence[Part]) -> None:
        """See there."""


class _Waiting:
    """A part, and who waits for it."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.round: asyncio.Task[None] | None = None


class Together:
    """Appends batches of several partition numbers, at most one of each at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._waiting: deque[_Waiting] = deque()
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._rounds: dict[asyncio.Task[None], list[_Waiting]] = {}

    async def append(self, batch: Sequence[Received], cursor: Cursor) -> None:
        """Returns when all of the batch is stored. Raises: WorkerStopped, OffsetGap,
        InternalErrors; those of an append that was gathered reach all who are in it."""
        if len(batch) > TOGETHER_RECORDS_MAX:
            async with self._large:
                await self._parts.append_all([Part(batch, cursor)])
            return
        waiting = _Waiting(Part(batch, cursor))
        self._waiting.append(waiting)
        self._begin()
        try:
            await waiting.done
        except asyncio.CancelledError:
            await self._given_up(waiting)
            raise

    def _begin(self) -> None:
        if self._waiting and len(self._rounds) < ROUNDS_AT_ONCE:
            task = asyncio.create_task(self._round(), name="append-together")
            self._rounds[task] = []

    def _take(self) -> list[_Waiting]:
        """Those that have waited longest, as many as go together."""
        taken: list[_Waiting] = []
        records = 0
        while self._waiting:
            records += len(self._waiting[0].part.batch)
            if taken and records > TOGETHER_RECORDS_MAX:
                break
            taken.append(self._waiting.popleft())
        return taken

    async def _round(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        error: BaseException | None = None
        taken = self._rounds[task]
        try:
            await asyncio.sleep(GATHER_SECONDS)
            taken += self._take()
            for waiting in taken:
                waiting.round = task
            if taken:
                await self._parts.append_all([waiting.part for waiting in taken])
        except BaseException as failed:
            error = failed
        del self._rounds[task]
        for waiting in taken:
            if waiting.done.done():
                continue  # given up
            if error is None:
                waiting.done.set_result(None)
            else:
                waiting.done.set_exception(error)
        self._begin()

    async def _given_up(self, waiting: _Waiting) -> None:
        """Nobody waits for it any more. An append that nobody waits for is cancelled, and its end
        awaited: nothing of it goes on when the partition number is given back."""
        if waiting.round is None:
            self._waiting.remove(waiting)
            return
        taken = self._rounds.get(waiting.round)
        if taken is not None and all(each.done.cancelled() for each in taken):
            waiting.round.cancel()
            await asyncio.wait({waiting.round})
