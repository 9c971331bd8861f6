"""How far each feed has told of each shard: rows that move only after Kafka has confirmed."""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from psycopg import Connection

LOCK_KEY = 0x46454544
"""The advisory lock of who publishes feeds ("FEED"), held by the session: one at a time."""

START = UUID(int=0)
"""Before every account."""


class Position(NamedTuple):
    """A row of read.feed_positions: see its comments."""

    topic: str
    shard: int
    position: int
    version: int
    system_position: int
    sweep_after: UUID | None


def ensure(connection: Connection, topics: Sequence[str]) -> None:
    """Begin where no position is known yet. States are of the shards of members only."""
    connection.execute(
        "INSERT INTO read.feed_positions (topic, shard)"
        " SELECT t, h.shard FROM unnest(%s::text[]) AS t CROSS JOIN ledger.heads AS h"
        " WHERE h.shard >= 0 OR t LIKE '%%ledger_events' ON CONFLICT DO NOTHING",
        [list(topics)],
    )


def forget(connection: Connection, topics: Sequence[str]) -> None:
    """Begin again: all is told once more, with versions that readers may know already."""
    connection.execute("DELETE FROM read.feed_positions WHERE topic = ANY(%s)", [list(topics)])


def lock(connection: Connection) -> bool:
    """Take the publishers' lock; False: another one has it."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]).fetchone()
    return row is not None and bool(row[0])


def of_shard(connection: Connection, topics: Sequence[str], shard: int) -> dict[str, Position]:
    """Where the feeds stand in a shard, by topic."""
    rows = connection.execute(
        "SELECT topic, shard, position, version, system_position, sweep_after"
        " FROM read.feed_positions WHERE topic = ANY(%s) AND shard = %s",
        [list(topics), shard],
    )
    return {row[0]: Position._make(row) for row in rows}


def store(connection: Connection, moved: Sequence[Position]) -> None:
    """Write the new positions in one statement."""
    connection.execute(
        "UPDATE read.feed_positions AS p SET position = n.position, version = n.version,"
        " system_position = n.system_position, sweep_after = n.sweep_after"
        " FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::uuid[])"
        " AS n (topic, shard, position, version, system_position, sweep_after)"
        " WHERE p.topic = n.topic AND p.shard = n.shard",
        [list(column) for column in zip(*moved, strict=True)],
    )


_BEHIND = (
    "SELECT f.topic, f.shard, CASE WHEN p.projection IS NULL THEN h.position ELSE p.position END"
    "  - f.position AS behind, f.sweep_after IS NOT NULL OR p.system_position > f.system_position"
    " FROM read.feed_positions f JOIN ledger.heads h USING (shard)"
    " LEFT JOIN read.positions p ON p.shard = f.shard AND p.projection = substr(f.topic, %s)"
    " WHERE f.topic = ANY(%s)"
)


class Behind(NamedTuple):
    """A feed's lag in one shard: events to tell of, and whether all members are to be told of."""

    topic: str
    shard: int
    events: int
    sweep: bool


def behind(connection: Connection, topics: Sequence[str], prefix: str) -> list[Behind]:
    """Every feed's lag behind its read model (or the log), by shard."""
    rows = connection.execute(_BEHIND, [len(prefix) + 1, list(topics)])
    return [Behind(row[0], row[1], max(0, row[2]), bool(row[3])) for row in rows]
