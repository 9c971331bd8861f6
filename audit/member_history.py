"""A member's entries, newest first and page by page, each told in words from its own event.

Straight from the log, by the account's versions, so that a page costs what it shows. As of a moment
of the world the whole account is folded: what had happened by then is not a stretch of the log.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from msgspec import Struct
from psycopg import Connection

from audit.entries import told
from audit.happened import happened
from audit.member_log import LedgerFacts, Recorded, member_log, recorded
from audit.texts import Texts
from ledger.accounts import account_id_of
from ledger.core.calendar import from_instant
from ledger.core.program.timeline import Timeline
from ledger.sharding import shard_of
from projections.happened import happened_by
from projections.history import changes_of
from schemas.decisions import AccountEvent
from schemas.fields import Instant

VERSION_MAX = 2**31 - 1
"""Of an account's events, as the log stores it."""

_PAGE = """
SELECT shard, position, account_id, member_id, version, payload, recorded_at FROM ledger.events
WHERE shard = %s AND account_id = %s AND version < %s ORDER BY version DESC LIMIT %s
"""
_IS_THERE = "SELECT 1 FROM ledger.events WHERE shard = %s AND account_id = %s AND version = 1"

_NO_ORDERS: Mapping[str, str] = {}


class Moved(Struct, frozen=True):
    """Points that an entry moved; `available` is net of debts."""

    available: int
    pending: int
    reserved: int


class HistoryEntry(Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One entry. `event`: its kind in the log; `name`, `member`: whom or what it names, by the
    kind; `recorded_at`, `shard` and `position` are left out of what fell due and no event records
    yet. `headline` and `details` tell it in words."""

    event: str
    occurred_at: datetime
    recorded_at: datetime | None = None
    shard: int | None = None
    position: int | None = None
    version: int | None = None
    moved: Moved
    headline: str
    details: tuple[str, ...] = ()
    input_type: str = ""
    source: str = ""
    id: str = ""
    order_id: str = ""
    return_id: str = ""
    redemption_id: str = ""
    store_id: str = ""
    name: str = ""
    member: str = ""
    actor: str = ""
    reason: str = ""


def is_member(connection: Connection[Any], ledger: LedgerFacts, member_id: str) -> bool:
    """Whether the member has an account."""
    place = shard_of(member_id, ledger.shards), account_id_of(ledger.program_id, member_id)
    return connection.execute(_IS_THERE, place).fetchone() is not None


def newest(
    connection: Connection[Any],
    ledger: LedgerFacts,
    member_id: str,
    texts: Texts,
    before: int | None,
    limit: int,
) -> list[HistoryEntry]:
    """The member's entries before a version of the account, newest first. Raises LogDamaged."""
    shard, account = shard_of(member_id, ledger.shards), account_id_of(ledger.program_id, member_id)
    top = VERSION_MAX if before is None else before
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_PAGE, [shard, account, top, limit]).fetchall()
    return [
        entry_of(one.event, one, texts, int(row[4]))
        for row, one in zip(rows, recorded(rows), strict=True)
    ]


def newest_as_of(
    connection: Connection[Any],
    ledger: LedgerFacts,
    member_id: str,
    texts: Texts,
    programs: Timeline,
    at: Instant,
    skip: int,
    limit: int,
) -> list[HistoryEntry]:
    """Of the entries that had happened by `at`, newest first, those after the first `skip`."""
    log = member_log(connection, ledger, member_id)
    found = happened_by(member_id, (one.event for one in log), at, programs)
    found.reverse()
    return [
        entry_of(
            event,
            None if place is None else log[place],
            texts,
            None if place is None else place + 1,
        )
        for place, event in found[skip : skip + limit]
    ]


def entry_of(
    event: AccountEvent, place: Recorded | None, texts: Texts, version: int | None
) -> HistoryEntry:
    """An event (or what of it had happened) as an entry; `place`: where the log has it."""
    where = None if place is None else (place.shard, place.position, place.recorded_at)
    known = happened(event, where, _NO_ORDERS)
    words = told(event, texts)
    changes = changes_of(event).values()
    return HistoryEntry(
        event=known.event,
        occurred_at=from_instant(event.occurred_at),
        recorded_at=known.recorded_at,
        shard=known.shard,
        position=known.position,
        version=version,
        moved=Moved(
            sum(one.available for one in changes),
            sum(one.pending for one in changes),
            sum(one.reserved for one in changes),
        ),
        headline=words.headline,
        details=words.details,
        input_type=known.input_type,
        source=known.source,
        id=known.id,
        order_id=known.order_id,
        return_id=known.return_id,
        redemption_id=known.redemption_id,
        store_id=known.store_id,
        name=known.name,
        member=known.member,
        actor=known.actor,
        reason=known.reason,
    )
