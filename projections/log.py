"""Reading the ledger's log: by shard and position, or one account's events from the first on.

Read only. Every reading is bounded: a batch by its number of events, an account's history streams
through memory. A position that is missing or a payload that cannot be decoded stops the projection:
read models that go on beside a damaged log would be wrong without anybody knowing.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import NamedTuple
from uuid import UUID

import msgspec
from psycopg import Connection, Cursor, sql
from psycopg.rows import TupleRow

from projections.errors import LogDamaged
from projections.round_trip import round_trip
from schemas.decisions import AccountEvent, SystemEvent
from schemas.log_events import decode_account_event, decode_system_event

SYSTEM_SHARD = -1
"""The shard of what belongs to no member."""

STREAM_ROWS = 500
"""Events of an account's history in memory at once: at some kB each, about a megabyte."""


class Entry(NamedTuple):
    """One row of the log. `version` counts the account's events: 1, 2, 3 …"""

    shard: int
    position: int
    account_id: UUID
    member_id: str
    version: int
    payload: bytes


def decode(entry: Entry) -> AccountEvent:
    """The account event of an entry. Raises LogDamaged (`log_undecodable`)."""
    try:
        return decode_account_event(entry.payload)
    except msgspec.MsgspecError as error:
        raise _undecodable(entry, error) from error


def decode_system(entry: Entry) -> SystemEvent:
    """The system event of an entry. Raises LogDamaged (`log_undecodable`)."""
    try:
        return decode_system_event(entry.payload)
    except msgspec.MsgspecError as error:
        raise _undecodable(entry, error) from error


def _undecodable(entry: Entry, error: msgspec.MsgspecError) -> LogDamaged:
    return LogDamaged(
        "log_undecodable",
        entry.shard,
        entry.position,
        f"the event is not one this version knows ({error})",
    )


_BATCH = (
    "SELECT shard, position, account_id, member_id, version, payload FROM ledger.events "
    "WHERE shard = %s AND position > %s ORDER BY position LIMIT %s"
)


def batch(connection: Connection, shard: int, after: int, limit: int) -> list[Entry]:
    """At most `limit` entries of the shard after a position, gapless.

    Raises LogDamaged (`log_gap`).
    """
    return read_batch(ask_batch(connection, shard, after, limit), shard, after)


def ask_batch(connection: Connection, shard: int, after: int, limit: int) -> Cursor[TupleRow]:
    """The first half of `batch`, for a round trip with other statements."""
    return connection.execute(_BATCH, [shard, after, limit], binary=True)


def read_batch(asked: Cursor[TupleRow], shard: int, after: int) -> list[Entry]:
    """The second half. Raises LogDamaged (`log_gap`)."""
    return _gapless(shard, after, [Entry._make(row) for row in asked])


_NEWS = (
    "SELECT e.shard, e.position, e.account_id, e.member_id, e.version, e.payload FROM ("
    " SELECT p.shard, min(p.position) AS after, sum(max(h.position - p.position)) OVER () AS news"
    " FROM {positions} AS p JOIN ledger.heads AS h USING (shard)"
    " WHERE p.projection = ANY(%s) AND p.shard >= 0 AND (%s::int[] IS NULL OR p.shard = ANY(%s))"
    " GROUP BY p.shard HAVING max(h.position - p.position) > 0) AS s "
    "CROSS JOIN LATERAL (SELECT * FROM ledger.events AS e"
    " WHERE e.shard = s.shard AND e.position > s.after ORDER BY e.position LIMIT %s) AS e "
    "WHERE s.news <= %s ORDER BY e.shard, e.position"
)


class News:
    """What every shard has beyond the positions of some projections, if all of it together is at
    most so many events, else nothing. To be read after the round trip in which it is asked for."""

    def __init__(
        self,
        connection: Connection,
        projections: Sequence[str],
        most: int,
        only: list[int] | None,
        schema: str,
    ) -> None:
        self._rows = connection.execute(
            _news(schema), [list(projections), only, only, most, most], binary=True
        )

    def read(self, after: Mapping[int, int]) -> dict[int, list[Entry]]:
        """Of these shards, which are locked since before this was asked for, the entries after the
        projections' positions. Raises LogDamaged (`log_gap`)."""
        found: dict[int, list[Entry]] = {}
        for row in self._rows:
            if row[0] in after:
                found.setdefault(row[0], []).append(Entry._make(row))
        return {shard: _gapless(shard, after[shard], found[shard]) for shard in found}


@cache
def _news(schema: str) -> bytes:
    return sql.SQL(_NEWS).format(positions=sql.Identifier(schema, "positions")).as_bytes()


def _gapless(shard: int, after: int, entries: list[Entry]) -> list[Entry]:
    if entries and entries[-1].position != after + len(entries):
        expected = after
        for entry in entries:
            expected += 1
            if entry.position != expected:
                raise LogDamaged("log_gap", shard, expected, "this position is not in the log")
    return entries


_HISTORIES = (
    "SELECT shard, position, account_id, member_id, version, payload FROM ledger.events "
    "WHERE shard = %s AND account_id = ANY(%s) AND position <= %s "
    "ORDER BY account_id, version"
)


def histories(
    connection: Connection, shard: int, accounts: Sequence[UUID], up_to: int
) -> Iterator[Entry]:
    """All entries of the accounts up to a position, each account's together and in order."""
    with connection.cursor(binary=True) as cursor:
        for row in cursor.stream(_HISTORIES, [shard, list(accounts), up_to], size=STREAM_ROWS):
            yield Entry._make(row)


def few_histories(
    connection: Connection, asked: Sequence[tuple[int, Sequence[UUID], int]]
) -> Iterator[Entry]:
    """The same of accounts of several shards, each shard with its position, in one round trip; all
    of it is in memory at once."""
    with round_trip(connection):
        cursors = [
            connection.execute(_HISTORIES, [shard, list(accounts), up_to], binary=True)
            for shard, accounts, up_to in asked
        ]
    for cursor in cursors:
        for row in cursor:
            yield Entry._make(row)


def accounts_after(
    connection: Connection, shard: int, after: UUID | None, up_to: int, limit: int
) -> list[UUID]:
    """The next accounts of the shard by id, of those opened up to a position."""
    rows = connection.execute(
        "SELECT account_id FROM ledger.events WHERE shard = %s AND version = 1 "
        "AND position <= %s AND account_id > %s ORDER BY account_id LIMIT %s",
        [shard, up_to, after or UUID(int=0), limit],
    ).fetchall()
    return [row[0] for row in rows]


def versions_at(
    connection: Connection, shard: int, accounts: Sequence[UUID], position: int
) -> dict[UUID, int]:
    """How many events each of the accounts had at a position."""
    rows = connection.execute(
        "SELECT a, v.version FROM unnest(%s::uuid[]) AS a CROSS JOIN LATERAL ("
        "  SELECT e.version FROM ledger.events AS e WHERE e.shard = %s AND e.account_id = a "
        "  AND e.position <= %s ORDER BY e.version DESC LIMIT 1) AS v",
        [list(accounts), shard, position],
    ).fetchall()
    return dict(rows)
