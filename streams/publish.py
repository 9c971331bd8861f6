"""Produce many records to Kafka, fast and in order, until each is acknowledged.

For loading files and histories. Records are packed into batches here and handed to aiokafka batch
by batch, because its `send()` costs a future per record. Each key's records keep their order; the
partition is murmur2 of the key, as Java's default partitioner and the ledger's shards have it.
Never returns before every record is stored by all in-sync replicas, and never leaves some out: the
first failure stops it. Producing the same file again is harmless, the ledger knows its inputs.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer
from aiokafka.codec import has_lz4
from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
)
from aiokafka.producer.message_accumulator import BatchBuilder
from msgspec import Struct

from ledger.errors import LedgerError
from ledger.sharding import partition_of
from schemas.asyncapi import CONTENT_TYPE
from streams.topics import topic_partitions

Record = tuple[str, str, bytes]
"""Topic, key, value."""

BATCH_BYTES_MAX = 128 << 10
"""Bytes of one batch, 128 KiB: about 100 purchases of nine lines. Measured on an embedded Kafka:
32 KiB 63,000 records/s, 128 KiB 113,000/s, 512 KiB 141,000/s for four times the memory."""

BATCHES_UNACKNOWLEDGED_MAX = 64
"""Batches handed over and not yet acknowledged: 8 MiB, enough to keep a broker busy."""

RECORDS_BEFORE_PAUSE = 2_000
"""Records packed before the sender gets its turn, about 5 ms: the loop must not wait for long."""

REQUEST_TIMEOUT_MS = 40_000
"""Milliseconds to wait for an acknowledgement: above the broker's own 30 s for its replicas."""

_HEADERS = [("content-type", CONTENT_TYPE.encode())]


class PublishFailed(LedgerError):
    """Kafka did not take the records; how many were acknowledged is in the message."""

    code = "publish_failed"


class Produced(Struct, frozen=True):
    """What was acknowledged."""

    records: int
    bytes: int
    seconds: float
    by_topic: dict[str, int]


def _silent(_: int) -> None:
    pass


async def produce(
    records: Iterable[Record], bootstrap: str, progress: Callable[[int], None] = _silent
) -> Produced:
    """Produce all records; `progress` hears how many are acknowledged so far, batch by batch.

    A batch leaves when it is full or the records end: meant for files, not for a slow trickle.

    Raises PublishFailed (kafka_unavailable, topics_missing, record_too_large, publish_failed).
    """
    started = time.monotonic()
    async with _producer(bootstrap) as producer:
        # asked of the admin interface: the producer's own question would create a missing topic
        sender = _Sender(producer, await topic_partitions(bootstrap), progress)
        try:
            for number, (topic, key, value) in enumerate(records):
                await sender.add(topic, key, value)
                if number % RECORDS_BEFORE_PAUSE == 0:
                    await asyncio.sleep(0)
            await sender.finish()
        except KafkaError as error:
            raise _explained(error, sender.acknowledged) from error
        finally:
            sender.abandon()
    return Produced(
        records=sender.acknowledged,
        bytes=sender.bytes,
        seconds=time.monotonic() - started,
        by_topic=sender.by_topic,
    )


@asynccontextmanager
async def _producer(bootstrap: str) -> AsyncIterator[AIOKafkaProducer]:
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        client_id="points-publish",
        acks="all",
        enable_idempotence=True,
        compression_type="lz4" if has_lz4() else None,
        max_batch_size=BATCH_BYTES_MAX,
        request_timeout_ms=REQUEST_TIMEOUT_MS,
    )
    try:
        await producer.start()
    except KafkaError as error:
        await producer.stop()
        raise PublishFailed(
            f"Kafka at {bootstrap} does not answer: run `points up`, or correct"
            " POINTS_KAFKA_BOOTSTRAP.",
            "kafka_unavailable",
        ) from error
    try:
        yield producer
    finally:
        await producer.stop()


class _Sender:
    """Packs records into one open batch per partition and bounds what is on its way."""

    def __init__(
        self,
        producer: AIOKafkaProducer,
        partitions: dict[str, int],
        progress: Callable[[int], None],
    ) -> None:
        self._producer = producer
        self._progress = progress
        self._open: dict[tuple[str, int], BatchBuilder] = {}
        self._partitions = partitions
        self._pending: set[asyncio.Future[object]] = set()
        self._failure: BaseException | None = None
        self.acknowledged = 0
        self.bytes = 0
        self.by_topic: dict[str, int] = {}

    async def add(self, topic: str, key: str, value: bytes) -> None:
        partitions = self._partitions.get(topic)
        if partitions is None:
            raise PublishFailed(
                f"The Kafka topic {topic} does not exist: run `points init`, which creates it.",
                "topics_missing",
            )
        place = (topic, partition_of(key, partitions))
        raw_key = key.encode()
        self.bytes += len(raw_key) + len(value)
        batch = self._open.get(place)
        if batch is not None:
            if batch.append(timestamp=None, key=raw_key, value=value, headers=_HEADERS):
                return
            await self._send(place)
        batch = self._open[place] = self._producer.create_batch()
        batch.append(timestamp=None, key=raw_key, value=value, headers=_HEADERS)

    async def finish(self) -> None:
        for place in list(self._open):
            await self._send(place)
        while self._pending:
            await self._wait_for_one()

    def abandon(self) -> None:
        """Look at every failure, so that none is reported as never retrieved."""
        for future in self._pending:
            future.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _send(self, place: tuple[str, int]) -> None:
        topic, partition = place
        while len(self._pending) >= BATCHES_UNACKNOWLEDGED_MAX:
            await self._wait_for_one()
        batch = self._open.pop(place)
        count = batch.record_count()
        future = await self._producer.send_batch(batch, topic, partition=partition)
        self._pending.add(future)
        future.add_done_callback(lambda done: self._done(done, topic, count))

    async def _wait_for_one(self) -> None:
        done, _ = await asyncio.wait(self._pending, return_when=asyncio.FIRST_COMPLETED)
        for future in done:
            future.result()

    def _done(self, future: asyncio.Future[object], topic: str, count: int) -> None:
        if future.cancelled() or future.exception() is not None:
            return  # stays pending: the next wait raises it
        self._pending.discard(future)
        self.acknowledged += count
        self.by_topic[topic] = self.by_topic.get(topic, 0) + count
        self._progress(self.acknowledged)


def _explained(error: KafkaError, acknowledged: int) -> PublishFailed:
    after = f" {acknowledged} records were stored before; publishing them again is harmless."
    if isinstance(error, MessageSizeTooLargeError):
        return PublishFailed(
            "Kafka refused a record as too large: split the order, or raise the topic's"
            f" max.message.bytes.{after}",
            "record_too_large",
        )
    if isinstance(error, (KafkaConnectionError, KafkaTimeoutError)):
        return PublishFailed(
            f"Kafka stopped answering ({type(error).__name__}): look at its log, then publish"
            f" again.{after}",
            "kafka_unavailable",
        )
    return PublishFailed(f"Kafka did not take the records: {error!r}.{after}")
