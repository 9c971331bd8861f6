"""The thread that owns the Kafka client: drains, seeks, leaves the group.

A drain is stamped here with the seek it belongs to (`epoch`) and with the offset where the drain
before it ended: seeks and drains happen in this one thread, so a stamp cannot be wrong. A drain is
handed on once the brokers still tell of the same topics (`streams.guard`). Uses private attributes
of the pinned aiokafka, and mends Faust's ways to wait for ever.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import aiokafka
import structlog
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from mode.threads import WorkerThread

from streams import tolerant
from streams.chunks import Fetched
from streams.described import Described
from streams.guard import TopicGuard

FETCH_WAIT_MS = 100
"""How long the broker may hold a fetch that finds nothing. Faust's 1500 would leave a partition
that was drained meanwhile unfetched for that long."""

LEAVE_SECONDS = 3.0
"""What a broker may take to let a worker leave its group; it is otherwise thrown out in time."""

UNCONFIRMED_PAUSE_SECONDS = 0.2
"""Before records are fetched again whose topics could not be confirmed."""

THREAD_STOP_SECONDS = 5.0
"""What the fetching thread may take to end once the group is left."""

log = structlog.get_logger(__name__)

tolerant.install()


class _DaemonThread(WorkerThread):  # type: ignore[misc]
    """Does not keep the process from ending, and is waited for only so long: mode waits for ever,
    in the event loop."""

    def __init__(self, service: Any, **kwargs: Any) -> None:
        super().__init__(service, **kwargs)
        self.daemon = True

    def stop(self) -> None:
        """Wait until the thread is over, or give it up."""
        if not self.is_stopped.wait(THREAD_STOP_SECONDS):
            log.warning("kafka_thread_given_up")


class ChunkThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that owns the Kafka client."""

    Worker = _DaemonThread

    def __post_init__(self) -> None:
        super().__post_init__()
        self._epoch = 0
        self._drained_to: dict[TP, int] = {}
        self._guard = TopicGuard()

    def _create_worker_consumer(self, transport: driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        # A sender's transaction that was aborted never happened.
        consumer._isolation_level = "read_committed"
        # Range gives a worker the same partition numbers of every topic, which the merge needs;
        # Faust's choice without tables, round robin, would not.
        consumer._partition_assignment_strategy = [RangePartitionAssignor]
        return consumer

    async def seek_all(self, epoch: int, offsets: Mapping[TP, int], described: Described) -> None:
        """Continue at `offsets` of the topics `described`. Raises IllegalStateError when one is no
        longer assigned."""
        await self.call_thread(self._seek_all, epoch, offsets, described)

    async def _seek_all(self, epoch: int, offsets: Mapping[TP, int], described: Described) -> None:
        consumer = self._ensure_consumer()
        self._guard.expect(described)
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
        if consumer._coordinator is not None:
            consumer._coordinator.check_errors()
        try:
            drained = await super()._fetch_records(
                consumer, active_partitions, timeout, max_records
            )
        except BaseException:
            # What was drained of other partitions is lost with it, and their positions are past
            # it: nothing is stamped any more before the next seek.
            self._drained_to = {}
            raise
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
        if stamped or (self._guard.due and self._drained_to):
            return await self._confirmed(consumer, stamped)
        return stamped

    async def _confirmed(
        self, consumer: aiokafka.AIOKafkaConsumer, stamped: dict[TP, Fetched]
    ) -> dict[TP, Fetched]:
        """What was drained, once its topics are confirmed; else nothing, and it is fetched again.
        Raises: WorkerStopped."""
        epoch = self._epoch
        client = consumer._client
        leaders = {
            client.cluster.leader_for_partition(TopicPartition(*tp))
            for tp in stamped or self._drained_to
        }
        known = leaders - {None, -1}
        # A topic that is gone has no leaders: any broker tells of that.
        same = await self._guard.confirm(client, known or {client.get_random_node()})
        if same and known == leaders:
            return stamped
        if self._epoch == epoch:  # else a seek has put all of it right
            try:
                for tp, fetched in stamped.items():
                    consumer.seek(TopicPartition(*tp), fetched.from_offset)
                    self._drained_to[tp] = fetched.from_offset
            except IllegalStateError:
                self._drained_to = {}  # a rebalance takes a partition away; it ends with a seek
        await asyncio.sleep(UNCONFIRMED_PAUSE_SECONDS)
        return {}

    async def leave_group(self) -> None:
        """Give the partitions back now. aiokafka's own close would first wait for a rebalance to
        end, which waits for a loop that has stopped."""
        await self.call_thread(self._leave_group)

    async def _leave_group(self) -> None:
        coordinator = self._ensure_consumer()._coordinator
        if coordinator is not None:
            coordinator._coordination_task.cancel()
            await asyncio.wait({coordinator._coordination_task}, timeout=LEAVE_SECONDS)
            await coordinator._stop_heartbeat_task()
            await asyncio.wait_for(coordinator._maybe_leave_group(), LEAVE_SECONDS)

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
