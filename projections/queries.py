"""Reading the read models: what the commands and other readers ask, always as of a moment.

Only SELECTs. What may be long is streamed by a server-side cursor, never held in memory.
"""

from collections.abc import Generator, Sequence
from datetime import datetime
from typing import NamedTuple

from psycopg import Connection

STREAM_ROWS = 2_000
"""Rows fetched at once when all members are read: some hundred kilobytes."""


class Balance(NamedTuple):
    """A row of read.balance_at. Points; `available` is net of `debt`."""

    member_id: str
    available: int
    pending: int
    reserved: int
    expired: int
    granted: int
    debt: int
    tier: str


class AccountNow(NamedTuple):
    """A row of read.accounts."""

    status: str
    merged_into: str | None


class Membership(NamedTuple):
    """A row of read.segment_intervals; `left_at` None: open."""

    segment: str
    entered_at: datetime
    left_at: datetime | None


class ProgressTo(NamedTuple):
    """A row of read.tier_progress, as of `as_of`."""

    tier: str
    since: datetime
    measure: str | None
    period_from: datetime | None
    period_to: datetime | None
    reached: int
    next_tier: str | None
    next_at_least: int | None
    missing: int | None
    as_of: datetime


class Standing(NamedTuple):
    """How far one projection is, over all shards. `refreshing`: shards whose rows are computed
    anew after a change of program or bounds."""

    projection: str
    folded: int
    behind: int
    refreshing: int


class Scores(NamedTuple):
    """A row of read.rfm_at; scores are None without recorded bounds."""

    recency_days: int
    frequency: int
    monetary: int
    recency_score: int | None
    frequency_score: int | None
    monetary_score: int | None


def balance_of(connection: Connection, member_id: str, at: datetime) -> Balance | None:
    """One member's balance as of `at`; None before the account opened."""
    row = connection.execute("SELECT * FROM read.balance_of(%s, %s)", [member_id, at]).fetchone()
    return None if row is None else Balance._make(row)


def account_of(connection: Connection, member_id: str) -> AccountNow | None:
    """What the account may do now; None before it opened."""
    row = connection.execute(
        "SELECT status, merged_into FROM read.accounts WHERE member_id = %s", [member_id]
    ).fetchone()
    return None if row is None else AccountNow._make(row)


def opened_at(connection: Connection, member_id: str) -> datetime | None:
    """When the account opened; None as long as it is not folded."""
    row = connection.execute(
        "SELECT opened_at FROM read.accounts WHERE member_id = %s", [member_id]
    ).fetchone()
    return None if row is None else row[0]


def balances(connection: Connection, at: datetime) -> Generator[Balance, None, None]:
    """All members' balances as of `at`, by member_id, streamed. Close it before the session."""
    with connection.transaction(), connection.cursor("balances") as cursor:
        cursor.itersize = STREAM_ROWS
        cursor.execute("SELECT * FROM read.balance_at(%s) ORDER BY member_id", [at])
        for row in cursor:
            yield Balance._make(row)


def progress_of(connection: Connection, member_id: str) -> ProgressTo | None:
    """The progress to the next tier, as of the moment to which the account was settled."""
    row = connection.execute(
        "SELECT tier, since, measure, period_from, period_to, reached, next_tier, next_at_least, "
        "missing, as_of FROM read.tier_progress WHERE member_id = %s",
        [member_id],
    ).fetchone()
    return None if row is None else ProgressTo._make(row)


def memberships(connection: Connection, member_id: str) -> list[Membership]:
    """All the member's intervals in segments, past and future."""
    rows = connection.execute(
        "SELECT segment, entered_at, left_at FROM read.segment_intervals "
        "WHERE member_id = %s ORDER BY entered_at, segment",
        [member_id],
    ).fetchall()
    return [Membership._make(row) for row in rows]


def segments_in(intervals: Sequence[Membership], at: datetime) -> list[str]:
    """The segments, of a member's intervals, in which the member is at `at`."""
    return sorted(
        each.segment
        for each in intervals
        if each.entered_at <= at and (each.left_at is None or each.left_at > at)
    )


def tiers_of(
    connection: Connection, member_id: str
) -> Sequence[tuple[str, datetime, datetime | None]]:
    """All the member's tiers with the moments from (inclusive) and to (exclusive) which they hold,
    past and future."""
    return connection.execute(
        "SELECT tier, valid_from, valid_to FROM read.tier_intervals "
        "WHERE member_id = %s ORDER BY valid_from",
        [member_id],
    ).fetchall()


