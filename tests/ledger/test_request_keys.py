"""Idempotency keys of what is known by an id in its data, where nothing but the row guards them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
from msgspec.structs import replace

from ledger.dedupe import key_of, request_key
from ledger.received import Outcome, asked
from ledger.settings import Settings
from ledger.sharding import SYSTEM_SHARD
from tests.ledger.events import purchase
from tests.ledger.opened import opened, run

WAIT_SECONDS = 120

KEY_WAITS = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    " AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO ledger.inputs%'"
)


def test_a_key_taken_while_it_was_written_is_found(settings: Settings) -> None:
    """Another process has written the key of an anonymous purchase in another shard, and commits
    while this one waits to write it."""
    first, own_key = purchase(None, "first", at=1), purchase(None, "second", at=1)
    second = replace(own_key, id=first.id)
    assert request_key(first) == request_key(second)

    async def story() -> tuple[Outcome, Outcome]:
        url = settings.require_database_url()
        async with (
            opened(settings) as ledger,
            await psycopg.AsyncConnection.connect(url) as other,
            await psycopg.AsyncConnection.connect(url, autocommit=True) as seen,
        ):
            await other.execute(
                "INSERT INTO ledger.inputs (shard, key, content, position) VALUES (%s, %s, %s, 1)",
                (SYSTEM_SHARD, request_key(first), key_of(first)),
            )
            handled = asyncio.create_task(ledger.handle([asked(second, keyed=True)]))
            await until(lambda: waits(seen))
            await other.commit()
            (conflict,) = await handled
            (applied,) = await ledger.handle([asked(own_key, keyed=True)])
        return conflict, applied

    conflict, applied = run(story())
    assert (conflict.kind, conflict.code) == ("dead_lettered", "conflict")
    assert applied.kind == "applied"


async def waits(connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether somebody waits for a key."""
    row = await (await connection.execute(KEY_WAITS)).fetchone()
    return row is not None and row[0] > 0


async def until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait for it."""
    for _ in range(20 * WAIT_SECONDS):
        if await holds():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it never held")
