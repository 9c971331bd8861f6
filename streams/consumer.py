"""Faust's consumer, changed where records become chunks: what is asked for, and from where.

Only partitions with room are asked for; what was drained before a seek and arrives after it is
dropped. Where to seek is not Kafka's word: `Delivery` reads it from PostgreSQL. Faust's own acks,
commits and livelock checks have nothing to do here.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Protocol, cast

from aiokafka.errors import (
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from ledger.errors import LedgerError, WorkerStopped
from streams.chunks import CHUNK_RECORDS_MAX, DRAIN_RECORDS_MAX, Chunk, Room
from streams.described import Described
from streams.fetching import LEAVE_SECONDS, ChunkThread

ROOM_WAIT_SECONDS = 0.05
"""How long to wait for room when all partitions are full, before looking again."""

DRAIN_WAIT_SECONDS = 0.2
"""How long a drain waits for records when every partition has room."""

DRAIN_WAIT_FULL_SECONDS = 0.01
"""The same while some are full: one of them may get room meanwhile, and its records are here."""

PACE_SECONDS = 0.04
"""Least time between two drains while a few records wait: these are appended meanwhile, and what
comes then goes together. Each drain asks the brokers two questions, and hands over between two
threads and one chunk for each partition, however little it brings. Where nothing waits, what comes
is fetched at once."""

PACED_BELOW_RECORDS = CHUNK_RECORDS_MAX
"""As many records that wait are an append of their own: whoever has a backlog does not pause."""


class Delivery(Protocol):
    """What the consumer needs of the side that decides."""

    room: Room
    epoch: int

    async def assigned(self, consumer: "ChunkConsumer") -> None:
        """Seek the assignment to its stored offsets and open it. Lets no error out."""

    def fail(self, error: LedgerError) -> None:
        """Stop the worker."""


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]
    """Delivers chunks of the partitions that have room, from the offsets that PostgreSQL holds."""

    _thread: ChunkThread
    _drained_at = 0.0

    @property
    def delivery(self) -> Delivery:
        return cast(Delivery, self.app.delivery)

    def _new_consumer_thread(self) -> ChunkThread:
        return ChunkThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Faust calls this after an assignment and before fetching resumes."""
        await self.delivery.assigned(self)

    async def seek_all(self, epoch: int, offsets: Mapping[TP, int], described: Described) -> None:
        """Continue at `offsets` of the topics `described`; whatever was drained before is no longer
        delivered."""
        await self._thread.seek_all(epoch, offsets, described)
        # Faust drops what is before its own idea of the offset read last.
        self._read_offset.update(dict.fromkeys(offsets, None))

    async def commit_for_lag_tools(self, offsets: Mapping[TP, int]) -> bool:
        """See ChunkThread."""
        return await self._thread.commit_for_lag_tools(offsets)

    async def leave_group(self) -> None:
        """See ChunkThread."""
        await asyncio.wait_for(self._thread.leave_group(), 3 * LEAVE_SECONDS)

    def high_water(self, topic: str, partition: int) -> tuple[int, int] | None:
        """The end of the partition as the broker last told, and when (ms since 1970)."""
        client = self._thread._consumer
        tp = TopicPartition(topic, partition)
        try:
            if client is None or (end := client.highwater(tp)) is None:
                return None
            return end, client.last_poll_timestamp(tp) or 0
        except (IllegalStateError, AssertionError, AttributeError):
            return None  # a rebalance has just taken the partition away

    async def getmany(
        self,
        timeout: float,  # noqa: ARG002, ASYNC109 (Faust's second is too long, see below)
    ) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """Deliver the next chunks of partitions with room."""
        delivery = self.delivery
        if 0 < delivery.room.waiting() < PACED_BELOW_RECORDS:
            await asyncio.sleep(max(self._drained_at + PACE_SECONDS - time.monotonic(), 0.0))
        self._drained_at = time.monotonic()
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        asked = delivery.room.asked()
        wait_seconds = DRAIN_WAIT_FULL_SECONDS if delivery.room.some_full() else DRAIN_WAIT_SECONDS
        if not asked:
            await delivery.room.wait(ROOM_WAIT_SECONDS)
            return
        try:
            fetched = await self._thread.call_thread(
                self._thread._fetch_records,
                self._thread._ensure_consumer(),
                asked,
                timeout=wait_seconds,
                max_records=DRAIN_RECORDS_MAX,
            )
        except self.consumer_stopped_errors:
            raise
        except KafkaError as error:
            delivery.fail(_fetch_failed(error))
            return
        except LedgerError as error:
            delivery.fail(error)
            return
        for tp, chunk in self.scheduler.iterate(fetched):
            # A drain may begin before a rebalance and end between its seek and the moment at which
            # Faust lets the flow go on: the positions are past it, nothing would read it again.
            if not self.flow_active:
                await self.wait(self.can_resume_flow)
            if self.should_stop or chunk.epoch != delivery.epoch:
                return
            delivery.room.put(tp, len(chunk.records), chunk.size_bytes)
            yield tp, self._chunk_message(tp, chunk)

    def _chunk_message(self, tp: TP, chunk: Chunk) -> ConsumerMessage:
        return ConsumerMessage(
            chunk.topic,
            chunk.partition,
            chunk.from_offset,
            0.0,
            0,
            (),
            None,
            chunk,
            None,
            -1,
            chunk.size_bytes,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Faust's livelock check takes a full partition for a dead one; /readyz shows lag."""

    async def commit(self, *_: Any, **__: Any) -> bool:
        """Nothing is acked with Kafka, so Faust has nothing to commit."""
        return False


class ChunkTransport(driver.Transport):  # type: ignore[misc]
    """Faust's aiokafka transport with the consumer above."""

    Consumer = ChunkConsumer


def partitions_of(assignment: Iterable[TP]) -> dict[int, set[str]]:
    """The topics of each assigned partition number."""
    topics: dict[int, set[str]] = {}
    for topic, partition in assignment:
        topics.setdefault(partition, set()).add(topic)
    return topics


def _fetch_failed(error: KafkaError) -> WorkerStopped:
    if isinstance(error, OffsetOutOfRangeError | NoOffsetForPartitionError):
        return WorkerStopped(
            f"Kafka no longer serves the offset to read next ({error!r}): the topic was truncated, "
            "recreated or has expired under the worker. Restore it; or fill it from its source and "
            "run `points kafka adopt` (what was taken before is then a duplicate).",
            "input_lost",
        )
    return WorkerStopped(
        f"Kafka does not serve the input topics ({error!r}): see its brokers and the rights of "
        "this user, then start the worker again.",
        "kafka_gone",
    )
