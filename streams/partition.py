"""One task for one partition number: merges its topics and appends batch after batch.

Batches of one partition number are strictly one after the other; those of different numbers
overlap. The task owns the queues of its topic-partitions; it is told of chunks and asked for room,
and it never waits inside Faust's delivery. When it ends, its queues are dropped: what was not
appended is read again from the stored offset.
"""

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import structlog
from faust.types import TP

from ledger.received import Received, RecordRef, SourcePosition, TopicMove
from schemas.fields import Instant
from streams.chunks import CHUNK_BYTES_MAX, CHUNK_RECORDS_MAX, Chunk, Room
from streams.merge import READ, UNTIMED, WAIT, Feed, Merge, Read, Wait
from streams.queues import HighWater, TopicQueue

BATCH_RECORDS_MAX = CHUNK_RECORDS_MAX
"""Inputs of one append."""

BATCH_BYTES_MAX = CHUNK_BYTES_MAX
"""Bytes of keys and values of one append (one larger record is a batch of its own)."""

HISTORY_LOOK_SECONDS = 5.0
"""When a history is loaded, how long to wait for word of an empty topic's end that is as new as the
heads of the others: it comes with the next fetch, unless the clock was put back."""

LOOK_AGAIN_SECONDS = 0.01
"""How often a merge that waits for an unread topic looks whether it still has to."""

log = structlog.get_logger(__name__)


class Appender(Protocol):
    """Appends batches of several partition numbers at once."""

    async def append(self, batch: Sequence[Received], cursor: "PartitionTask") -> None:
        """Returns when all of the batch is stored, in one transaction or in several, having asked
        the cursor for the moves of each and told it of them. Raises: WorkerStopped."""


