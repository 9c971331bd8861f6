"""Records whose headers have names that are not UTF-8, which aiokafka's parser does not survive.

The protocol calls a header's name a string, but brokers take any bytes, and one such record would
stop every worker for ever. Here a batch that the parser gives up is parsed once more, with such
names kept as surrogate escapes: `schemas.decode` then makes a dead letter of the record. A batch
that is damaged otherwise still raises. One name of aiokafka is replaced (`install`), for every
consumer of this process; batches that its parser can read cost a generator's step more.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from struct import Struct
from typing import Any, NamedTuple

from aiokafka.codec import gzip_decode, lz4_decode, snappy_decode, zstd_decode
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.legacy_records import LegacyRecordBatch
from aiokafka.record.util import decode_varint

from ledger.headers import Headers, name_of

_FRAME = Struct(">qi")
"""What every batch begins with: base offset, bytes that follow."""

_MAGIC_AT = 16
"""Where the version of a batch's format stands."""

_BATCH = Struct(">qiibIhiqqqhii")
"""The head of a batch of format 2; after it come its records, compressed or not."""

_BATCH_BYTES_MIN = 26
"""The smallest batch of the oldest format."""

_CODEC = 0x07
_LOG_APPEND_TIME = 0x08
_DECODE: Mapping[int, Callable[[bytes], bytes]] = {
    0: lambda data: data,
    1: gzip_decode,
    2: snappy_decode,
    3: lz4_decode,
    4: zstd_decode,
}


class TolerantRecord(NamedTuple):
    """A record as aiokafka's parser would have given it. `timestamp`: milliseconds since 1970."""

    offset: int
    timestamp: int
    timestamp_type: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    checksum: None = None


class TolerantBatch:
    """A batch of aiokafka's, but for what happens when its records cannot be read."""

    def __init__(self, raw: memoryview) -> None:
        self._raw = raw
        self._batch: Any = DefaultRecordBatch(raw)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        """The next record as it is, of a control batch."""
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        """The records. Raises CorruptRecordException for a batch that is damaged."""
        read = 0
        try:
            for record in self._batch:
                yield record
                read += 1
        except (UnicodeDecodeError, CorruptRecordException):
            yield from islice(parse(self._raw), read, None)


class TolerantRecords:
    """What a broker sent of a partition: whole batches, and perhaps the begin of one more."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._at = 0
        self._next = self._slice()

    def size_in_bytes(self) -> int:
        """Of all that was sent."""
        return len(self._data)

    def has_next(self) -> bool:
        """Whether another whole batch is there."""
        return self._next is not None

    def next_batch(self) -> Any:
        """The next batch, None after the last. Raises CorruptRecordException."""
        raw = self._next
        if raw is None:
            return None
        if len(raw) < _BATCH_BYTES_MIN:
            raise CorruptRecordException(f"A batch of {len(raw)} bytes is too short to be one.")
        self._next = self._slice()
        magic = raw[_MAGIC_AT]
        return TolerantBatch(raw) if magic >= 2 else LegacyRecordBatch(raw, magic)

    def _slice(self) -> memoryview | None:
        left = len(self._data) - self._at
        if left < _FRAME.size:
            return None
        _, length = _FRAME.unpack_from(self._data, self._at)
        if length < 0 or _FRAME.size + length > left:
            return None
        begin, self._at = self._at, self._at + _FRAME.size + length
        return self._data[begin : self._at]


def install() -> None:
    """Let every consumer of this process read so."""
    fetcher.MemoryRecords = TolerantRecords


def parse(raw: memoryview) -> Iterator[TolerantRecord]:
    """The records of a batch of format 2, whatever their headers are called.

    Raises CorruptRecordException.
    """
    head = _BATCH.unpack_from(raw)
    base_offset, attributes, count = head[0], head[5], head[12]
    first_ms, latest_ms = head[7], head[8]
    data = bytes(raw[_BATCH.size :])
    try:
        data = bytes(_DECODE[attributes & _CODEC](data))
        at = 0
        for _ in range(count):
            at, delta_ms, delta, key, value, headers = _record(data, at)
            appended = bool(attributes & _LOG_APPEND_TIME)
            yield TolerantRecord(
                base_offset + delta,
                latest_ms if appended else first_ms + delta_ms,
                int(appended),
                key,
                value,
                headers,
            )
    except (ValueError, IndexError, KeyError, OverflowError) as error:
        raise CorruptRecordException(f"A record cannot be read: {error!r}") from error
    if at != len(data):
        raise CorruptRecordException(f"{len(data) - at} bytes follow the last record of a batch.")


def _record(data: bytes, at: int) -> tuple[int, int, int, bytes | None, bytes | None, Headers]:
    length, at = decode_varint(data, at)
    end = at + length
    _, at = decode_varint(data, at)  # attributes: none are used
    delta_ms, at = decode_varint(data, at)
    delta, at = decode_varint(data, at)
    key, at = _bytes(data, at)
    value, at = _bytes(data, at)
    count, at = decode_varint(data, at)
    headers = []
    for _ in range(count):
        name, at = _bytes(data, at)
        content, at = _bytes(data, at)
        if name is None:
            raise ValueError("a header without name")
        headers.append((name_of(name), content))
    if at != end or count < 0:
        raise ValueError(f"a record of {length} bytes ends {at - end} bytes later")
    return at, delta_ms, delta, key, value, tuple(headers)


def _bytes(data: bytes, at: int) -> tuple[bytes | None, int]:
    length, at = decode_varint(data, at)
    if length < 0:
        return None, at
    if at + length > len(data):
        raise ValueError("a field is longer than its batch")
    return data[at : at + length], at + length
