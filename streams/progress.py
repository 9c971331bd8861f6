"""Telling others how far a worker is: Kafka, for its lag tools, and PostgreSQL, past which offsets
no record lies.

Neither decides where reading goes on: that is the offset that the append stores. So a failure here
is logged and counted, and stops nobody. A worker that reads nothing looks whether its topics are
there at all: those that were deleted are assigned to nobody, without a word.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, Protocol

import structlog
from faust.types import TP

from ledger.crash import crash_point
from ledger.errors import StartRefused
from streams.delivery import StreamDelivery
from streams.metrics import Metrics

EVERY_SECONDS = 5.0
"""How often both are told: lag tools look every few seconds."""

TELL_SECONDS = 5.0
"""Either may take so long. aiokafka looks for the group's coordinator without an end, and a worker
that stops while Kafka is away must come to its end, with its sentence."""

LOOK_EVERY = 6
"""Rounds without partitions until the topics are looked at: half a minute, as `streams.guard`."""

Reads = Mapping[tuple[str, int], tuple[int, int]]

log = structlog.get_logger(__name__)


class Notes(Protocol):
    """Where PostgreSQL is told (`ledger.application.Ledger`)."""

    async def note_read(self, group: str, reads: Reads) -> None:
        """See there."""


class Progress:
    """For one worker, from its start until its partitions are given back."""

    def __init__(
        self,
        app: Any,
        delivery: StreamDelivery,
        notes: Notes,
        metrics: Metrics,
        *,
        group: str,
        look: Callable[[], Awaitable[object]],
    ) -> None:
        """`look` raises StartRefused when the topics are not as they must be."""
        self._app = app
        self._delivery = delivery
        self._notes = notes
        self._group = group
        self._metrics = metrics
        self._look = look

    async def run(self) -> None:
        """Tell both for ever."""
        without = 0
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            if self._app.rebalancing_since is not None:
                continue
            if self._delivery.partitions:
                without = 0
                await self.tell(self._delivery.reads(), self._delivery.positions())
                continue
            without += 1
            if without % LOOK_EVERY == 0:
                await quietly("topics", self._look_at_topics())

    async def tell(self, reads: Reads, positions: Mapping[TP, int]) -> None:
        """Tell both now. Raises nothing."""
        await quietly("note_read", asyncio.wait_for(self._note_read(reads), TELL_SECONDS))
        await quietly("group_commit", asyncio.wait_for(self._commit(positions), TELL_SECONDS))

    async def _note_read(self, reads: Reads) -> None:
        """Where nothing but the ends of transactions is left, retention may take those too: that is
        no loss of input (`streams.offsets.check_range`)."""
        if reads:
            await self._notes.note_read(self._group, reads)

    async def _look_at_topics(self) -> None:
        try:
            await self._look()
        except StartRefused as error:
            if error.code != "no_kafka":  # the client goes on trying
                self._delivery.fail(error)

    async def _commit(self, positions: Mapping[TP, int]) -> None:
        if not positions:
            return
        crash_point("worker.before_group_commit")
        if not await self._app.consumer.commit_for_lag_tools(positions):
            self._metrics.commit_failures.inc()
        crash_point("worker.after_group_commit")


async def quietly(what: str, work: Coroutine[Any, Any, None]) -> None:
    """One step of a stop (or one that does not matter): its failure must not keep the next."""
    try:
        await work
    except Exception as error:
        log.warning("step_failed", step=what, error=repr(error))
