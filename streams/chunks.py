"""Chunks: what Faust carries instead of records.

Faust spends four futures on each thing it delivers, so one thing is a chunk: records of one
partition from one fetch. The scheduler cuts a fetch into chunks and tells each where the one
before it ended. `Room` says which partitions may be fetched: a full one is left out of what is
asked for, because waiting for it in the delivery loop would also stop the topics that a merge
waits for, and pausing it would drop what is already fetched.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from faust.types import TP
from msgspec import Struct

CHUNK_RECORDS_MAX = 500
"""Records in a chunk: as many as one append takes."""

CHUNK_BYTES_MAX = 1 << 20
"""Bytes of keys, values and headers in a chunk (one larger record is a chunk of its own)."""

HEADER_BYTES = 100
"""What Python's objects for one header take beside its bytes: of many short ones the most."""

QUEUED_RECORDS_MAX = 2_000
"""A topic-partition with so many records waiting is not fetched: four appends, over 50 ms of work,
which hides a fetch. At most one drain (DRAIN_RECORDS_MAX) comes on top."""

QUEUED_BYTES_MAX = 4 << 20
"""The same in bytes."""

DRAIN_RECORDS_MAX = 4_000
"""Records taken from the client's buffer at once, over all partitions: bounds what a full
partition can get on top, and how long the fetching thread holds the interpreter (about 10 ms)."""


class Record(Protocol):
    """What is used of aiokafka's record. `timestamp`: milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    serialized_key_size: int
    serialized_value_size: int


class Fetched(list[Record]):
    """Records of one partition, drained in one go.

    `from_offset`: where the drain before it ended; `next_offset`: where this one does (past
    offsets that hold no record); `epoch`: the seek they belong to; `fetched_ms`: when the broker's
    answer came, milliseconds since 1970.
    """

    __slots__ = ("epoch", "fetched_ms", "from_offset", "next_offset")

    def __init__(
        self,
        records: Iterable[Record],
        *,
        epoch: int,
        from_offset: int,
        next_offset: int,
        fetched_ms: int,
    ) -> None:
        super().__init__(records)
        self.epoch = epoch
        self.fetched_ms = fetched_ms
        self.from_offset = from_offset
        self.next_offset = next_offset


class Chunk(Struct, frozen=True):
    """At most CHUNK_RECORDS_MAX records and CHUNK_BYTES_MAX bytes of one partition.

    Without records it only says that [from_offset, next_offset) holds none.
    """

    topic: str
    partition: int
    epoch: int
    fetched_ms: int
    from_offset: int
    next_offset: int
    records: list[Record]
    size_bytes: int


class ChunkScheduler:
    """Faust's `ConsumerScheduler`: cuts what was fetched into chunks, partition by partition in
    turn, so that no partition waits for another's whole fetch."""

    def iterate(self, records: Mapping[TP, Fetched]) -> Iterator[tuple[TP, Chunk]]:
        """Yield every chunk; of one partition in offset order."""
        turns = deque((tp, cut(tp, fetched)) for tp, fetched in records.items())
        while turns:
            tp, chunks = turns.popleft()
            chunk = next(chunks, None)
            if chunk is not None:
                yield tp, chunk
                turns.append((tp, chunks))


def cut(tp: TP, fetched: Fetched) -> Iterator[Chunk]:
    """Cut one drain into chunks that follow each other without a gap."""
    start, size = 0, 0
    from_offset = fetched.from_offset

    def chunk(next_offset: int, records: list[Record]) -> Chunk:
        return Chunk(
            tp.topic,
            tp.partition,
            fetched.epoch,
            fetched.fetched_ms,
            from_offset,
            next_offset,
            records,
            size,
        )

    for index, record in enumerate(fetched):
        weight = record_bytes(record)
        if index > start and (
            index - start >= CHUNK_RECORDS_MAX or size + weight > CHUNK_BYTES_MAX
        ):
            next_offset = fetched[index - 1].offset + 1
            yield chunk(next_offset, fetched[start:index])
            start, size, from_offset = index, 0, next_offset
        size += weight
    rest = fetched[start:]
    if rest or from_offset < fetched.next_offset:
        yield chunk(fetched.next_offset, rest)


def record_bytes(record: Record) -> int:
    """Bytes of key, value and headers."""
    size = max(record.serialized_key_size, 0) + max(record.serialized_value_size, 0)
    for name, value in record.headers:
        size += len(name) + len(value or b"") + HEADER_BYTES
    return size


class Room:
    """Which topic-partitions may be fetched: those sought to and not full.

    Closed from the moment a rebalance takes partitions away until the next seek is done.
    """

    def __init__(self) -> None:
        self._records: dict[TP, int] = {}
        self._bytes: dict[TP, int] = {}
        self._freed = asyncio.Event()

    def open(self, partitions: Iterable[TP]) -> None:
        """Fetch these from now on; nothing waits in them."""
        self._records = dict.fromkeys(partitions, 0)
        self._bytes = dict.fromkeys(self._records, 0)
        self._freed.set()

    def close(self) -> None:
        """Fetch nothing until the next `open`."""
        self._records = {}
        self._bytes = {}

    def put(self, tp: TP, records: int, size_bytes: int) -> None:
        """Records of `tp` now wait to be decided."""
        if tp in self._records:
            self._records[tp] += records
            self._bytes[tp] += size_bytes

    def took(self, tp: TP, records: int, size_bytes: int) -> None:
        """Records of `tp` no longer wait."""
        if tp in self._records:
            self._records[tp] -= records
            self._bytes[tp] -= size_bytes
            self._freed.set()

    def asked(self) -> set[TP]:
        """The partitions to ask the client for. Empty means: do not ask (it would mean all)."""
        return {
            tp
            for tp, records in self._records.items()
            if records < QUEUED_RECORDS_MAX and self._bytes[tp] < QUEUED_BYTES_MAX
        }

    def some_full(self) -> bool:
        """Whether a partition is left out of `asked`."""
        return len(self.asked()) < len(self._records)

    def waiting(self) -> int:
        """Records that wait, over all partitions."""
        return sum(self._records.values())

    async def wait(self, timeout_seconds: float) -> None:
        """Until some room was freed, or the time is over."""
        self._freed.clear()
        try:
            await asyncio.wait_for(self._freed.wait(), timeout_seconds)
        except TimeoutError:
            return
