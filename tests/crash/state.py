"""All that is in a ledger's database and must not depend on who died when.

Left out: when something was written, what follows from that (hashes, which the chain's own check
covers), and rows that exist only to save work (snapshots; due rows, which may come early).
"""

from typing import Any

import psycopg

from projections.connection import connect
from tests.ledger.opened import postings_sum
from tests.projections.history import catch_up, dump, empty

State = dict[str, Any]

_TABLES = {
    "events": "SELECT shard, position, account_id, member_id, version, type, occurred_at, effects,"
    " convert_from(payload, 'UTF8') FROM ledger.events WHERE shard >= 0 ORDER BY 1, 2",
    "system": "SELECT position, version, type FROM ledger.events WHERE shard = -1 ORDER BY 1",
    "inputs": "SELECT shard, key, position FROM ledger.inputs ORDER BY 1, 2",
    "heads": "SELECT shard, position, decided_to FROM ledger.heads ORDER BY 1",
    "waiting": "SELECT shard, key, source FROM ledger.waiting ORDER BY 1, 2",
    "offsets": 'SELECT "group", topic, partition, next_offset, last_checksum, event_time'
    " FROM ledger.stream_positions ORDER BY 1, 2, 3",
    # A direct input that is sent again, because its sender got no answer, counts again.
    "counts": "SELECT source, type, outcome, sum(n) FROM ledger.outcome_counts"
    " WHERE (source, outcome) <> ('direct', 'duplicate') AND (source, outcome) <>"
    " ('effects', 'duplicate') GROUP BY 1, 2, 3 HAVING sum(n) <> 0 ORDER BY 1, 2, 3",
    "dead letters": 'SELECT source, partition, "offset", key, value, type, member_id, code, path,'
    " message, status, attempts FROM ledger.dead_letters ORDER BY 1, 2, 3, 4",
    "profiles": "SELECT member_id, profile::text, updated_at FROM ledger.profiles ORDER BY 1",
    "member keys": "SELECT member_id FROM ledger.member_keys ORDER BY 1",
    "untold": "SELECT shard, convert_from(outcome, 'UTF8') FROM ledger.command_outcomes"
    " ORDER BY 1, n",
    "stock": "SELECT reward_id, loaded, given FROM ledger.reward_stock ORDER BY 1",
    "codes": "SELECT reward_id, number, code, shard, position FROM ledger.voucher_codes"
    " ORDER BY 1, 2",
    "budgets": "SELECT id, unit, total, undrawn FROM ledger.budgets ORDER BY 1",
    "leases": "SELECT budget, shard, leased, spent FROM ledger.budget_leases ORDER BY 1, 2",
    "promo codes": "SELECT series, member_id, uses, uses_left, count(*) FROM ledger.promo_codes"
    " GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4",
    "cursors": "SELECT shard, position FROM ledger.effects_cursors ORDER BY 1",
}


def read_models_of(url: str) -> dict[str, str]:
    """Folds the read models as far as they are not, and folds them anew to compare."""
    with connect(url) as session:
        catch_up(session)
        read = dump(session)
        empty(session)
        catch_up(session)
        assert dump(session) == read
    return read


def state_of(url: str) -> State:
    """The state, with the read models folded to the end of the log."""
    read = read_models_of(url)
    with psycopg.connect(url, autocommit=True) as owner:
        assert postings_sum(owner) == 0
        found: State = {
            name: owner.execute(query.encode()).fetchall() for name, query in _TABLES.items()
        }
    return {**found, **{f"read.{name}": text for name, text in read.items()}}
