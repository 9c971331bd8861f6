"""The rows of the log as PostgreSQL's binary COPY wants them, packed by hand.

Packing an event costs 2 µs here; psycopg's own row writer costs 12. What does not depend on the
position is packed before the heads are locked; numbering, chaining and joining are left for the
time under the lock. The bytes of a row are also what its hash covers (`ledger.chain`). No I/O here.
"""

from functools import lru_cache
from hashlib import sha256
from struct import Struct, pack

from schemas.array_bytes import EPOCH_2000
from schemas.fields import Instant

COPY_HEADER = b"PGCOPY\n\xff\r\n\x00" + pack("!ii", 0, 0)
COPY_TRAILER = pack("!h", -1)

COPY_EVENTS = (
    "COPY ledger.events (shard, position, account_id, member_id, version, type, occurred_at,"
    " recorded_at, effects, payload, hash) FROM STDIN (FORMAT BINARY)"
)
COPY_INPUTS = "COPY ledger.inputs (shard, key, content, position) FROM STDIN (FORMAT BINARY)"
COPY_DEAD_LETTERS = (
    'COPY ledger.dead_letters (source, partition, "offset", key, value, headers, record_timestamp,'
    " type, member_id, code, path, message) FROM STDIN (FORMAT BINARY)"
)

INSERT_EVENTS = (
    "INSERT INTO ledger.events (shard, position, account_id, member_id, version, type, occurred_at,"
    " recorded_at, effects, payload, hash) SELECT * FROM unnest(%s::integer[], %s::bigint[],"
    " %s::uuid[], %s::text[], %s::integer[], %s::text[], %s::timestamptz[], %s::timestamptz[],"
    " %s::smallint[], %s::bytea[], %s::bytea[])"
)
EVENT_TYPES = (23, 20, 2950, 25, 23, 25, 1184, 1184, 21, 17, 17)
"""The types of these columns, by PostgreSQL's numbers: the same in every database."""

INSERT_INPUTS = (
    "INSERT INTO ledger.inputs (shard, key, content, position)"
    " SELECT * FROM unnest(%s::integer[], %s::bytea[], %s::bytea[], %s::bigint[])"
)
INPUT_TYPES = (23, 17, 17, 20)
INSERT_DEAD_LETTERS = (
    'INSERT INTO ledger.dead_letters (source, partition, "offset", key, value, headers,'
    " record_timestamp, type, member_id, code, path, message) SELECT * FROM unnest(%s::text[],"
    " %s::integer[], %s::bigint[], %s::bytea[], %s::bytea[], %s::bytea[], %s::bigint[],"
    " %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])"
)
DEAD_LETTER_TYPES = (25, 23, 20, 17, 17, 17, 20, 25, 25, 25, 25, 25)

_EVENT_COUNT = pack("!h", 11)
_place = Struct("!iiiq").pack  # shard, position
_OWNER = Struct("!i16si")  # account_id, length of member_id
_version = Struct("!ii").pack
_moment = Struct("!iq").pack
_after = Struct("!ihi").pack  # effects, length of payload
_LENGTH = Struct("!i")
_HASH_LENGTH = pack("!i", 32)
_input = Struct("!hiii16si16siq").pack
_NULL = pack("!i", -1)

TYPES_KNOWN_MAX = 256
"""Names of event types whose field is remembered: more than there are."""

PackedEvent = tuple[bytes, bytes]
"""An event but for its position, recorded_at and hash: the columns before recorded_at, and those
after it."""


def pack_owner(account_id: bytes, member_id: str) -> bytes:
    """Whose an event is: the same bytes in all events of an account."""
    member = member_id.encode()
    return _OWNER.pack(16, account_id, len(member)) + member


def pack_event(
    owner: bytes,
    version: int,
    type_name: str,
    occurred_at: Instant,
    effects: int,
    payload: bytes,
) -> PackedEvent:
    """Everything of an event that is known before its shard is locked. `owner`: `pack_owner`'s."""
    return (
        owner
        + _version(4, version)
        + _type_field(type_name)
        + _moment(8, occurred_at - EPOCH_2000),
        _after(2, effects, len(payload)) + payload,
    )


@lru_cache(TYPES_KNOWN_MAX)
def _type_field(type_name: str) -> bytes:
    return _bytes(type_name.encode())


class ShardLog:
    """The end of a locked shard's log, and the rows that this transaction adds to it."""

    __slots__ = ("_recorded_at", "hash", "position", "recorded_at", "rows", "shard")

    def __init__(self, shard: int, position: int, last: bytes, recorded_at: Instant) -> None:
        self.shard = shard
        self.position = position
        self.hash = last
        self.recorded_at = recorded_at
        self.rows: list[bytes] = []
        self._recorded_at = _moment(8, recorded_at - EPOCH_2000)

    def add(self, event: PackedEvent) -> int:
        """Give the event the next position and chain it; the position."""
        self.position = position = self.position + 1
        before, after = event
        row = _place(4, self.shard, 8, position) + before + self._recorded_at + after
        self.hash = link = sha256(self.hash + row).digest()
        self.rows.append(b"".join((_EVENT_COUNT, row, _HASH_LENGTH, link)))
        return position


def pack_input(shard: int, key: bytes, content: bytes, position: int) -> bytes:
    """One dedupe row."""
    return _input(4, 4, shard, 16, key, 16, content, 8, position)


def pack_dead_letter(
    source: str,
    partition: int | None,
    offset: int | None,
    key: bytes | None,
    value: bytes | None,
    headers: bytes | None,
    record_timestamp: int | None,
    type_name: str,
    member_id: str | None,
    code: str,
    path: str,
    message: str,
) -> bytes:
    """One dead letter. What PostgreSQL cannot hold of a text (from broken input) is replaced."""
    return b"".join(
        (
            pack("!h", 12),
            _text(source),
            _NULL if partition is None else pack("!ii", 4, partition),
            _NULL if offset is None else pack("!iq", 8, offset),
            _bytes(key),
            _bytes(value),
            _bytes(headers),
            _NULL if record_timestamp is None else pack("!iq", 8, record_timestamp),
            _text(type_name),
            _NULL if member_id is None else _text(member_id),
            _text(code),
            _text(path),
            _text(message),
        )
    )


def copy_stream(rows: list[bytes]) -> bytes:
    """The whole of what one COPY sends."""
    return b"".join((COPY_HEADER, *rows, COPY_TRAILER))


def _text(value: str) -> bytes:
    return _bytes(value.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace"))


def _bytes(value: bytes | None) -> bytes:
    return _NULL if value is None else _LENGTH.pack(len(value)) + value
