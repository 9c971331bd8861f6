"""Read accounts from the log in bulk: the latest usable snapshot, then the events after it.

One query for many accounts, one snapshot of the database, so that what comes back is a state that
the log had. A snapshot whose schema hash is not that of this software is not used. Ids of accounts
are derived here, and nowhere else.
"""

from collections.abc import Sequence
from functools import lru_cache
from uuid import UUID, uuid5

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from ledger.core import snapshot
from ledger.core.account import Account
from ledger.core.errors import InvariantBroken
from ledger.core.fold import evolve
from ledger.errors import AccountDamaged
from schemas.log_events import decode_account_event

NAMESPACE = UUID("5b1f5f2e-7c7c-5a0e-9a3d-3c1d6a0f4b11")
"""Of program ids; a constant of the stored data, never to be changed."""

LOAD_MAX = 100
"""Accounts of one query: with 256 events of 2 kB since their snapshots that is 50 MB at worst."""

AccountKey = tuple[int, str]
"""Shard and member_id."""

_LOAD = """
WITH wanted AS MATERIALIZED (
    SELECT w.n, w.shard, w.account_id, s.version, s.state
    FROM unnest(%s::integer[], %s::uuid[]) WITH ORDINALITY AS w (shard, account_id, n)
    LEFT JOIN LATERAL (
        SELECT version, state FROM ledger.snapshots
        WHERE shard = w.shard AND account_id = w.account_id AND schema_hash = %s OFFSET 0
    ) s ON true
)
SELECT n, version, true, state FROM wanted WHERE state IS NOT NULL
UNION ALL
SELECT w.n, e.version, false, e.payload
FROM wanted w CROSS JOIN LATERAL (
    SELECT version, payload FROM ledger.events
    WHERE shard = w.shard AND account_id = w.account_id AND version > coalesce(w.version, 0)
    ORDER BY version OFFSET 0
) e
ORDER BY 1, 2
"""


@lru_cache(maxsize=16)
def program_namespace(program_id: str) -> UUID:
    """The namespace of a program's accounts."""
    return uuid5(NAMESPACE, program_id)


def account_id_of(program_id: str, member_id: str) -> UUID:
    """The id of a member's account: UUIDv5 of (program, member_id)."""
    return uuid5(program_namespace(program_id), member_id)


async def load_accounts(
    connection: AsyncConnection[TupleRow], program_id: str, wanted: Sequence[AccountKey]
) -> dict[AccountKey, Account]:
    """The accounts as of now; one that has no events yet is a new one (version 0).

    Raises AccountDamaged.
    """
    loaded: dict[AccountKey, Account] = {}
    for start in range(0, len(wanted), LOAD_MAX):
        part = wanted[start : start + LOAD_MAX]
        accounts = [Account.new(member_id) for _, member_id in part]
        cursor = await connection.execute(
            _LOAD,
            (
                [shard for shard, _ in part],
                [account_id_of(program_id, member_id) for _, member_id in part],
                snapshot.SCHEMA_HASH,
            ),
            binary=True,
        )
        for number, version, is_snapshot, data in await cursor.fetchall():
            place = number - 1
            try:
                if is_snapshot:
                    accounts[place] = snapshot.decode(data)
                else:
                    event = decode_account_event(data)
                    evolve(accounts[place], event)
            except (InvariantBroken, msgspec.DecodeError) as error:
                raise _damaged(part[place], version, str(error)) from error
            found = accounts[place].version
            if found != version:
                raise _damaged(part[place], version, f"the account has {found} events")
        loaded.update(zip(part, accounts, strict=True))
    return loaded


def _damaged(place: AccountKey, version: int, difference: str) -> AccountDamaged:
    shard, member_id = place
    return AccountDamaged(shard, member_id, version, difference)
