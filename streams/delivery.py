"""Between Faust and the partition tasks: who reads what, from where, and since when.

An assignment makes one task for each partition number; a revocation ends them after the batch in
flight. Each seek begins a new `epoch`; whatever was fetched before is not delivered. Nothing that
goes wrong in here reaches Faust: it stops the worker.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import structlog
from aiokafka.errors import IllegalStateError, KafkaError
from faust.types import TP

from ledger.crash import crash_point
from ledger.errors import LedgerError, WorkerStopped
from ledger.received import Received, StoredPosition
from schemas.fields import Instant
from streams.again import again
from streams.chunks import Chunk, Room
from streams.consumer import ChunkConsumer, partitions_of
from streams.merge import Feed
from streams.metrics import Metrics
from streams.offsets import check_ids, check_last_records, check_range
from streams.partition import Appender, PartitionTask
from streams.present import all_present
from streams.topics import CONSUMED, describe, inputs_of

FINISH_SECONDS = 20.0
"""What the batch in flight may take when partitions are taken away: many times an append, and well
inside the group's rebalance timeout."""

SEEK_SECONDS = 60.0
"""What finding the offsets may take, retries included: twice what missing topics are waited for, so
that their own sentence is what stops the worker."""

BATCHES_AT_ONCE = 8
"""Batches between their start and their commit, over all partition numbers: one for each of the
default number, so that all of them can go together when they are small; of the large ones few are
appended at once (`together`). More would only hold more in memory."""

log = structlog.get_logger(__name__)


class Positions(Protocol):
    """Where stored offsets come from (`ledger.application.Ledger`)."""

    async def stream_positions(self, group: str) -> Mapping[tuple[str, int], StoredPosition]:
        """By topic and partition."""


