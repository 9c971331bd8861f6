"""What an append reads before it decides: heads, dedupe rows, keys of members, accounts touched.

Each is one query for the whole batch. Reading heads comes first: what is read after it is at least
as new, so a head that has not moved when it is locked proves that all of it still holds.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import TupleRow

from ledger.core.calendar import from_instant, to_instant
from ledger.packed_arrays import bytea_array, integer_array
from ledger.round_trip import round_trip
from ledger.sharding import SYSTEM_SHARD
from schemas.fields import Instant

Connection = AsyncConnection[TupleRow]
InputKey = tuple[int, bytes]
"""Shard and key of an input."""

MemberMoment = tuple[str, Instant]
"""A member, and when an input of theirs occurred."""

CATCH_UP_MAX = 10_000
"""Positions read to learn which accounts changed (some MB at most); of more, all may have."""

_HEADS = (
    "SELECT shard, position, hash, recorded_at, decided_to, due_epoch, clock_timestamp()"
    " FROM ledger.heads WHERE shard = ANY(%s) ORDER BY shard"
)
LOCK_HEADS = _HEADS + " FOR UPDATE"
_SYSTEM = "SELECT position FROM ledger.heads WHERE shard = %s"
_TOUCHED = (
    "SELECT DISTINCT member_id FROM ledger.events"
    " WHERE shard = %s AND position > %s AND position <= %s"
)
# One statement for all shards, key by key, each looked up in the table of its shard. One for each
# shard costs the server a little less from some 400 keys on, and the client always more: of a few
# keys twice as much on both sides (docs/decisions/0033-small-appends.md).
_STORED = """
SELECT i.shard, i.key, i.content, i.position
FROM unnest(%s, %s) AS v (shard, key) CROSS JOIN LATERAL (
    SELECT shard, key, content, position FROM ledger.inputs
    WHERE shard = v.shard AND key = v.key OFFSET 0
) i
"""
_SEGMENTS_THERE = "SELECT to_regclass('read.segment_intervals') IS NOT NULL"
_SEGMENTS = """
SELECT asked.number, i.segment
FROM unnest(%s::text[], %s::timestamptz[]) WITH ORDINALITY AS asked (member_id, at, number)
JOIN read.segment_intervals i ON i.member_id = asked.member_id AND i.segment = ANY(%s)
    AND i.entered_at <= asked.at AND (i.left_at IS NULL OR i.left_at > asked.at)