class Found(NamedTuple):
    """A member of a listing, as of a moment. Points; `available` is net of debt."""

    member_id: str
    status: str
    opened_at: datetime
    tier: str
    available: int
    pending: int
    reserved: int


PREFIX_END = "\x7f"
"""Sorts after every character that an id may have."""


def members_after(
    connection: Connection, prefix: str, after: str, at: datetime, limit: int
) -> list[Found]:
    """Members whose id begins with a prefix, by id, those after an id. `at`: of their balances; a
    member has none before the account opened."""
    rows = connection.execute(
        "SELECT a.member_id, a.status, a.opened_at, coalesce(b.tier, 'none'), "
        "       coalesce(b.available, 0), coalesce(b.pending, 0), coalesce(b.reserved, 0) "
        "FROM (SELECT member_id, status, opened_at FROM read.accounts "
        "      WHERE member_id >= %s AND member_id < %s AND member_id > %s "
        "      ORDER BY member_id LIMIT %s) AS a "
        "LEFT JOIN LATERAL read.balance_of(a.member_id, %s) AS b ON true ORDER BY a.member_id",
        [prefix, prefix + PREFIX_END, after, limit, at],
    ).fetchall()
    return [Found._make(row) for row in rows]


def scores_of(connection: Connection, member_id: str, at: datetime) -> Scores | None:
    """The member's recency, frequency and monetary value with their scores; None before the first
    purchase."""
    row = connection.execute(
        "SELECT recency_days, frequency, monetary, recency_score, frequency_score, monetary_score "
        "FROM read.rfm_at(%s) WHERE member_id = %s",
        [at, member_id],
    ).fetchone()
    return None if row is None else Scores._make(row)


def standings(connection: Connection) -> list[Standing]:
    """How far each projection is."""
    rows = connection.execute(
        "SELECT p.projection, sum(p.position)::bigint, sum(h.position - p.position)::bigint, "
        "       count(p.refresh_target) "
        "FROM read.positions AS p JOIN ledger.heads AS h USING (shard) "
        "GROUP BY p.projection ORDER BY p.projection"
    ).fetchall()
    return [Standing._make(row) for row in rows]


class ShardHead(NamedTuple):
    """Where a shard's log ends. `decided_to`: latest occurred_at decided in it; `behind`: events
    that the projection furthest behind has still to fold."""

    shard: int
    position: int
    recorded_at: datetime
    decided_to: datetime
    behind: int


def shard_heads(connection: Connection) -> list[ShardHead]:
    """All shards, the system shard (-1) first."""
    rows = connection.execute(
        "SELECT h.shard, h.position, h.recorded_at, h.decided_to, "
        "       coalesce(max(h.position - p.position), h.position)::bigint "
        "FROM ledger.heads AS h LEFT JOIN read.positions AS p USING (shard) "
        "GROUP BY h.shard, h.position, h.recorded_at, h.decided_to ORDER BY h.shard"
    ).fetchall()
    return [ShardHead._make(row) for row in rows]


def position_in(connection: Connection, projection: str, shard: int) -> int:
    """How far a projection has folded one shard; 0 when it never has."""
    row = connection.execute(
        "SELECT position FROM read.positions WHERE projection = %s AND shard = %s",
        [projection, shard],
    ).fetchone()
    return 0 if row is None else int(row[0])


def members_of_segments(connection: Connection, at: datetime) -> Sequence[tuple[str, int]]:
    """How many members each segment has as of `at`."""
    return connection.execute(
        "SELECT segment, count(*) FROM read.segments_at(%s) GROUP BY segment ORDER BY segment",
        [at],
    ).fetchall()


def members_of_tiers(connection: Connection, at: datetime) -> dict[str, int]:
    """How many members have each tier as of `at`."""
    rows = connection.execute(
        "SELECT tier, count(*) FROM read.tier_intervals WHERE valid_from <= %(at)s"
        " AND (valid_to IS NULL OR valid_to > %(at)s) GROUP BY tier",
        {"at": at},
    ).fetchall()
    return dict(rows)


def in_segment(
    connection: Connection, segment: str, at: datetime, after: str, limit: int
) -> Sequence[tuple[str, datetime, datetime | None]]:
    """Members of a segment as of `at`, by id, those after `after`: id, entered, left."""
    return connection.execute(
        "SELECT member_id, entered_at, left_at FROM read.segment_intervals"
        " WHERE segment = %(segment)s AND member_id > %(after)s AND entered_at <= %(at)s"
        " AND (left_at IS NULL OR left_at > %(at)s) ORDER BY member_id LIMIT %(limit)s",
        {"segment": segment, "at": at, "after": after, "limit": limit},
    ).fetchall()
