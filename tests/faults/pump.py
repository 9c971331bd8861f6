"""Sends records to Kafka, in order, and counts what is acknowledged.

An idempotent producer: while Kafka is away it tries on, and what it sends is there once. Were it
not so, Kafka's end offsets would differ from the account and the campaign would say so.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer

from tests.faults.outcomes import Place
from tests.faults.records import RESERVE, TOPIC, Expected

AWAY_MS = 180_000
"""How long a record may wait for Kafka's return: restarts take seconds, on a busy machine many."""

REQUEST_BYTES_MAX = 1 << 20
"""The largest record that the broker takes."""

STOP_SECONDS = 20.0
"""The producer waits for its records as long as Kafka is away: a campaign that failed must end."""

AT_ONCE = 250
"""Records given to the producer before the loop gets its turn."""


Reached = dict[tuple[str, int], int]
"""Topic and partition → offset."""


class Pump:
    """The campaign's producer. `commands`: where each command lies that Kafka has."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=2,
            request_timeout_ms=AWAY_MS,
            max_request_size=REQUEST_BYTES_MAX,
        )
        self._open: list[tuple[Expected, asyncio.Future[Any]]] = []
        self._reached: Reached = {}
        self.commands: dict[Place, Expected] = {}

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def stop(self) -> None:
        """Close; while Kafka is away, without waiting for what it did not take."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._producer.stop(), STOP_SECONDS)

    async def send(self, records: Sequence[Expected]) -> None:
        """Hand all records over; they are acknowledged later."""
        for number, one in enumerate(records):
            record = one.record
            future = await self._producer.send(
                record.topic,
                record.value,
                key=None if record.key is None else record.key.encode(),
                partition=record.partition,
            )
            self._open.append((one, future))
            if number % AT_ONCE == 0:
                await asyncio.sleep(0)

    async def acknowledged(self) -> Reached:
        """Wait until Kafka has all that was handed over so far; per topic and partition the offset
        after the last of these records. Raises KafkaError."""
        waiting, self._open = self._open, []
        for (one, _), sent in zip(
            waiting, await asyncio.gather(*(future for _, future in waiting)), strict=True
        ):
            if sent.topic == TOPIC[RESERVE]:
                self.commands[sent.partition, sent.offset] = one
            place = (sent.topic, sent.partition)
            self._reached[place] = max(self._reached.get(place, 0), sent.offset + 1)
        return dict(self._reached)
