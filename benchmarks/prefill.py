"""A ledger that has a past, made in seconds: dedupe rows by the million, without the door.

What the measurements ask is how an append does beside as many rows; who they are does not matter.
Keys are random and 16 bytes long as those of real inputs are, and every shard gets as many.
"""

import asyncio
import secrets
from collections.abc import Sequence

import psycopg
from psycopg import sql

SESSIONS = 2
"""Filling at once: as many as the benchmarks' machine has cores."""

PASSES = 2
"""Of each shard. Keys in order fill an index quickly, but leave its pages as full as they get: the
second pass splits them, as random keys over the years would."""

_FILL = sql.SQL(
    "INSERT INTO {} (shard, key, content, position)"
    " SELECT {}, uuid_send(md5({} || n)::uuid) AS key, uuid_send(md5(n || {})::uuid), n"
    " FROM generate_series(%s::bigint, %s::bigint) n ORDER BY key"
)


async def prefill_inputs(database_url: str, rows: int) -> None:
    """Add so many dedupe rows to a ledger, as inputs that were taken before: 5 s a million.

    They name positions that the log may not have.
    """
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        cursor = await connection.execute("SELECT shards FROM ledger.ledger")
        found = await cursor.fetchone()
        assert found is not None
    shards = range(found[0])
    await asyncio.gather(
        *(
            _fill_inputs(database_url, rows, len(shards), shards[session::SESSIONS])
            for session in range(SESSIONS)
        )
    )
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        # As rows of years are: seen, frozen and counted. Nothing of this is left to the autovacuum
        # of the database, nor of its copies, while they are measured.
        await connection.execute("VACUUM (FREEZE, ANALYZE)")


async def _fill_inputs(database_url: str, rows: int, shards: int, own: Sequence[int]) -> None:
    """Fill this session's `own` shards, of so many."""
    salt = secrets.token_hex(8)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("SET synchronous_commit = off")
        await connection.execute("SET work_mem = '256MB'")
        for shard in own:
            share = rows // shards + (shard < rows % shards)
            statement = _FILL.format(sql.Identifier("ledger", f"inputs_{shard}"), shard, salt, salt)
            for number in range(PASSES):
                first = share * number // PASSES + 1
                last = share * (number + 1) // PASSES
                await connection.execute(statement, (first, last))
