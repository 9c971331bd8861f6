"""Messages of the feeds packed into Kafka's batches, and handed over partition beside partition.

aiokafka's `send()` costs a future for each record, and its small batches go to a partition one
after the other, each waiting for the one before: packed here, a partition has few and large ones.
"""

import asyncio
from collections.abc import Iterable, Mapping
from itertools import zip_longest

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from analytics.feed_states import Message
from schemas.asyncapi import CONTENT_TYPE

BATCH_BYTES_MAX = 512 << 10
"""Bytes of one batch before it is compressed, 512 KiB: half of what a broker takes by default. A
larger message is a batch of its own."""

_HEADERS = [("content-type", CONTENT_TYPE.encode())]

Place = tuple[str, int]
"""A topic and a partition."""

Batches = Mapping[Place, list[BatchBuilder]]


def packed(producer: AIOKafkaProducer, messages: Iterable[Message], partitions: int) -> Batches:
    """The messages in batches, those of each partition in their order. `partitions`: of a topic."""
    found: dict[Place, list[BatchBuilder]] = {}
    for message in messages:
        # As the key's own hash says for members, whose shard follows from the same hash.
        partition = message.shard % partitions if message.shard >= 0 else 0
        batches = found.setdefault((message.topic, partition), [])
        if not batches or not _add(batches[-1], message):
            batches.append(producer.create_batch())
            added = _add(batches[-1], message)
            assert added, "an empty batch takes any message"
    for batches in found.values():
        batches[-1].close()  # or it would linger for more
    return found


def _add(batch: BatchBuilder, message: Message) -> bool:
    key = message.key.encode()
    added = batch.append(timestamp=None, key=key, value=message.value, headers=_HEADERS)
    return added is not None


async def send(producer: AIOKafkaProducer, batches: Batches) -> "list[asyncio.Future[object]]":
    """Hand all batches over, in the transaction that is open; what tells of their confirmation. Of
    each partition the first one, then the second ones: none waits for another partition's."""
    sent: list[asyncio.Future[object]] = []
    for turn in zip_longest(*batches.values()):
        for (topic, partition), batch in zip(batches, turn, strict=True):
            if batch is not None:
                future = await producer.send_batch(batch, topic, partition=partition)
                future.add_done_callback(_looked_at)
                sent.append(future)
    return sent


def _looked_at(done: "asyncio.Future[object]") -> None:
    """A failure is raised by whoever awaits; if handing over failed before, nobody does."""
    if not done.cancelled():
        done.exception()
