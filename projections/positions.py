"""How far each projection has folded each shard, and the lock that keeps two runners apart.

A position moves only in the transaction that writes what was folded. Whoever folds a shard holds
its advisory lock for that transaction, so a second runner takes other shards or waits; a runner
that dies lets go by itself.
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from psycopg import Connection

LOCK_CLASS = 0x50524F4A
"""First half of the advisory locks' key ("PROJ"); the second is the shard."""


class Place(NamedTuple):
    """Where one projection stands in one shard. See the comments on read.positions."""

    projection: str
    shard: int
    position: int
    system_position: int
    refresh_target: int | None
    refresh_after: UUID | None


def ensure(connection: Connection, projections: Sequence[str]) -> None:
    """Begin at position 0 in every shard of the ledger that has no position yet."""
    connection.execute(
        "INSERT INTO read.positions (projection, shard) "
        "SELECT p, h.shard FROM unnest(%s::text[]) AS p CROSS JOIN ledger.heads AS h "
        "ON CONFLICT DO NOTHING",
        [list(projections)],
    )


def shards(connection: Connection) -> int:
    """How many shards the ledger has, the system's own included."""
    row = connection.execute("SELECT count(*) FROM ledger.heads").fetchone()
    return 0 if row is None else int(row[0])


def behind(
    connection: Connection,
    projections: Sequence[str],
    relevant: Sequence[int],
    limit: int,
    only: list[int] | None = None,
) -> list[tuple[int, int]]:
    """At most `limit` shards with something to fold or refresh, each with how many events it is
    behind: the system shard, then the most behind. `relevant`: for each projection the system
    position its rows must reflect. `only`: look at these shards alone."""
    rows = connection.execute(
        "SELECT p.shard, max(h.position - p.position) "
        "FROM read.positions AS p JOIN ledger.heads AS h USING (shard) "
        "JOIN unnest(%s::text[], %s::bigint[]) AS w (projection, relevant) USING (projection) "
        "WHERE (h.position > p.position OR (p.shard >= 0 AND p.position > 0 "
        "       AND (p.system_position < w.relevant OR p.refresh_target IS NOT NULL))) "
        "  AND (%s::int[] IS NULL OR p.shard = ANY(%s::int[])) "
        "GROUP BY p.shard "
        "ORDER BY (p.shard >= 0), max(h.position - p.position) DESC, p.shard LIMIT %s",
        [list(projections), list(relevant), only, only, limit],
    ).fetchall()
    return [(row[0], row[1]) for row in rows]


def take(
    connection: Connection, projections: Sequence[str], shards: Sequence[int]
) -> tuple[dict[int, list[Place]], dict[int, int]]:
    """Lock those of the shards that nobody else folds now, until the transaction ends; where the
    projections stand in them, by shard, and where their logs end. Both are read after locking, in
    the same round trip."""
    with connection.pipeline():
        locks = connection.execute(
            "SELECT s FROM unnest(%s::int[]) AS s WHERE pg_try_advisory_xact_lock(%s, s)",
            [list(shards), LOCK_CLASS],
        )
        places = connection.execute(
            "SELECT projection, shard, position, system_position, refresh_target, refresh_after "
            "FROM read.positions WHERE projection = ANY(%s) AND shard = ANY(%s) "
            "ORDER BY shard, projection",
            [list(projections), list(shards)],
        )
        heads = connection.execute(
            "SELECT shard, position FROM ledger.heads WHERE shard = ANY(%s)", [list(shards)]
        )
    locked = {row[0] for row in locks.fetchall()}
    found: dict[int, list[Place]] = {}
    for row in places.fetchall():
        if row[1] in locked:
            found.setdefault(row[1], []).append(Place._make(row))
    return found, dict(heads.fetchall())


def lock_all(connection: Connection) -> None:
    """Wait until nobody folds any shard, and keep all of them until the transaction ends."""
    connection.execute(
        "SELECT pg_advisory_xact_lock(%s, shard) FROM "
        "(SELECT shard FROM ledger.heads ORDER BY shard) AS h",
        [LOCK_CLASS],
    )


def head_of(connection: Connection, shard: int) -> int:
    """The position of the shard's newest event."""
    row = connection.execute(
        "SELECT position FROM ledger.heads WHERE shard = %s", [shard]
    ).fetchone()
    return 0 if row is None else int(row[0])


def store(connection: Connection, moved: Sequence[Place]) -> None:
    """Write the new places, in the transaction of what was folded."""
    if not moved:
        return
    connection.execute(
        "UPDATE read.positions AS p SET position = n.position, "
        "system_position = n.system_position, refresh_target = n.refresh_target, "
        "refresh_after = n.refresh_after "
        "FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::uuid[]) "
        "AS n (projection, shard, position, system_position, refresh_target, refresh_after) "
        "WHERE p.projection = n.projection AND p.shard = n.shard",
        [list(column) for column in zip(*moved, strict=True)],
    )


def restart(connection: Connection, projection: str) -> None:
    """Set a projection back to the beginning of every shard; the caller has emptied its tables."""
    connection.execute(
        "UPDATE read.positions SET position = 0, system_position = 0, refresh_target = NULL, "
        "refresh_after = NULL WHERE projection = %s",
        [projection],
    )
