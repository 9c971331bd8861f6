"""What the ledger says: how many inputs ended how, dead letters, offsets, read models.

Asked over and over while faults go on, so every question may fail and is asked again. Kafka's own
end offsets say how many records there are, the effects included.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.topics import CONSUMED, EFFECTS
from tests.faults.account import Count
from tests.faults.scene import GROUP, PARTITIONS

ASK_SECONDS = 5.0
"""For one round of questions; then it is begun again with a new session."""

PAUSE_SECONDS = 0.05
"""Between two rounds of questions: how exact a time to recover is."""

_COUNTS = "SELECT source, type, outcome, sum(n)::bigint FROM ledger.outcome_counts GROUP BY 1, 2, 3"
_PENDING = (
    "SELECT count(*) FROM ledger.events e WHERE effects > 0 AND position > coalesce("
    "(SELECT c.position FROM ledger.effects_cursors c WHERE c.shard = e.shard), 0)"
)
_OFFSETS = (
    "SELECT topic, partition, next_offset FROM ledger.stream_positions"
    ' WHERE "group" = %s AND next_offset > 0'
)
_DEAD = "SELECT source, code, count(*) FROM ledger.dead_letters WHERE status = 'open' GROUP BY 1, 2"
_UNTOLD = "SELECT count(*) FROM ledger.command_outcomes"
_WAITING = "SELECT count(*) FROM ledger.waiting"
_HEADS = "SELECT shard, position FROM ledger.heads"
_FOLDED = "SELECT shard, min(position) FROM read.positions GROUP BY shard"


class Said(NamedTuple):
    """The ledger's account at one moment."""

    counts: dict[Count, int]
    effects_pending: int
    offsets: dict[tuple[str, int], int]
    dead: dict[tuple[str, str], int]
    waiting: int
    untold: int

    def handled(self, *, effects: bool) -> int:
        """Inputs that ended, of the producers' topics or of the ledger's own effects."""
        return sum(n for (topic, _, _), n in self.counts.items() if (topic == EFFECTS) == effects)


class Asker:
    """Asks PostgreSQL and Kafka; survives that they are away."""

    def __init__(self, url: Callable[[], str], bootstrap: Callable[[], str]) -> None:
        self._url = url
        self._bootstrap = bootstrap
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._consumer: AIOKafkaConsumer | None = None

    async def said(self) -> Said | None:
        """What the ledger says now; None while it cannot be asked."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return await self._said()
        except (psycopg.Error, OSError, TimeoutError):
            await self._drop()
            return None

    async def ends(self) -> dict[tuple[str, int], int] | None:
        """Kafka's end offsets; None while it cannot be asked."""
        try:
            async with asyncio.timeout(ASK_SECONDS):
                if self._consumer is None:
                    consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap())
                    await consumer.start()
                    self._consumer = consumer
                partitions = [TopicPartition(t, p) for t in CONSUMED for p in range(PARTITIONS)]
                ends = await self._consumer.end_offsets(partitions)
                return {(tp.topic, tp.partition): end for tp, end in ends.items() if end}
        except (KafkaError, OSError, TimeoutError):
            consumer, self._consumer = self._consumer, None
            if consumer is not None:
                with contextlib.suppress(Exception):
                    await consumer.stop()
            return None

    async def heads(self) -> dict[int, int] | None:
        """Where the log of each shard ends; None while it cannot be asked."""
        return await self._pairs(_HEADS)

    async def folded(self) -> dict[int, int] | None:
        """How far all read models are, by shard; None while it cannot be asked."""
        return await self._pairs(_FOLDED)

    async def _pairs(self, query: str) -> dict[int, int] | None:
        try:
            async with asyncio.timeout(ASK_SECONDS):
                return dict(await self._ask(query))
        except (psycopg.Error, OSError, TimeoutError):
            await self._drop()
            return None

    async def close(self) -> None:
        """Leave both."""
        await self._drop()
        if self._consumer is not None:
            await self._consumer.stop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                await connection.close()

    async def _ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        if self._connection is None or self._connection.closed:
            self._connection = await psycopg.AsyncConnection.connect(self._url(), autocommit=True)
        return await (await self._connection.execute(query.encode(), values)).fetchall()

    async def _said(self) -> Said:
        return Said(
            {(source, kind, how): n for source, kind, how, n in await self._ask(_COUNTS) if n},
            (await self._ask(_PENDING))[0][0],
            {(topic, p): offset for topic, p, offset in await self._ask(_OFFSETS, GROUP)},
            {(source, code): n for source, code, n in await self._ask(_DEAD)},
            (await self._ask(_WAITING))[0][0],
            (await self._ask(_UNTOLD))[0][0],
        )


def without_types_of_the_dead(counts: Mapping[Count, int]) -> dict[Count, int]:
    """The counts of the producers' topics as the generator's account has them."""
    found: Counter[Count] = Counter()
    for (topic, kind, outcome), n in counts.items():
        if topic != EFFECTS:
            found[topic, "" if outcome == "dead_lettered" else kind, outcome] += n
    return {key: n for key, n in found.items() if n}


async def until(
    condition: Callable[[], Any], seconds: float, failing: Callable[[], str | None]
) -> float | None:
    """Wait until `condition` (a coroutine function) answers true; the monotonic moment, or None
    when it did not within `seconds` or something is `failing`."""
    deadline = time.monotonic() + seconds
    while True:
        asked_at = time.monotonic()
        if await condition():
            return asked_at
        if asked_at > deadline or failing() is not None:
            return None
        await asyncio.sleep(PAUSE_SECONDS)
