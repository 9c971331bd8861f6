"""From the log to deliveries: in one transaction with the positions, so nothing is left out or made
twice, whoever dies when.

Each subscription has a position in each shard. A paused one stands still, and so does one for which
too many wait: it goes on from there, for the log keeps everything.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import asdict
from psycopg import Connection

from api.webhooks.balances import Balance, balances_after
from api.webhooks.matching import Public, public_events, wants
from ledger.core.calendar import from_instant
from ledger.sharding import SYSTEM_SHARD
from projections.log import Entry, ask_batch, decode, decode_system, read_batch
from schemas.decisions import LogEvent

EVENTS_MAX = 200
"""Events of one shard in one round: with all shards some thousand, a second's work."""

PLACES_MAX = 32
"""Places of the log (a shard and a position) read in one round, chosen by chance, so that none
waits for one that is far behind."""

WAITING_MAX = 50_000
"""Deliveries that wait for one subscription before it goes no further in the log: some 50 MB."""


class Made(NamedTuple):
    """A round: deliveries made, and events of the log looked at."""

    deliveries: int
    events: int


class _Row(NamedTuple):
    id: str
    subscription_id: str
    member_id: str
    type: str
    shard: int
    position: int
    body: bytes


_LAGS = (
    "SELECT p.shard, p.position, array_agg(p.subscription_id ORDER BY p.subscription_id)"
    " FROM api.subscription_positions p JOIN api.subscriptions s ON s.id = p.subscription_id"
    " JOIN ledger.heads h USING (shard)"
    " WHERE s.status = 'active' AND s.waiting < %s AND h.position > p.position"
    " GROUP BY p.shard, p.position ORDER BY random() LIMIT %s"
)


def make(connection: Connection[Any]) -> Made:
    """Look at the next events for all subscriptions that are behind, and make what they want.

    Raises LogDamaged.
    """
    places = connection.execute(_LAGS, [WAITING_MAX, PLACES_MAX]).fetchall()
    if not places:
        return Made(0, 0)
    with connection.transaction():
        wanted = _locked(connection, {id_ for *_, ids in places for id_ in ids})
        with connection.pipeline():
            asked = [
                ask_batch(connection, shard, position, EVENTS_MAX) for shard, position, _ in places
            ]
        rows: list[_Row] = []
        moved: list[tuple[str, int, int]] = []
        events = 0
        for (shard, position, ids), cursor in zip(places, asked, strict=True):
            entries = read_batch(cursor, shard, position)
            types = {id_: wanted[id_] for id_ in ids if id_ in wanted}
            if entries and types:
                events += len(entries)
                rows += _rows(connection, shard, entries, types)
                moved += [(id_, shard, entries[-1].position) for id_ in types]
        _insert(connection, rows)
        _count(connection, rows)
        _move(connection, moved)
    return Made(len(rows), events)


def _locked(connection: Connection[Any], ids: Iterable[str]) -> dict[str, list[str]]:
    """The types of those that are active still, their rows locked in the order of their ids."""
    rows = connection.execute(
        "SELECT id, types FROM api.subscriptions WHERE id = ANY(%s) AND status = 'active'"
        " ORDER BY id FOR UPDATE",
        [list(ids)],
    )
    return dict(rows.fetchall())


def _rows(
    connection: Connection[Any],
    shard: int,
    entries: Sequence[Entry],
    wanted: dict[str, list[str]],
) -> list[_Row]:
    """What the subscriptions want of these events."""
    decoded: list[tuple[Entry, LogEvent]] = [
        (entry, decode_system(entry) if shard == SYSTEM_SHARD else decode(entry))
        for entry in entries
    ]
    found: list[tuple[Entry, str, int, Public, list[str]]] = []
    for entry, event in decoded:
        if entry.member_id.startswith("~") and shard != SYSTEM_SHARD:
            continue  # a purchase of nobody
        for number, public in enumerate(public_events(event)):
            ids = [id_ for id_, types in wanted.items() if wants(types, public.type)]
            if ids:
                found.append((entry, type(event).__name__, number, public, ids))
    members = {entry.position: entry for entry, *_ in found} if shard != SYSTEM_SHARD else {}
    balances = balances_after(connection, shard, decoded, list(members.values()))
    rows = []
    for entry, name, number, public, ids in found:
        body = payload(entry, name, public, balances.get(entry.position))
        rows += [
            _Row(
                f"msg_{id_.removeprefix('wh_')}_{shard}_{entry.position}_{number}",
                id_,
                entry.member_id,
                public.type,
                shard,
                entry.position,
                body,
            )
            for id_ in ids
        ]
    return rows


def payload(entry: Entry, name: str, public: Public, balance: Balance | None) -> bytes:
    """What is sent: `name` is the type of the log's event."""
    data: dict[str, Any] = {} if entry.shard == SYSTEM_SHARD else {"member_id": entry.member_id}
    data |= {"shard": entry.shard, "position": entry.position, "version": entry.version}
    data |= {"event": name, **public.data}
    if balance is not None:
        data["balance"] = asdict(balance)
    document = {"type": public.type, "timestamp": from_instant(public.at), "data": data}
    return msgspec.json.encode(document)


_HELD = (
    "SELECT DISTINCT d.subscription_id, d.member_id FROM unnest(%s::text[], %s::text[])"
    " AS f (subscription_id, member_id) JOIN api.deliveries d"
    " ON d.subscription_id = f.subscription_id AND d.member_id = f.member_id"
    " AND d.status = 'waiting'"
)


def _insert(connection: Connection[Any], rows: Sequence[_Row]) -> None:
    """Only the first of a member may be sent; the others are held back until it is taken."""
    if not rows:
        return
    places = list({(row.subscription_id, row.member_id) for row in rows})
    held = set(connection.execute(_HELD, [list(c) for c in zip(*places, strict=True)]).fetchall())
    ready = []
    for row in rows:
        place = (row.subscription_id, row.member_id)
        ready.append(place not in held)
        held.add(place)
    connection.execute(
        "INSERT INTO api.deliveries"
        " (id, subscription_id, member_id, type, shard, position, body, due_at)"
        " SELECT id, subscription_id, member_id, type, shard, position, body,"
        "  CASE WHEN ready THEN now() END"
        " FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::int[], %s::bigint[],"
        "  %s::bytea[], %s::boolean[]) WITH ORDINALITY AS n (id, subscription_id, member_id, type,"
        "  shard, position, body, ready, place) ORDER BY place",
        [*(list(column) for column in zip(*rows, strict=True)), ready],
    )


def _count(connection: Connection[Any], rows: Sequence[_Row]) -> None:
    for id_, count in Counter(row.subscription_id for row in rows).items():
        connection.execute(
            "UPDATE api.subscriptions SET waiting = waiting + %s WHERE id = %s", [count, id_]
        )


def _move(connection: Connection[Any], moved: Sequence[tuple[str, int, int]]) -> None:
    if not moved:
        return
    connection.execute(
        "UPDATE api.subscription_positions AS p SET position = n.position"
        " FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS n (subscription_id, shard, position)"
        " WHERE p.subscription_id = n.subscription_id AND p.shard = n.shard",
        [list(column) for column in zip(*moved, strict=True)],
    )
