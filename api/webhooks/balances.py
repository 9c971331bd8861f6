"""What a member had right after an event: the read model's figures, moved by the log to its place.

The read model stands at some position of the shard, before or after the event. What postings lie
between the two is added or taken away, so the figure is exact and belongs to this very event. Where
the read model is too far away, or was never folded, no balance is told: a webhook never waits for
it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from msgspec import Struct
from psycopg import Connection

from projections.log import Entry
from schemas.decisions import LogEvent
from schemas.log_events import decode_account_event

DISTANCE_MAX = 1_000
"""Events of the shard between the read model and what is told: a second's work of a whole ledger,
some 5 ms to read."""


class Balance(Struct, frozen=True):
    """Points as recorded after the event; `available` is net of debt."""

    available: int
    pending: int
    reserved: int


class _Change(NamedTuple):
    available: int
    pending: int
    reserved: int


_FOLDED = (
    "SELECT p.position, b.member_id, b.available, b.pending, b.reserved FROM read.positions p"
    " LEFT JOIN read.balances b ON b.member_id = ANY(%s)"
    " WHERE p.projection = 'balances' AND p.shard = %s"
)
_BETWEEN = (
    "SELECT position, member_id, payload FROM ledger.events"
    " WHERE shard = %s AND position > %s AND position <= %s AND member_id = ANY(%s)"
)


def balances_after(
    connection: Connection,
    shard: int,
    entries: Sequence[tuple[Entry, LogEvent]],
    wanted: Sequence[Entry],
) -> dict[int, Balance]:
    """By position, the balances after the `wanted` of the `entries`, which lie side by side."""
    if not wanted:
        return {}
    members = list({entry.member_id for entry in wanted})
    rows = connection.execute(_FOLDED, [members, shard]).fetchall()
    if not rows:
        return {}
    folded: int = rows[0][0]
    first, last = entries[0][0].position, entries[-1][0].position
    if max(first - 1 - folded, folded - last) > DISTANCE_MAX:
        return {}
    base = {row[1]: _Change(*row[2:]) for row in rows if row[1] is not None}
    asked = set(members)
    changes = {
        entry.position: (entry.member_id, _change(event))
        for entry, event in entries
        if entry.member_id in asked
    }
    for low, high in ((folded, first - 1), (last, folded)):
        if low < high:
            for position, member, payload in connection.execute(
                _BETWEEN, [shard, low, high, members], binary=True
            ):
                changes[position] = (member, _change(decode_account_event(payload)))
    of_member: dict[str, list[tuple[int, _Change]]] = {}
    for position, (member, change) in changes.items():
        of_member.setdefault(member, []).append((position, change))
    return {
        entry.position: _at(
            entry.position,
            folded,
            base.get(entry.member_id, _Change(0, 0, 0)),
            of_member.get(entry.member_id, ()),
        )
        for entry in wanted
    }


def _at(
    position: int, folded: int, base: _Change, changes: Sequence[tuple[int, _Change]]
) -> Balance:
    available, pending, reserved = base
    sign = 1 if position >= folded else -1
    low, high = min(position, folded), max(position, folded)
    for at, change in changes:
        if low < at <= high:
            available += sign * change.available
            pending += sign * change.pending
            reserved += sign * change.reserved
    return Balance(available, pending, reserved)


def _change(event: LogEvent) -> _Change:
    moved = {"available": 0, "pending": 0, "reserved": 0}
    for posting in getattr(event, "postings", ()):
        if posting.account in moved:
            moved[posting.account] += posting.points
    return _Change(moved["available"], moved["pending"], moved["reserved"])