class StreamDelivery:
    """The partition tasks of this worker's assignment."""

    def __init__(
        self,
        *,
        group: str,
        bootstrap: str,
        partitions: int,
        positions: Positions,
        decode: Callable[[Chunk], Feed[Received]],
        appender: Appender,
        metrics: Metrics,
        max_idle_seconds: float | None,
        on_fail: Callable[[LedgerError], None],
    ) -> None:
        self.room = Room()
        self.epoch = 0
        self.assignments = 0
        self._group = group
        self._bootstrap = bootstrap
        self._partition_count = partitions
        self._positions = positions
        self._decode = decode
        self._appender = appender
        self._metrics = metrics
        self._max_idle_seconds = max_idle_seconds
        self._on_fail = on_fail
        self._slots = asyncio.Semaphore(BATCHES_AT_ONCE)
        self._tasks: dict[int, PartitionTask] = {}

    def accept(self, chunk: Chunk) -> None:
        """An agent hands over its chunk. Never waits, never raises."""
        self._metrics.chunk_records.observe(len(chunk.records))
        task = self._tasks.get(chunk.partition)
        if chunk.epoch != self.epoch or task is None:
            return  # fetched before a rebalance: read again by whoever has the partition now
        try:
            task.offer(chunk)
        except LedgerError as error:
            self.fail(error)

    async def assigned(self, consumer: ChunkConsumer) -> None:
        """Seek the assignment to its stored offsets and start its tasks. Lets no error out."""
        try:
            async with asyncio.timeout(SEEK_SECONDS):
                await self._assign(consumer)
        except LedgerError as error:
            self.fail(error)
        except Exception as error:
            log.error("seek_failed", exc_info=error)
            self.fail(
                WorkerStopped(
                    f"The stored offsets could not be read or sought ({error!r}): see whether "
                    "PostgreSQL and Kafka answer, then start the worker again.",
                    "kafka_gone" if isinstance(error, KafkaError) else "database_gone",
                )
            )

    async def revoked(self) -> dict[TP, int]:
        """Stop fetching, finish the batches in flight, drop what is queued. Returns the offsets
        reached, of each topic-partition."""
        self.epoch += 1
        self.room.close()
        tasks, self._tasks = self._tasks, {}
        self._metrics.partitions.set(0)
        if tasks:
            await asyncio.gather(*(task.stop(FINISH_SECONDS) for task in tasks.values()))
        return _positions(tasks.values())

    def fail(self, error: BaseException) -> None:
        """Stop the worker."""
        if not isinstance(error, LedgerError):
            log.error("partition_failed", exc_info=error)
            error = WorkerStopped(
                f"A bug stopped a partition ({error!r}): nothing of it was stored. Read the log.",
                "worker_bug",
            )
        self._on_fail(error)

    @property
    def partitions(self) -> Sequence[int]:
        """The partition numbers read now."""
        return tuple(self._tasks)

    def positions(self) -> dict[TP, int]:
        """Per topic-partition the offset after the last record appended."""
        return _positions(self._tasks.values())

    def reads(self) -> dict[tuple[str, int], tuple[int, int]]:
        """See PartitionTask, over all partitions."""
        return {tp: read for task in self._tasks.values() for tp, read in task.reads().items()}

    def lag(self) -> dict[str, int]:
        """Per topic the records not appended yet."""
        total = dict.fromkeys(CONSUMED, 0)
        for task in self._tasks.values():
            for topic, records in task.lag().items():
                total[topic] += records
        return total

    def idle(self) -> bool:
        """Whether an assignment is there and read to its end."""
        return self.assignments > 0 and all(task.idle() for task in self._tasks.values())

    def oldest_unread(self, partition: int) -> Instant | None:
        """See PartitionTask; 0 (nothing is known) for a partition that is not read here."""
        task = self._tasks.get(partition)
        return 0 if task is None else task.oldest_unread()

    def heard(self, partition: int) -> Instant:
        """See PartitionTask; 0 for a partition that is not read here."""
        task = self._tasks.get(partition)
        return 0 if task is None else task.heard()

    async def _assign(self, consumer: ChunkConsumer) -> None:
        await self.revoked()
        epoch = self.epoch
        described = await all_present(
            lambda: again(lambda: describe(self._bootstrap), SEEK_SECONDS), self._partition_count
        )
        described = inputs_of(described)
        assignment = {tp for tp in consumer.assignment() if tp.topic in CONSUMED}
        topics = partitions_of(assignment)
        if any(names != set(CONSUMED) for names in topics.values()):
            raise WorkerStopped(
                "Kafka assigned the topics of one partition number to different workers: all "
                "workers of a group must run the same version. Stop the others and start again.",
                "assignment_split",
            )
        first, end = {}, {}
        if assignment:  # without names, all topics would be meant
            found = await again(lambda: consumer.earliest_offsets(*assignment), SEEK_SECONDS)
            first = {TP(*tp): offset for tp, offset in found.items()}
            found = await again(lambda: consumer.highwaters(*assignment), SEEK_SECONDS)
            end = {TP(*tp): offset for tp, offset in found.items()}
        every = await again(lambda: self._positions.stream_positions(self._group), SEEK_SECONDS)
        stored = {TP(*tp): at for tp, at in every.items() if TP(*tp) in assignment}
        check_ids(stored, described.ids())
        starts = check_range(stored, first, end)
        await again(lambda: check_last_records(self._bootstrap, stored, first), SEEK_SECONDS)
        crash_point("worker.before_seek")
        try:
            if self.epoch == epoch:
                await consumer.seek_all(epoch, starts, described)
        except IllegalStateError:
            return  # a rebalance has taken a partition away; it ends with another call
        crash_point("worker.after_seek")
        if self.epoch != epoch:
            return
        for partition in topics:
            self._tasks[partition] = self._task(
                partition,
                {
                    name: (starts[TP(name, partition)], end[TP(name, partition)])
                    for name in CONSUMED
                },
                {
                    tp.topic: at.next_offset
                    for tp, at in stored.items()
                    if tp.partition == partition
                },
                described.ids(),
                consumer,
            )
        self.room.open(starts)
        for task in self._tasks.values():
            task.start()
        self.assignments += 1
        self._metrics.rebalances.inc()
        self._metrics.partitions.set(len(topics))
        log.info("assigned", partitions=sorted(topics), lag=self.lag())

    def _task(
        self,
        partition: int,
        starts: Mapping[str, tuple[int, int]],
        stored: Mapping[str, int],
        topic_ids: Mapping[str, bytes],
        consumer: ChunkConsumer,
    ) -> PartitionTask:
        return PartitionTask(
            partition,
            starts,
            stored=stored,
            topic_ids=topic_ids,
            group=self._group,
            room=self.room,
            decode=self._decode,
            appender=self._appender,
            slots=self._slots,
            high_water=consumer.high_water,
            max_idle_seconds=self._max_idle_seconds,
            fail=self.fail,
        )


def _positions(tasks: Iterable[PartitionTask]) -> dict[TP, int]:
    return {tp: at for task in tasks for tp, at in task.positions().items()}