class PartitionTask:
    """Merges and appends one partition number. `starts`: per topic, in the order of ties, where
    reading starts and where the log ended at the seek. `stored`: the offsets stored by then.
    `topic_ids`: Kafka's, stored with the offsets."""

    def __init__(
        self,
        partition: int,
        starts: Mapping[str, tuple[int, int]],
        *,
        group: str,
        room: Room,
        decode: Callable[[Chunk], Feed[Received]],
        appender: Appender,
        slots: asyncio.Semaphore,
        high_water: HighWater,
        max_idle_seconds: float | None,
        fail: Callable[[BaseException], None],
        stored: Mapping[str, int] | None = None,
        topic_ids: Mapping[str, bytes] | None = None,
    ) -> None:
        self.partition = partition
        self._group = group
        self._decode = decode
        self._appender = appender
        self._slots = slots
        self._max_idle_seconds = max_idle_seconds
        self._fail = fail
        self._topics = {
            name: TopicQueue(
                TP(name, partition), start, end, room, high_water, (stored or {}).get(name)
            )
            for name, (start, end) in starts.items()
        }
        self._topic_ids = topic_ids or {}
        self._merge: Merge[Received] = Merge(tuple(starts))
        self._in_flight: Instant | None = None
        self._arrived = asyncio.Event()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to merge and append."""
        self._task = asyncio.create_task(self._run(), name=f"partition-{self.partition}")

    async def stop(self, grace_seconds: float) -> None:
        """Finish the batch in flight, at most for the grace; then give it up (the stored offset
        tells how it ended)."""
        self._stopping = True
        self._arrived.set()
        if self._task is not None:
            _, late = await asyncio.wait({self._task}, timeout=grace_seconds)
            for task in late:
                log.warning("batch_given_up", partition=self.partition)
                task.cancel()
                await asyncio.wait({task}, timeout=grace_seconds)

    def offer(self, chunk: Chunk) -> None:
        """Take a chunk into the queue; never waits. Raises: WorkerStopped when it does not follow
        the one before."""
        self._topics[chunk.topic].offer(chunk)
        self._arrived.set()

    def positions(self) -> dict[TP, int]:
        """Per topic-partition the offset after the last record appended."""
        return {topic.tp: topic.stored for topic in self._topics.values()}

    def lag(self) -> dict[str, int]:
        """Per topic the records between what is appended and the end of the log."""
        return {name: topic.lag for name, topic in self._topics.items()}

    def idle(self) -> bool:
        """Whether everything that is known to be there was appended."""
        return self._in_flight is None and not any(
            topic.unread or not topic.empty for topic in self._topics.values()
        )

    def oldest_unread(self) -> Instant | None:
        """A time that no record read from now on is older than, as far as its topics are in
        order; None when all topics are read to their ends; 0 when nothing is known yet."""
        times = [] if self._in_flight is None else [self._in_flight]
        for name, topic in self._topics.items():
            head = self._merge.head(name)
            if head is not None and head != UNTIMED:
                times.append(head)
            elif head is not None or topic.waiting or topic.unread:
                times.append(topic.last_time or 0)
        return min(times, default=None)

    def heard(self) -> Instant:
        """Up to when it is known what its topics hold: records that came later are not known of."""
        return min(topic.heard for topic in self._topics.values())

    async def _run(self) -> None:
        try:
            while not self._stopping:
                self._arrived.clear()
                batch = self._merge.take(self._more, BATCH_RECORDS_MAX, BATCH_BYTES_MAX)
                if batch:
                    await self._append(batch)
                else:
                    await self._wait()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._fail(error)

    async def _append(self, batch: list[Received]) -> None:
        self._in_flight = min(received.occurred_at for received in batch)
        try:
            async with self._slots:
                await self._appender.append(batch, self)
        finally:
            self._in_flight = None

    def position(self, part: Sequence[Received]) -> SourcePosition:
        """The move of the stored offsets that goes with `part`, which follows what was appended."""
        moves = []
        for name, last in {_record(received).topic: received for received in part}.items():
            topic, record = self._topics[name], _record(last)
            topic.last_time = last.occurred_at or topic.last_time
            moves.append(
                TopicMove(
                    topic=name,
                    from_offset=topic.predecessor,
                    next_offset=record.offset + 1,
                    last_checksum=checksum(record.key, record.value),
                    event_time=self._oldest_of(topic),
                    topic_id=self._topic_ids.get(name),
                    begun=topic.begun,
                )
            )
        return SourcePosition(group=self._group, partition=self.partition, moves=tuple(moves))

    def appended(self, position: SourcePosition) -> None:
        """The moves of `position` are stored."""
        for move in position.moves:
            self._topics[move.topic].appended(move.next_offset)

    def reads(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Per (topic, partition) of which every record read is stored: the stored offset, and how
        far was read past it (over the ends of transactions)."""
        return {
            (name, self.partition): (topic.predecessor, topic.end)
            for name, topic in self._topics.items()
            if topic.begun and topic.records_end <= topic.predecessor < topic.end
        }

    def _oldest_of(self, topic: TopicQueue) -> Instant | None:
        head = self._merge.head(topic.tp.topic)
        if head is not None and head != UNTIMED:
            return head
        return topic.last_time if topic.waiting or topic.unread else None

    def _more(self, name: str) -> Feed[Received] | Wait | Read:
        """What the merge gets of a topic whose records it has used up."""
        topic = self._topics[name]
        chunk = topic.next()
        if chunk is not None:
            return self._decode(chunk)
        return WAIT if self._must_wait_for(topic) else READ

    def _must_wait_for(self, topic: TopicQueue) -> bool:
        """Whether records may come that are older than the heads here. Once the wait was too long
        it is over until the topic's next chunk."""
        others = [other for other in self._topics.values() if other is not topic]
        if not any(self._has_work(other) for other in others):
            return False
        history = self._max_idle_seconds is None
        if topic.unread:
            if history:
                return True
        elif not history or topic.end_told_since(max(other.fetched_ms for other in others)):
            return False
        now = time.monotonic()
        if topic.waited_since is None:
            topic.waited_since = now
        limit = HISTORY_LOOK_SECONDS if self._max_idle_seconds is None else self._max_idle_seconds
        return now - topic.waited_since < limit

    def _has_work(self, topic: TopicQueue) -> bool:
        return topic.waiting or self._merge.head(topic.tp.topic) is not None

    async def _wait(self) -> None:
        waiting = any(self._has_work(topic) for topic in self._topics.values())
        timeout = LOOK_AGAIN_SECONDS if waiting else None
        try:
            await asyncio.wait_for(self._arrived.wait(), timeout)
        except TimeoutError:
            return


def _record(received: Received) -> RecordRef:
    assert received.record is not None
    return received.record


def checksum(key: bytes | None, value: bytes | None) -> bytes:
    """What is stored of the last record of a move, to recognise it at the next seek."""
    digest = hashlib.sha256()
    for part in (key, value):
        digest.update(b"\x00" if part is None else b"\x01" + len(part).to_bytes(8, "big") + part)
    return digest.digest()[:16]
