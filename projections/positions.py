"""How far each projection has folded each shard, and the lock that keeps two runners apart.

A position moves only in the transaction that writes what was folded. Whoever folds a shard holds
its advisory lock for that transaction, so a second runner takes other shards or waits; a runner
that dies lets go by itself. A rebuild has positions of its own in the schema that it builds in.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID

from psycopg import Connection, sql

from projections.tables import LIVE

LOCK_CLASS = 0x50524F4A
"""First half of the advisory locks' key ("PROJ"); the second is the shard."""


class Place(NamedTuple):
    """Where one projection stands in one shard. See the comments on read.positions. `generation`
    counts how often its tables were exchanged for others."""

    projection: str
    shard: int
    position: int
    system_position: int
    refresh_target: int | None
    refresh_after: UUID | None
    generation: int = 0


def _within(schema: str, statement: sql.SQL) -> sql.Composed:
    return statement.format(positions=sql.Identifier(schema, "positions"))


_PLACES = sql.SQL(
    "SELECT projection, shard, position, system_position, refresh_target, refresh_after, "
    "coalesce((SELECT generation FROM read.generations AS g "
    "          WHERE g.projection = p.projection), 0) "
    "FROM {positions} AS p WHERE projection = ANY(%s) "
    "AND (%s::int[] IS NULL OR shard = ANY(%s::int[])) ORDER BY shard, projection"
)


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
    schema: str = LIVE,
) -> list[tuple[int, int]]:
    """At most `limit` shards with something to fold or refresh, each with how many events it is
    behind: the system shard, then the most behind. `relevant`: for each projection the system
    position its rows must reflect. `only`: look at these shards alone."""
    statement = sql.SQL(
        "SELECT p.shard, max(h.position - p.position) "
        "FROM {positions} AS p JOIN ledger.heads AS h USING (shard) "
        "JOIN unnest(%s::text[], %s::bigint[]) AS w (projection, relevant) USING (projection) "
        "WHERE (h.position > p.position OR (p.shard >= 0 AND p.position > 0 "
        "       AND (p.system_position < w.relevant OR p.refresh_target IS NOT NULL))) "
        "  AND (%s::int[] IS NULL OR p.shard = ANY(%s::int[])) "
        "GROUP BY p.shard "
        "ORDER BY (p.shard >= 0), max(h.position - p.position) DESC, p.shard LIMIT %s"
    )
    rows = connection.execute(
        _within(schema, statement),
        [list(projections), list(relevant), only, only, limit],
    ).fetchall()
    return [(row[0], row[1]) for row in rows]


def take(
    connection: Connection,
    projections: Sequence[str],
    shards: Sequence[int],
    schema: str = LIVE,
    lock_class: int = LOCK_CLASS,
) -> tuple[dict[int, list[Place]], dict[int, int]]:
    """Lock those of the shards that nobody else folds now, until the transaction ends; where the
    projections stand in them, by shard, and where their logs end. Both are read after locking, in
    the same round trip."""
    with connection.pipeline():
        locks = connection.execute(
            "SELECT s FROM unnest(%s::int[]) AS s WHERE pg_try_advisory_xact_lock(%s, s)",
            [list(shards), lock_class],
        )
        places = connection.execute(
            _within(schema, _PLACES), [list(projections), list(shards), list(shards)]
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


def places(
    connection: Connection, projections: Sequence[str], schema: str = LIVE
) -> dict[int, list[Place]]:
    """Where the projections stand in every shard."""
    rows = connection.execute(_within(schema, _PLACES), [list(projections), None, None]).fetchall()
    found: dict[int, list[Place]] = {}
    for row in rows:
        found.setdefault(row[1], []).append(Place._make(row))
    return found


@contextmanager
def standing_still(connection: Connection) -> Iterator[None]:
    """Wait until nobody folds any shard, and let nobody begin until the end, over several
    transactions of this session, which itself may fold."""
    connection.execute(
        "SELECT pg_advisory_lock(%s, shard) FROM "
        "(SELECT shard FROM ledger.heads ORDER BY shard) AS h",
        [LOCK_CLASS],
    )
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute(
                "SELECT pg_advisory_unlock(%s, shard) FROM ledger.heads", [LOCK_CLASS]
            )


def head_of(connection: Connection, shard: int) -> int:
    """The position of the shard's newest event."""
    row = connection.execute(
        "SELECT position FROM ledger.heads WHERE shard = %s", [shard]
    ).fetchone()
    return 0 if row is None else int(row[0])


def store(connection: Connection, moved: Sequence[Place], schema: str = LIVE) -> None:
    """Write the new places, in the transaction of what was folded."""
    if not moved:
        return
    statement = sql.SQL(
        "UPDATE {positions} AS p SET position = n.position, "
        "system_position = n.system_position, refresh_target = n.refresh_target, "
        "refresh_after = n.refresh_after "
        "FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::uuid[]) "
        "AS n (projection, shard, position, system_position, refresh_target, refresh_after) "
        "WHERE p.projection = n.projection AND p.shard = n.shard"
    )
    connection.execute(
        _within(schema, statement),
        [list(column) for column in zip(*(place[:6] for place in moved), strict=True)],
    )
