"""An open ledger in a test, and what every test asks of it at the end."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg

from ledger.application import Ledger
from ledger.core.calendar import to_instant
from ledger.core.settle import next_due
from ledger.settings import Settings
from ledger.sharding import SYSTEM_SHARD
from schemas.fields import Instant
from tests.ledger.events import SHARDS, day

T = TypeVar("T")

TEST_SECONDS = 300
"""Longest a test may take: a hundred times what most need, also beside other work."""


def run(work: Coroutine[Any, Any, T], seconds: float = TEST_SECONDS) -> T:
    """Run a test's coroutine to its end, within a bound."""

    async def bounded() -> T:
        async with asyncio.timeout(seconds):
            return await work

    return asyncio.run(bounded())


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Ledger]:
    """An open ledger. At the end its log must verify, its cache must be what the log says, and no
    due row may come late."""
    ledger = await Ledger.open(settings)
    try:
        yield ledger
        await check_log(ledger)
        await check_cache(ledger)
        await check_due(ledger)
    finally:
        await ledger.close()


async def check_log(ledger: Ledger) -> None:
    """Every chain verifies."""
    for shard in range(SYSTEM_SHARD, SHARDS):
        await ledger.verify_chain(shard)


async def check_cache(ledger: Ledger) -> None:
    """What is cached is what folding the log gives, unless the head has moved past the cache."""
    heads = {shard: (await ledger.verify_chain(shard)).position for shard in range(SHARDS)}
    for (shard, member_id), entry in list(ledger.cache._entries.items()):
        if ledger.cache.seen(shard) == heads[shard]:
            assert entry.account == await ledger.account(member_id, shard)


async def check_due(ledger: Ledger) -> None:
    """No account falls due before its due row says so: it would be settled too late."""
    programs = await ledger.reload_programs()
    async with ledger._pool.connection() as connection:
        cursor = await connection.execute(
            "SELECT DISTINCT e.shard, e.member_id, d.due_at FROM ledger.events e"
            " LEFT JOIN ledger.due d USING (shard, account_id) WHERE e.shard >= 0"
        )
        rows = await cursor.fetchall()
    for shard, member_id, due_at in rows:
        due = next_due(await ledger.account(member_id, shard), programs)
        assert due is None or (due_at is not None and to_instant(due_at) <= due), member_id


def instant(number: float) -> Instant:
    """Noon of the `number`th day as an Instant."""
    return int(day(number).timestamp() * 1_000_000)


def postings_sum(connection: psycopg.Connection[Any]) -> int:
    """The sum of all postings in the log (invariant 1: 0)."""
    row = connection.execute(
        "SELECT coalesce(sum((p ->> 1)::bigint), 0)::bigint FROM ledger.events,"
        " jsonb_array_elements(convert_from(payload, 'UTF8')::jsonb -> 'postings') p"
    ).fetchone()
    assert row is not None
    return int(row[0])
