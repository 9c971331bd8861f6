"""One member's events out of the log, each with the moment at which it was recorded.

Straight from the log, whether or not the read models have come as far: a question of what was known
when cannot be asked of them. An account's events are found by an index, in the order of the log.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from psycopg import Connection

from ledger.accounts import account_id_of
from ledger.core.calendar import from_instant, to_instant
from ledger.migrate import no_ledger
from ledger.sharding import shard_of
from projections.log import Entry, decode
from schemas.decisions import AccountEvent
from schemas.fields import Instant

_EVENTS = """
SELECT shard, position, account_id, member_id, version, payload, recorded_at FROM ledger.events
WHERE shard = %s AND account_id = %s AND version > %s AND recorded_at <= %s ORDER BY version
"""

STREAM_ROWS = 500
"""Events fetched at once; at some kB each, about a megabyte."""


class LedgerFacts(NamedTuple):
    """What never changes of the ledger asked."""

    program_id: str
    currency: str
    time_zone: str
    shards: int


class Recorded(NamedTuple):
    """An account event, where it stands in the log and since when."""

    shard: int
    position: int
    recorded_at: Instant
    event: AccountEvent


def ledger_facts(connection: Connection) -> LedgerFacts:
    """Raises StartRefused (`no_ledger`)."""
    row = connection.execute(
        "SELECT program_id, currency, time_zone, shards FROM ledger.ledger"
    ).fetchone()
    if row is None:
        raise no_ledger()
    return LedgerFacts._make(row)


def member_log(
    connection: Connection,
    ledger: LedgerFacts,
    member_id: str,
    known_at: Instant | None = None,
    *,
    after: int = 0,
) -> list[Recorded]:
    """The member's events in the log's order: those recorded up to and including `known_at`, beyond
    the version `after`.

    Raises LogDamaged (`log_undecodable`).
    """
    shard = shard_of(member_id, ledger.shards)
    account = account_id_of(ledger.program_id, member_id)
    until = "infinity" if known_at is None else from_instant(known_at)
    with connection.cursor(binary=True) as cursor:
        rows = cursor.execute(_EVENTS, [shard, account, after, until])
        return list(recorded(rows))


def recorded(rows: Iterable[tuple[object, ...]]) -> Iterator[Recorded]:
    """Rows of the log, their columns as an Entry's and then `recorded_at`, decoded."""
    for row in rows:
        *columns, recorded_at = row
        entry = Entry._make(columns)
        yield Recorded(entry.shard, entry.position, to_instant(recorded_at), decode(entry))  # type: ignore[arg-type]
