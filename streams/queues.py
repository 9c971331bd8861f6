"""The queue of one topic-partition: its chunks, and the offsets that go with them.

Filled by Faust's delivery, emptied by the partition's task; how much may wait is bounded by what is
fetched at all (`streams.chunks.Room`). Knows where the log ends as far as the broker has told.
"""

from collections import deque
from collections.abc import Callable

from faust.types import TP

from ledger.errors import WorkerStopped
from schemas.fields import Instant
from streams.chunks import Chunk, Room

HighWater = Callable[[str, int], tuple[int, int] | None]
"""Where the log of a topic-partition ends, and when the broker told (milliseconds since 1970)."""


class TopicQueue:
    """`end`: where the last chunk accepted ended; `records_end`: the offset after the last record
    accepted; `stored`: the offset after the last record appended; `predecessor`: the same as
    PostgreSQL has it (where the log's beginning had moved past it, reading started later); `begun`:
    PostgreSQL has one; `last_time`: instant of the last record merged; `waited_since`: monotonic
    seconds."""

    def __init__(
        self,
        tp: TP,
        start: int,
        end_at_seek: int,
        room: Room,
        high_water: HighWater,
        predecessor: int | None = None,
    ) -> None:
        self.tp = tp
        self.end = start
        self.stored = start
        self.predecessor = start if predecessor is None else predecessor
        self.begun = predecessor is not None
        self.records_end = 0
        self.last_time: Instant | None = None
        self.waited_since: float | None = None
        self._end_at_seek = end_at_seek
        self._room = room
        self._high_water = high_water
        self._chunks: deque[Chunk] = deque()
        self._open: Chunk | None = None

    def offer(self, chunk: Chunk) -> None:
        """Take a chunk. Raises: WorkerStopped when it does not follow the one before."""
        if chunk.from_offset != self.end:
            raise WorkerStopped(
                f"A chunk of {chunk.topic}/{chunk.partition} starts after offset "
                f"{chunk.from_offset}, but {self.end} is next: this is a bug, nothing was "
                "skipped; restart the worker and report it.",
                "worker_bug",
            )
        self.end = chunk.next_offset
        self.waited_since = None
        if chunk.records:
            self.records_end = chunk.records[-1].offset + 1
            self._chunks.append(chunk)

    def appended(self, next_offset: int) -> None:
        """Everything before this offset is stored."""
        self.stored = self.predecessor = next_offset
        self.begun = True

    def next(self) -> Chunk | None:
        """The next chunk, if one is here; the one before it is used up."""
        if self._open is not None:
            self._room.took(self.tp, len(self._open.records), self._open.size_bytes)
        self._open = self._chunks.popleft() if self._chunks else None
        return self._open

    @property
    def waiting(self) -> bool:
        """Whether a chunk waits that is not begun."""
        return bool(self._chunks)

    @property
    def empty(self) -> bool:
        """Whether no chunk is here, begun or not."""
        return not self._chunks and self._open is None

    @property
    def fetched_ms(self) -> int:
        """When the broker sent the oldest chunk here; 0 if there is none."""
        oldest = self._open or (self._chunks[0] if self._chunks else None)
        return 0 if oldest is None else oldest.fetched_ms

    @property
    def unread(self) -> bool:
        """Whether the log goes on after the last chunk here."""
        return self._log_end() > self.end

    @property
    def lag(self) -> int:
        """Records between what is appended and the end of the log. (The last offsets may hold none:
        the ends of transactions.)"""
        return max(self._log_end() - (self.end if self.empty else self.stored), 0)

    def end_told_since(self, sent_ms: int) -> bool:
        """Whether the broker told where the log ends at `sent_ms` or later."""
        told = self._high_water(*self.tp)
        return told is not None and told[1] >= sent_ms

    @property
    def heard(self) -> Instant:
        """When the broker last told where the log ends; 0 when it never did."""
        told = self._high_water(*self.tp)
        return 0 if told is None else told[1] * 1_000

    def _log_end(self) -> int:
        told = self._high_water(*self.tp)
        return self._end_at_seek if told is None else max(told[0], self._end_at_seek)
