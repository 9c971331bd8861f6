"""Read accounts from the log in bulk: the latest usable snapshot, then the events after it.

One query for many accounts, one snapshot of the database, so that what comes back is a state that
the log had. A snapshot whose schema hash is not that of this software is not used. Ids of accounts
are derived here, and nowhere else.
"""

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha1
from uuid import UUID, uuid5

import msgspec
from psycopg import AsyncConnection, AsyncCursor
from psycopg.rows import TupleRow

from ledger.core import snapshot
from ledger.core.account import Account
from ledger.core.errors import InvariantBroken
from ledger.core.fold import evolve
from ledger.errors import AccountDamaged
from ledger.packed_arrays import integer_array, uuid_array
from ledger.round_trip import round_trip
from schemas.log_events import decode_account_event

NAMESPACE = UUID("5b1f5f2e-7c7c-5a0e-9a3d-3c1d6a0f4b11")
"""Of program ids; a constant of the stored data, never to be changed."""

LOAD_MAX = 250
"""Accounts of one round trip, so that a batch takes two: with 128 events of 2 kB since their
snapshots that is 60 MB at worst."""

IDS_KNOWN_MAX = 1_024
"""Ids of accounts remembered: those of two batches, each of which asks for an id more than once."""

_UUID_BITS = ~((0xF << 76) | (0x3 << 62)) & ((1 << 128) - 1)
_UUID_5 = (5 << 76) | (0x2 << 62)
"""RFC 9562: which bits of the hash stay, and version 5 and the variant in place of the others."""

AccountKey = tuple[int, str]
"""Shard and member_id."""

AskedAccounts = tuple[Sequence[AccountKey], AsyncCursor[TupleRow]]
"""Accounts, and the query that asks for them."""

# Of all shards: each account is looked up in the table of its shard. A statement for each shard
# costs more for as many as are asked for at once, client and server (docs/decisions/
# 0033-small-appends.md).
_LOAD = """
WITH wanted AS MATERIALIZED (
    SELECT w.n, w.shard, w.account_id, s.version, s.state
    FROM unnest(%(shards)s, %(accounts)s) WITH ORDINALITY AS w (shard, account_id, n)
    LEFT JOIN LATERAL (
        SELECT version, state FROM ledger.snapshots
        WHERE shard = w.shard AND account_id = w.account_id AND schema_hash = %(schema)s OFFSET 0
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
def _namespace_of(program_id: str) -> bytes:
    """The 16 bytes of the namespace of a program's accounts."""
    return uuid5(NAMESPACE, program_id).bytes


def account_id_of(program_id: str, member_id: str) -> UUID:
    """The id of a member's account: UUIDv5 of (program, member_id)."""
    return UUID(bytes=account_key_of(program_id, member_id))


@lru_cache(IDS_KNOWN_MAX)
def account_key_of(program_id: str, member_id: str) -> bytes:
    """The 16 bytes of `account_id_of`, in a third of the time that the standard library takes."""
    named = sha1(_namespace_of(program_id) + member_id.encode(), usedforsecurity=False)
    number = int.from_bytes(named.digest()[:16], "big")
    return (number & _UUID_BITS | _UUID_5).to_bytes(16, "big")


async def load_accounts(
    connection: AsyncConnection[TupleRow], program_id: str, wanted: Sequence[AccountKey]
) -> dict[AccountKey, Account]:
    """The accounts as of now; one that has no events yet is a new one (version 0).

    Raises AccountDamaged.
    """
    loaded: dict[AccountKey, Account] = {}
    for start in range(0, len(wanted), LOAD_MAX):
        async with round_trip(connection):
            asked = await ask_accounts(connection, program_id, wanted[start : start + LOAD_MAX])
        loaded.update(await told_accounts(asked))
    return loaded


async def ask_accounts(
    connection: AsyncConnection[TupleRow], program_id: str, wanted: Sequence[AccountKey]
) -> AskedAccounts | None:
    """Ask for at most LOAD_MAX accounts within a round trip; `told_accounts` reads the answer."""
    if not wanted:
        return None
    parameters = {
        "shards": integer_array([shard for shard, _ in wanted]),
        "accounts": uuid_array([account_key_of(program_id, member) for _, member in wanted]),
        "schema": snapshot.SCHEMA_HASH,
    }
    return wanted, await connection.execute(_LOAD, parameters, binary=True)


async def told_accounts(asked: AskedAccounts | None) -> dict[AccountKey, Account]:
    """The answer to `ask_accounts`. Raises AccountDamaged."""
    if asked is None:
        return {}
    places, cursor = asked
    loaded = {place: Account.new(place[1]) for place in places}
    for number, version, is_snapshot, data in await cursor.fetchall():
        _take(loaded, places[number - 1], version, is_snapshot, data)
    return loaded


def _take(
    loaded: dict[AccountKey, Account],
    place: AccountKey,
    version: int,
    is_snapshot: bool,
    data: bytes,
) -> None:
    """An account's snapshot or its next event."""
    try:
        if is_snapshot:
            loaded[place] = snapshot.decode(data)
        else:
            evolve(loaded[place], decode_account_event(data))
    except (InvariantBroken, msgspec.DecodeError) as error:
        raise _damaged(place, version, str(error)) from error
    found = loaded[place].version
    if found != version:
        raise _damaged(place, version, f"the account has {found} events")


def _damaged(place: AccountKey, version: int, difference: str) -> AccountDamaged:
    shard, member_id = place
    return AccountDamaged(shard, member_id, version, difference)
