"""Where Kafka's topics end, to tell how far behind the worker is."""

import asyncio
import time
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

ASK_SECONDS = 3.0
"""A healthy broker answers in milliseconds; whoever looks at a screen waits no longer."""

KNOWN_SECONDS = 2.0
"""How long an answer is good for: several screens that are open cost as much as one."""

Ends = dict[tuple[str, int], int]


class KafkaEnds:
    """Asks one Kafka. One question at a time; the others take its answer."""

    def __init__(self, bootstrap: str | None) -> None:
        self._bootstrap = bootstrap
        self._lock = asyncio.Lock()
        self._known: tuple[float, Ends] | None = None

    async def ends(self, of: Iterable[tuple[str, int]]) -> Ends | None:
        """By (topic, partition) the offset that comes next; None when Kafka does not tell."""
        async with self._lock:
            if self._known is not None and time.monotonic() - self._known[0] < KNOWN_SECONDS:
                return self._known[1]
            try:
                async with asyncio.timeout(ASK_SECONDS):
                    found = await self._ask(of)
            except (KafkaError, TimeoutError, OSError):
                return None
            if found is not None:
                self._known = time.monotonic(), found
            return found

    async def _ask(self, of: Iterable[tuple[str, int]]) -> Ends | None:
        if self._bootstrap is None:
            return None
        consumer = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            found = await consumer.end_offsets([TopicPartition(*place) for place in of])
        finally:
            await consumer.stop()
        return {(place.topic, place.partition): end for place, end in found.items()}
