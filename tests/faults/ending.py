"""What is checked once, at the end: the whole of it again, from the beginning, by several ways."""

from collections.abc import Mapping
from hashlib import sha256

import psycopg
from psycopg import sql

from ledger.application import Ledger
from ledger.settings import load_settings
from ledger.sharding import SYSTEM_SHARD
from projections.rebuild import rebuild
from projections.runner import read_models
from tests.faults.account import Account
from tests.faults.audit import Audit, AuditFailed

MODELS = tuple(model.name for model in read_models())

_LOTS = """
SELECT count(*) FROM read.balances b
FULL JOIN (SELECT member_id, sum(available) AS available, sum(pending) AS pending,
                  sum(reserved) AS reserved
           FROM read.open_lots GROUP BY 1) l USING (member_id)
WHERE coalesce(b.available, 0) <> coalesce(l.available, 0) - coalesce(b.debt, 0)
   OR coalesce(b.pending, 0) <> coalesce(l.pending, 0)
   OR coalesce(b.reserved, 0) <> coalesce(l.reserved, 0)
"""
_BELOW = (
    "SELECT count(*) FROM read.open_lots WHERE available < 0 OR pending < 0 OR reserved < 0"
    " OR available + pending + reserved > granted"
)
_INPUTS = (
    "SELECT count(*) FROM ledger.inputs i LEFT JOIN ledger.events e USING (shard, position)"
    " WHERE e.shard IS NULL"
)


async def verify_chain(settings: Mapping[str, str]) -> int:
    """The ledger's own check of every shard's chain, from its first event on; how many events.
    Raises ChainBroken."""
    ledger = await Ledger.open(load_settings(settings))
    try:
        heads = [
            await ledger.verify_chain(shard)
            for shard in (SYSTEM_SHARD, *range(ledger.identity.shards))
        ]
    finally:
        await ledger.close()
    return sum(head.position for head in heads)


def whole(url: str, account: Account, audit: Audit) -> None:
    """Everything that took effect is what should have, and the read models fit together.
    Raises AuditFailed."""
    again = Audit()
    again.read(url)
    if (again.taken, again.types) != (audit.taken, audit.types):
        raise AuditFailed("the log read from its beginning is not what was read step by step")
    for kind, expected in account.applied.items():
        if again.taken[kind] != expected:
            lost = sorted(map(str, expected - again.taken[kind]))[:5]
            more = sorted(map(str, again.taken[kind] - expected))[:5]
            raise AuditFailed(f"{kind}: without effect {lost}, with an effect not sent {more}")
    with psycopg.connect(url) as connection:
        for query, what in (
            (_LOTS, "members whose balances are not the sum of their lots (invariant 2)"),
            (_BELOW, "lots below 0 or above what was granted (invariant 3)"),
            (_INPUTS, "inputs whose event is not there"),
        ):
            row = connection.execute(query.encode()).fetchone()
            assert row is not None
            if row[0]:
                raise AuditFailed(f"{row[0]} {what}")


def fold_again(url: str) -> None:
    """Folding the log anew gives the same read models, byte for byte (invariant 8).
    Raises AuditFailed."""
    before = digests(url)
    for name in MODELS:
        rebuild(url, name)
    after = digests(url)
    changed = sorted(table for table in before if before[table] != after.get(table))
    if changed:
        raise AuditFailed(f"folded anew, these read models are others: {', '.join(changed)}")


def digests(url: str) -> dict[str, bytes]:
    """A digest of each table of the read models, in an order of its own rows."""
    found = {}
    tables = {table for model in read_models() for table in model.tables}
    with psycopg.connect(url) as connection:
        for table in tables:
            digest = sha256()
            query = sql.SQL("COPY (SELECT t::text FROM {} t ORDER BY 1) TO STDOUT")
            named = table.identifier.as_string()
            with connection.cursor() as cursor, cursor.copy(query.format(table.identifier)) as copy:
                for data in copy:
                    digest.update(bytes(data))
            found[named] = digest.digest()
    return found
