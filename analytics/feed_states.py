"""The states of members and the events of the log as the change feeds tell them.

All is read in one transaction with one snapshot, so a state and the position it is of belong
together.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
from psycopg import Connection

from ledger.sharding import ANONYMOUS_MEMBER
from schemas.feeds import (
    BALANCES,
    SEGMENTS,
    TIERS,
    BalanceChanged,
    BalanceState,
    BalanceStep,
    LedgerEventRecorded,
    LoggedEvent,
    SegmentsChanged,
    SegmentSpan,
    SegmentsState,
    TierChanged,
    TierSpan,
    TierState,
)

EVENTS_AT_ONCE = 2_000
"""Events of the log told together, per shard: some 2 kB each."""

BYTES_AT_ONCE = 8 << 20
"""No further event is added to as many bytes of the log: 8 MiB, what a batch may hold in memory
(and one event more)."""

MEMBERS_AT_ONCE = 500
"""Members told of together when all are: about a megabyte of states."""

_encode = msgspec.json.Encoder().encode


class Message(NamedTuple):
    """A record of a feed."""

    topic: str
    shard: int
    key: str
    value: bytes


class Told(NamedTuple):
    """Who tells: the CloudEvents source, and the moment of the states."""

    source: str
    at: datetime


_BALANCES = (
    "SELECT member_id, opened_at, settled_to, status, merged_into, available, pending, reserved,"
    " expired, granted, debt, step_at, step_available, step_pending, step_reserved, step_expired,"
    " step_granted, step_debt FROM read.balances WHERE member_id = ANY(%s)"
)
_TIERS = (
    "SELECT t.member_id, t.settled_to, t.level, t.measure, t.period_from, t.period_to, t.reached,"
    " t.next_tier, t.next_at_least, t.missing, array_agg(i.tier ORDER BY i.valid_from),"
    " array_agg(i.valid_from ORDER BY i.valid_from), array_agg(i.valid_to ORDER BY i.valid_from)"
    " FROM read.tiers t JOIN read.tier_intervals i USING (member_id)"
    " WHERE t.member_id = ANY(%s) AND (i.valid_to IS NULL OR i.valid_to > t.settled_to)"
    " GROUP BY t.member_id"
)
_SEGMENTS = (
    "SELECT m, array_agg(i.segment ORDER BY i.segment, i.entered_at) FILTER (WHERE i.segment"
    " IS NOT NULL),"
    " array_agg(i.entered_at ORDER BY i.segment, i.entered_at),"
    " array_agg(i.left_at ORDER BY i.segment, i.entered_at)"
    " FROM unnest(%s::text[]) AS m LEFT JOIN read.segment_intervals i ON i.member_id = m"
    " GROUP BY m"
)


def states(
    connection: Connection, topic: str, shard: int, members: Sequence[str], version: int, told: Told
) -> list[Message]:
    """The states of these members as of `version`, one message each."""
    query, made = {
        BALANCES: (_BALANCES, _balance),
        TIERS: (_TIERS, _tier),
        SEGMENTS: (_SEGMENTS, _segments),
    }[topic]
    rows = connection.execute(query.encode(), [list(members)], binary=True)
    return [
        Message(
            topic, shard, row[0], _encode(made(row, version, _envelope(topic, row, version, told)))
        )
        for row in rows
    ]


def _envelope(topic: str, row: Sequence[Any], version: int, told: Told) -> dict[str, Any]:
    return {
        "id": f"{topic}:{row[0]}:{version}",
        "source": told.source,
        "subject": row[0],
        "time": told.at,
    }


def _balance(row: Sequence[Any], version: int, envelope: dict[str, Any]) -> BalanceChanged:
    ahead = tuple(BalanceStep(*step) for step in zip(*row[11:], strict=True))
    fields: Sequence[Any] = (version, *row[1:11], ahead)
    return BalanceChanged(**envelope, data=BalanceState(*fields))


def _tier(row: Sequence[Any], version: int, envelope: dict[str, Any]) -> TierChanged:
    spans = tuple(TierSpan(*span) for span in zip(*row[10:], strict=True))
    return TierChanged(**envelope, data=TierState(version, row[1], spans, *row[2:10]))


def _segments(row: Sequence[Any], version: int, envelope: dict[str, Any]) -> SegmentsChanged:
    spans = zip(*row[1:], strict=True) if row[1] else ()
    data = SegmentsState(version, tuple(SegmentSpan(*span) for span in spans))
    return SegmentsChanged(**envelope, data=data)


_TOUCHED = (
    "SELECT position, member_id FROM ledger.events"
    " WHERE shard = %s AND position > %s AND position <= %s ORDER BY position LIMIT %s"
)


def touched(connection: Connection, shard: int, after: int, up_to: int) -> tuple[int, list[str]]:
    """The members of the next events, and the position of the last of these."""
    rows = connection.execute(_TOUCHED, [shard, after, up_to, EVENTS_AT_ONCE]).fetchall()
    members = dict.fromkeys(row[1] for row in rows if not row[1].startswith("~"))
    return (rows[-1][0] if rows else after), list(members)


_OPENED = (
    "SELECT account_id, member_id FROM ledger.events WHERE shard = %s AND version = 1"
    " AND position <= %s AND account_id > %s ORDER BY account_id LIMIT %s"
)


def page(connection: Connection, shard: int, after: Any, up_to: int) -> list[tuple[Any, str]]:
    """The next accounts of the shard by id, of those opened up to a position."""
    return connection.execute(_OPENED, [shard, up_to, after, MEMBERS_AT_ONCE]).fetchall()


_EVENTS = (
    "SELECT position, member_id, version, occurred_at, recorded_at, hash, payload FROM ("
    " SELECT *, sum(octet_length(payload)) OVER (ORDER BY position)"
    "  - octet_length(payload) AS bytes"
    " FROM (SELECT * FROM ledger.events WHERE shard = %s AND position > %s"
    "  ORDER BY position LIMIT %s) AS next) AS summed WHERE bytes < %s ORDER BY position"
)


def events(
    connection: Connection, topic: str, shard: int, after: int, source: str
) -> tuple[int, list[Message]]:
    """The next events of the log in their order, and the position of the last of these."""
    found = []
    rows = connection.execute(_EVENTS, [shard, after, EVENTS_AT_ONCE, BYTES_AT_ONCE], binary=True)
    for position, member, version, occurred_at, recorded_at, digest, payload in rows:
        # Purchases of nobody are on one account in each shard: its name alone is not one key.
        key = f"{member}:{shard}" if member == ANONYMOUS_MEMBER else member
        event = LedgerEventRecorded(
            id=f"{shard}:{position}",
            source=source,
            subject=key,
            time=occurred_at.astimezone(UTC),
            data=LoggedEvent(
                version, shard, position, recorded_at, digest.hex(), msgspec.Raw(payload)
            ),
        )
        found.append(Message(topic, shard, key, _encode(event)))
        after = position
    return after, found