"""
_MEMBER_KEYS = "SELECT member_id, key FROM ledger.member_keys WHERE member_id = ANY(%s)"


class HeadRow(Struct, frozen=True):
    """A shard's head. `now`: the database's clock when it was read."""

    shard: int
    position: int
    hash: bytes
    recorded_at: Instant
    decided_to: Instant
    due_epoch: int
    now: Instant


def head_row(row: TupleRow) -> HeadRow:
    """A row of one of the head queries."""
    shard, position, last, recorded_at, decided_to, due_epoch, now = row
    return HeadRow(
        shard,
        position,
        last,
        to_instant(recorded_at),
        to_instant(decided_to),
        due_epoch,
        to_instant(now),
    )


class HeadsAndInputs(Struct, frozen=True):
    """Positions of shards and of the system shard; of the keys asked about those taken already,
    with content hash and position; and whose events are after the positions asked about."""

    positions: dict[int, int]
    system: int
    stored: dict[InputKey, tuple[bytes, int]]
    touched: dict[int, list[str]]


async def read_heads_and_inputs(
    connection: Connection,
    shards: Sequence[int],
    keys: Mapping[int, Sequence[bytes]],
    after: Mapping[int, int],
) -> HeadsAndInputs:
    """The heads of the shards, without a lock; then, in the same round trip, the keys and what is
    `after` the positions: at least as new as the heads."""
    async with round_trip(connection):
        heads = await connection.execute(_HEADS, ([SYSTEM_SHARD, *shards],))
        inputs = await ask_inputs(connection, keys)
        touched = await ask_touched(connection, after)
    positions = {row[0]: row[1] for row in await heads.fetchall()}
    system = positions.pop(SYSTEM_SHARD)
    return HeadsAndInputs(positions, system, await told_inputs(inputs), await told_touched(touched))


async def positions(connection: Connection, shards: Sequence[int]) -> dict[int, int]:
    """Where these shards are, without a lock."""
    cursor = await connection.execute(_HEADS, (list(shards),))
    return {row[0]: row[1] for row in await cursor.fetchall()}


async def lock_heads(connection: Connection, shards: Sequence[int]) -> dict[int, HeadRow]:
    """Lock the heads in ascending order and read them."""
    cursor = await connection.execute(LOCK_HEADS, (list(shards),))
    return {row[0]: head_row(row) for row in await cursor.fetchall()}


async def system_position(connection: Connection) -> int:
    """Where the system shard ends. Publishing locks all heads, so under the lock of any head no
    version can be published unseen."""
    row = await (await connection.execute(_SYSTEM, (SYSTEM_SHARD,))).fetchone()
    assert row is not None
    return int(row[0])


async def ask_touched(
    connection: Connection, after: Mapping[int, int]
) -> dict[int, AsyncCursor[TupleRow]]:
    """Ask, within a round trip, to which accounts the events of shards after these positions
    belong, of at most CATCH_UP_MAX; `told_touched` reads the answers after it."""
    return {
        shard: await connection.execute(_TOUCHED, (shard, seen, seen + CATCH_UP_MAX))
        for shard, seen in after.items()
    }


async def told_touched(
    asked: Mapping[int, AsyncCursor[TupleRow]],
) -> dict[int, list[str]]:
    """The answers to `ask_touched`."""
    return {shard: [row[0] for row in await cursor.fetchall()] for shard, cursor in asked.items()}


async def stored_inputs(
    connection: Connection, keys: Mapping[int, Sequence[bytes]]
) -> dict[InputKey, tuple[bytes, int]]:
    """Of these keys, by shard, those taken already, with content hash and position."""
    async with round_trip(connection):
        asked = await ask_inputs(connection, keys)
    return await told_inputs(asked)


async def ask_inputs(
    connection: Connection, keys: Mapping[int, Sequence[bytes]]
) -> AsyncCursor[TupleRow] | None:
    """Ask it within a round trip; `told_inputs` reads the answer after it."""
    if not keys:
        return None
    shards = integer_array([shard for shard, of_shard in keys.items() for _ in of_shard])
    wanted = bytea_array([key for of_shard in keys.values() for key in of_shard])
    return await connection.execute(_STORED, (shards, wanted), binary=True)


async def told_inputs(
    asked: AsyncCursor[TupleRow] | None,
) -> dict[InputKey, tuple[bytes, int]]:
    """The answer to `ask_inputs`."""
    if asked is None:
        return {}
    return {
        (shard, key): (content, position)
        for shard, key, content, position in await asked.fetchall()
    }


async def member_keys(connection: Connection, members: Sequence[str]) -> dict[str, bytes]:
    """The keys of those members that have one."""
    if not members:
        return {}
    cursor = await connection.execute(_MEMBER_KEYS, (list(members),))
    return dict(await cursor.fetchall())


async def segments_at(
    connection: Connection, moments: Sequence[MemberMoment], segments: Sequence[str]
) -> dict[MemberMoment, frozenset[str]]:
    """In which of these segments each member is at the moment, as far as the read model knows. A
    database without read models (they can be made anew) has nobody in a segment."""
    found: dict[MemberMoment, set[str]] = {moment: set() for moment in moments}
    asked = list(found)
    there = await (await connection.execute(_SEGMENTS_THERE)).fetchone()
    if there is not None and there[0]:
        members = [member_id for member_id, _ in asked]
        times = [from_instant(at) for _, at in asked]
        cursor = await connection.execute(_SEGMENTS, (members, times, list(segments)))
        for number, segment in await cursor.fetchall():
            found[asked[number - 1]].add(segment)
    return {moment: frozenset(names) for moment, names in found.items()}
