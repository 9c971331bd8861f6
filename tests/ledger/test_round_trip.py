"""Statements that go together: what a failure or a cancelled call leaves of the connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
import pytest
from psycopg.errors import DivisionByZero

from ledger.database import open_pool
from ledger.lookups import Connection
from ledger.round_trip import round_trip
from ledger.settings import Settings
from tests.ledger.opened import run

TO_BE_PREPARED = 5
"""psycopg prepares a statement when it is executed once more than so often."""


@asynccontextmanager
async def pooled(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection]:
    """A pool's connection, outside of any transaction."""
    pool = await open_pool(settings)
    try:
        async with pool.connection() as connection:
            yield connection
    finally:
        await pool.close()


async def ask(connection: Connection) -> int:
    """A statement that is prepared in time."""
    row = await (await connection.execute("SELECT %s::int + 1", (1,))).fetchone()
    assert row is not None
    return int(row[0])


def test_a_statement_behind_one_that_failed_can_be_asked_again(settings: Settings) -> None:
    """It was about to be prepared, and the server skipped it."""

    async def test() -> None:
        async with pooled(settings) as connection:
            for _ in range(TO_BE_PREPARED):
                await ask(connection)

            async def fails() -> None:
                async with round_trip(connection):
                    await connection.execute("SELECT 1 / 0")
                    await connection.execute("SELECT %s::int + 1", (1,))

            with pytest.raises(DivisionByZero):
                await fails()
            for _ in range(TO_BE_PREPARED * 2):
                assert await ask(connection) == 2
            async with round_trip(connection):
                cursors = [await connection.execute("SELECT %s::int + 1", (n,)) for n in range(10)]
            assert [await cursor.fetchone() for cursor in cursors] == [(n + 1,) for n in range(10)]

    run(test())


def test_a_cancelled_round_trip_leaves_a_connection_that_works(settings: Settings) -> None:
    async def test() -> None:
        async with pooled(settings) as connection:
            for _ in range(TO_BE_PREPARED):
                await ask(connection)

            async def slow() -> None:
                async with round_trip(connection):
                    await connection.execute("SELECT pg_sleep(60)")
                    await connection.execute("SELECT %s::int + 1", (1,))

            task = asyncio.create_task(slow())
            async with await psycopg.AsyncConnection.connect(
                settings.require_database_url(), autocommit=True
            ) as other:
                asleep = (
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
                    " AND pid <> pg_backend_pid() AND datname = current_database()"
                )
                while await (await other.execute(asleep)).fetchone() != (1,):
                    await other.execute("SELECT pg_sleep_for('10 ms')")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            for _ in range(TO_BE_PREPARED * 2):
                assert await ask(connection) == 2

    run(test())


@pytest.mark.parametrize("megabytes", [1, 24])
def test_much_is_sent_while_much_is_answered(settings: Settings, megabytes: int) -> None:
    """More than both sockets hold, in both directions: neither end waits for the other."""

    async def test() -> None:
        text = "x" * (megabytes * 100_000)
        async with pooled(settings) as connection:
            async with round_trip(connection):
                cursors = [await connection.execute("SELECT %s::text", (text,)) for _ in range(10)]
            for cursor in cursors:
                assert await cursor.fetchone() == (text,)

    run(asyncio.wait_for(test(), 60))
