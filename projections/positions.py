"""How far each projection has folded each shard, and the lock that keeps two runners apart.

A position moves only in the transaction that writes what was folded. Whoever folds a shard holds
its advisory lock for that transaction, so a second runner takes other shards or waits; a runner
that dies lets go by itself. A rebuild has positions of its own in the schema that it builds in.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple
from uuid import UUID

from psycopg import Connection, sql

from projections.packed import packed
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


COLUMNS = sql.SQL("projection, shard, position, system_position, refresh_target, refresh_after")
"""Of a table of positions: those beside it may be from before a migration that adds one."""


@cache
def _within(schema: str, statement: str) -> bytes:
    """A statement of this module for the positions of a schema."""
    table = sql.Identifier(schema, "positions")
    behind = sql.SQL(_BEHIND).format(positions=table)
    return sql.SQL(statement).format(positions=table, behind=behind).as_bytes()


_PLACES = (
    "SELECT projection, shard, position, system_position, refresh_target, refresh_after, "
    "coalesce((SELECT generation FROM read.generations AS g "
    "          WHERE g.projection = p.projection), 0) "
    "FROM {positions} AS p WHERE projection = ANY(%s) "
    "AND (%s::int[] IS NULL OR shard = ANY(%s::int[])) ORDER BY shard, projection"
)


_BEHIND = (
    "SELECT p.shard, max(h.position - p.position) AS lag "
    "FROM {positions} AS p JOIN ledger.heads AS h USING (shard) "
    "JOIN unnest(%s::text[], %s::bigint[]) AS w (projection, relevant) USING (projection) "
    "WHERE (h.position > p.position OR (p.shard >= 0 AND p.position > 0 "
    "       AND (p.system_position < w.relevant OR p.refresh_target IS NOT NULL))) "
    "  AND (%s::int[] IS NULL OR p.shard = ANY(%s::int[])) "
    "GROUP BY p.shard ORDER BY (p.shard >= 0), max(h.position - p.position) DESC, p.shard LIMIT %s"
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
    rows = connection.execute(
        _within(schema, _BEHIND),
        [list(projections), list(relevant), only, only, limit],
    ).fetchall()
    return [(row[0], row[1]) for row in rows]


_TAKE = (
    "WITH late AS ({behind}), counted AS ("
    " SELECT shard, row_number() OVER (ORDER BY (shard >= 0), lag DESC, shard) AS n,"
    "  count(*) OVER () AS found,"
    "  CASE WHEN bool_and(lag > 0) OVER () AND sum(lag) OVER () <= %s THEN %s ELSE %s END AS most"
    " FROM late) "
    "SELECT shard, found > most, pg_try_advisory_xact_lock(%s, shard) "
    # Behind a fence: a lock is asked for of those alone that are to be taken.
    "FROM (SELECT * FROM counted WHERE n <= most OFFSET 0) AS c"
)


class Most(NamedTuple):
    """How many shards are taken: `few` of them, or `many` while all that is to be folded is at
    most so many `events`."""

    few: int
    many: int
    events: int


class Taken:
    """Shards that are locked until the transaction ends, and where the projections stand in them,
    read after locking. Made in a round trip, to be read after it."""

    def __init__(
        self,
        connection: Connection,
        projections: Sequence[str],
        relevant: Sequence[int],
        most: Most,
        only: list[int] | None = None,
        schema: str = LIVE,
        lock_class: int = LOCK_CLASS,
    ) -> None:
        """Ask. Of the shards that `behind` tells, those that nobody else folds now are locked."""
        names = list(projections)
        late = [names, list(relevant), only, only, most.many + 1]
        self._locks = connection.execute(
            _within(schema, _TAKE),
            [*late, most.events, most.many, most.few, lock_class],
        )
        self._places = connection.execute(_within(schema, _PLACES), [names, only, only])

    def read(self) -> tuple[dict[int, list[Place]], bool]:
        """The places by shard, and whether more shards than were taken had grown."""
        locked: set[int] = set()
        more = False
        for shard, some_left, is_locked in self._locks:
            more = some_left
            if is_locked:
                locked.add(shard)
        found: dict[int, list[Place]] = {}
        for row in self._places if locked else ():
            if row[1] in locked:
                found.setdefault(row[1], []).append(Place._make(row))
        return found, more


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


_STORE = (
    "UPDATE {positions} AS p SET position = n.position, "
    "system_position = n.system_position, refresh_target = n.refresh_target, "
    "refresh_after = n.refresh_after "
    "FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[], %s::uuid[]) "
    "AS n (projection, shard, position, system_position, refresh_target, refresh_after) "
    "WHERE p.projection = n.projection AND p.shard = n.shard"
)


def store(connection: Connection, moved: Sequence[Place], schema: str = LIVE) -> None:
    """Write the new places, in the transaction of what was folded."""
    if not moved:
        return
    columns = list(zip(*(place[:6] for place in moved), strict=True))
    connection.execute(
        _within(schema, _STORE),
        [
            packed("text", columns[0]),
            packed("int4", columns[1]),
            *[packed("int8", column) for column in columns[2:5]],
            packed("uuid", columns[5]),
        ],
    )
