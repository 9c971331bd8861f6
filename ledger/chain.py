"""The hash chain of a shard's log: what makes a changed, missing or added row evident.

    hash = SHA-256(previous hash ‖ row)      row = each stored column but `hash`, in order, as a
                                             4-byte big-endian length and PostgreSQL's binary form
    genesis = SHA-256(ledger id, 16 bytes ‖ shard, 4 bytes big-endian, signed)

That encoding is what binary COPY sends and returns, so appending hashes the bytes it stores and
verifying hashes the bytes it reads. Numbers are big-endian, moments are microseconds since
2000-01-01T00:00:00Z, text is UTF-8. The columns and their order are part of the format: they must
never change for rows already stored.
"""

from collections.abc import Iterable
from hashlib import sha256
from struct import Struct, pack
from typing import NamedTuple
from uuid import UUID

from ledger.errors import ChainBroken

COLUMNS = (
    "shard",
    "position",
    "account_id",
    "member_id",
    "version",
    "type",
    "occurred_at",
    "recorded_at",
    "effects",
    "payload",
)
"""The columns under the hash, in the order of the encoding."""

HASH_BYTES = 32
"""All of a SHA-256: unlike the keys of inputs, the chain must withstand one who searches."""

_PLACE = Struct("!iiiq")  # lengths and values of shard and position
_RECORDED_AT = COLUMNS.index("recorded_at")
_HASH_FIELD = Struct("!i32s")


class Head(NamedTuple):
    """Where a shard's log ends."""

    position: int
    hash: bytes


def genesis(ledger_id: UUID, shard: int) -> bytes:
    """What the first row of a shard continues."""
    return sha256(ledger_id.bytes + pack("!i", shard)).digest()


class Link:
    """Follows a shard's chain row by row; memory does not grow."""

    __slots__ = ("hash", "position", "recorded_at", "shard")

    def __init__(self, shard: int, start: Head) -> None:
        self.shard = shard
        self.position, self.hash = start
        self.recorded_at: int | None = None

    def follow(self, row: bytes) -> None:
        """Check the next row: one row of binary COPY, 2 bytes of field count and the fields, hash
        last. Raises ChainBroken: a gap, another shard, a step back of recorded_at, another hash."""
        expected = self.position + 1
        count = int.from_bytes(row[:2], "big")
        if count != len(COLUMNS) + 1:
            raise ChainBroken(self.shard, expected, f"the row has {count} columns")
        _, shard, _, position = _PLACE.unpack_from(row, 2)
        if shard != self.shard:
            raise ChainBroken(self.shard, expected, f"the row says shard {shard}")
        if position != expected:
            raise ChainBroken(self.shard, expected, f"the next row has position {position}")
        body = row[2 : -_HASH_FIELD.size]
        _, stored = _HASH_FIELD.unpack_from(row, len(row) - _HASH_FIELD.size)
        if stored != sha256(self.hash + body).digest():
            raise ChainBroken(self.shard, expected, "the hash does not follow from the row")
        recorded_at = _integer(body, _RECORDED_AT)
        if self.recorded_at is not None and recorded_at < self.recorded_at:
            raise ChainBroken(self.shard, expected, "recorded_at steps back")
        self.recorded_at = recorded_at
        self.position = position
        self.hash = stored


def verify(shard: int, start: Head, rows: Iterable[bytes]) -> Head:
    """Follow the chain from `start` over `rows` and return its end. Raises ChainBroken."""
    link = Link(shard, start)
    for row in rows:
        link.follow(row)
    return Head(link.position, link.hash)


def _integer(body: bytes, index: int) -> int:
    """The integer in column `index` of an encoded row."""
    at = 0
    for _ in range(index):
        at += 4 + int.from_bytes(body[at : at + 4], "big")
    length = int.from_bytes(body[at : at + 4], "big")
    return int.from_bytes(body[at + 4 : at + 4 + length], "big", signed=True)
