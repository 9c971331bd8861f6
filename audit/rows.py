"""Rows of the log as the chain hashes them: read in stretches, taken apart, put at another place.

Reading is by binary COPY, whose bytes are the chain's own encoding (`ledger.chain`).
"""

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from psycopg import Connection, sql

from ledger.chain import COLUMNS
from schemas.array_bytes import EPOCH_2000
from schemas.fields import Instant

_SIGNATURE_BYTES = 19
"""What a binary COPY begins with: signature, flags, length of the extension (none)."""

HASH_FIELD_BYTES = 36
"""Length and value of the hash, the last field of a row."""

_ROWS = sql.SQL(
    "COPY (SELECT {columns}, hash FROM ledger.events WHERE shard = {shard}"
    " AND position > {after} AND position <= {to} ORDER BY position) TO STDOUT (FORMAT BINARY)"
)
_COLUMNS = sql.SQL(", ").join(map(sql.Identifier, COLUMNS))

_place = Struct("!hiiiqi16si")  # field count, shard, position, account_id, length of member_id
_version = Struct("!iii")
_moments = Struct("!iqiqihi")  # occurred_at, recorded_at, effects, length of payload
_position = Struct("!q")
_POSITION_AT = 12
"""Of the position's value within a body: after length and value of the shard and its own length."""


class LogRow(NamedTuple):
    """A row of the log. `body`: what the hash covers."""

    shard: int
    position: int
    account_id: bytes
    member_id: str
    version: int
    type: str
    occurred_at: Instant
    recorded_at: Instant
    effects: int
    payload: bytes
    body: bytes
    hash: bytes


def rows(connection: Connection, shard: int, after: int, to: int) -> Iterator[bytes]:
    """The rows after a position up to another, as they come: field count, fields, hash last.

    To be read to the end: a COPY that is broken off ends the transaction.
    """
    query = _ROWS.format(
        columns=_COLUMNS,
        shard=sql.Literal(shard),
        after=sql.Literal(after),
        to=sql.Literal(to),
    )
    with connection.cursor() as cursor, cursor.copy(query) as copy:
        first = True
        for data in copy:
            row = bytes(data)
            if first:
                row = row[_SIGNATURE_BYTES:]
                first = False
            if len(row) > 2:  # the trailer is a field count of -1
                yield row


def split(row: bytes) -> LogRow:
    """The fields of a row that has all columns."""
    _, _, shard, _, position, _, account_id, length = _place.unpack_from(row)
    at = _place.size + length
    member_id = row[_place.size : at].decode()
    _, version, length = _version.unpack_from(row, at)
    at += _version.size
    type_name = row[at : at + length].decode()
    at += length
    _, occurred_at, _, recorded_at, _, effects, length = _moments.unpack_from(row, at)
    at += _moments.size
    return LogRow(
        shard,
        position,
        account_id,
        member_id,
        version,
        type_name,
        occurred_at + EPOCH_2000,
        recorded_at + EPOCH_2000,
        effects,
        row[at : at + length],
        body_of(row),
        row[-32:],
    )


def body_of(row: bytes) -> bytes:
    """What the hash of a row covers."""
    return row[2:-HASH_FIELD_BYTES]


def put_at(body: bytes, position: int) -> bytes:
    """The same row, as it would be at another position."""
    return body[:_POSITION_AT] + _position.pack(position) + body[_POSITION_AT + 8 :]
