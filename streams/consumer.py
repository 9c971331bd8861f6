"""Faust's consumer, changed in four places: chunks, room, seeks, the group's assignor.

A drain is stamped, in the thread that owns the Kafka client, with the seek it belongs to (`epoch`)
and with the offset where the drain before it ended; what was drained before a seek and arrives
after it is dropped. Only partitions with room are asked for. Where to seek is not Kafka's word:
`Delivery` reads it from PostgreSQL. Uses private attributes of the pinned aiokafka.
"""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any, Protocol, cast

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from ledger.errors import LedgerError, WorkerStopped
from streams.chunks import DRAIN_RECORDS_MAX, Chunk, Fetched, Room

FETCH_WAIT_MS = 100
"""How long the broker may hold a fetch that finds nothing. Faust's 1500 would leave a partition
that was drained meanwhile unfetched for that long."""

ROOM_WAIT_SECONDS = 0.05
"""How long to wait for room when all partitions are full, before looking again."""

DRAIN_WAIT_SECONDS = 0.2
"""How long a drain waits for records when every partition has room."""

DRAIN_WAIT_FULL_SECONDS = 0.01
"""The same while some are full: one of them may get room meanwhile, and its records are here."""


class Delivery(Protocol):
    """What the consumer needs of the side that decides."""

    room: Room
    epoch: int

    async def assigned(self, consumer: "ChunkConsumer") -> None:
        """Seek the assignment to its stored offsets and open it. Lets no error out."""

    def fail(self, error: LedgerError) -> None:
        """Stop the worker."""


class ChunkThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that owns the Kafka client."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._epoch = 0
        self._drained_to: dict[TP, int] = {}

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        # Range gives a worker the same partition numbers of every topic, which the merge needs;
        # Faust's choice without tables, round robin, would not.
        consumer._partition_assignment_strategy = [RangePartitionAssignor]
        return consumer

    async def seek_all(self, epoch: int, offsets: Mapping[TP, int]) -> None:
        """Continue at `offsets`. Raises IllegalStateError when one is no longer assigned."""
        await self.call_thread(self._seek_all, epoch, offsets)

    async def _seek_all(self, epoch: int, offsets: Mapping[TP, int]) -> None:
        consumer = self._ensure_consumer()
        self._epoch = epoch
        self._drained_to = dict(offsets)
        for tp, offset in offsets.items():
            consumer.seek(TopicPartition(*tp), offset)

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,  # noqa: ASYNC109 (Faust's name)
        max_records: int | None = None,
    ) -> dict[TP, Fetched]:
        drained = await super()._fetch_records(consumer, active_partitions, timeout, max_records)
        # From here to the end nothing else runs in this thread, so positions belong to `drained`.
        assignment = consumer._subscription.subscription.assignment
        stamped: dict[TP, Fetched] = {}
        for tp, start in self._drained_to.items():
            state = assignment.state_value(tp) if assignment is not None else None
            if state is None or not state.has_valid_position or state.position <= start:
                continue
            stamped[tp] = Fetched(
                drained.get(tp, ()),
                epoch=self._epoch,
                from_offset=start,
                next_offset=state.position,
                fetched_ms=state.timestamp or 0,
            )
            self._drained_to[tp] = state.position
        return stamped

    async def commit_for_lag_tools(self, offsets: Mapping[TP, int]) -> bool:
        """Tell Kafka how far we are; nothing of ours ever reads it. False when it did not work."""
        return bool(await self.call_thread(self._commit_for_lag_tools, offsets))

    async def _commit_for_lag_tools(self, offsets: Mapping[TP, int]) -> bool:
        consumer = self._ensure_consumer()
        assigned = consumer.assignment()
        known = {
            TopicPartition(*tp): OffsetAndMetadata(offset, "")
            for tp, offset in offsets.items()
            if tp in assigned
        }
        try:
            if known:
                await consumer.commit(known)
        except (CommitFailedError, IllegalStateError, KafkaError) as error:
            self.log.info("group offset not committed: %r", error)
            return False
        return True


class ChunkConsumer(driver.Consumer):  # type: ignore[misc]
    """Delivers chunks of the partitions that have room, from the offsets that PostgreSQL holds."""

    _thread: ChunkThread

    @property
    def delivery(self) -> Delivery:
        return cast(Delivery, self.app.delivery)

    def _new_consumer_thread(self) -> ChunkThread:
        return ChunkThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Faust calls this after an assignment and before fetching resumes."""
        await self.delivery.assigned(self)

    async def seek_all(self, epoch: int, offsets: Mapping[TP, int]) -> None:
        """Continue at `offsets`; whatever was drained before is no longer delivered."""
        await self._thread.seek_all(epoch, offsets)
        # Faust drops what is before its own idea of the offset read last.
        self._read_offset.update(dict.fromkeys(offsets, None))

    async def commit_for_lag_tools(self, offsets: Mapping[TP, int]) -> bool:
        """See ChunkThread."""
        return await self._thread.commit_for_lag_tools(offsets)

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
        if not self.flow_active:
            await self.wait(self.can_resume_flow)
        delivery = self.delivery
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
        for tp, chunk in self.scheduler.iterate(fetched):
            if self.should_stop or not self.flow_active or chunk.epoch != delivery.epoch:
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
    return WorkerStopped(
        f"Kafka no longer serves the offset to read next ({error!r}): the topic was truncated, "
        "recreated or has expired under the worker. Restore it, or see the documentation on "
        "lost input.",
        "input_lost",
    )
