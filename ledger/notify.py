"""Tell readers which shards have grown: after the commit, not inside, at most 20 times a second.

NOTIFY inside the append transaction cost 16 to 19 % of the throughput (it takes a lock that all
committers share). A notification only wakes a reader early; readers also look by themselves, so one
that is lost delays and loses nothing.
"""

import asyncio
import logging

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from ledger.crash import crash_point

CHANNEL = "points_ledger"
"""Its payload: the numbers of the shards, separated by commas."""

INTERVAL_SECONDS = 0.05
"""Least time between two notifications of one process: 20 a second."""

log = logging.getLogger(__name__)

Pool = AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]]


class Notifier:
    """Gathers shards and sends them by one task at a time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._shards: set[int] = set()
        self._task: asyncio.Task[None] | None = None

    def add(self, shards: set[int]) -> None:
        """These shards have grown."""
        self._shards |= shards
        if self._shards and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Send what is left."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while self._shards:
            shards, self._shards = self._shards, set()
            crash_point("notify.before_send")
            try:
                async with self._pool.connection() as connection:
                    payload = ",".join(map(str, sorted(shards)))
                    await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, payload))
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("notify failed, readers will look by themselves", exc_info=error)
            await asyncio.sleep(INTERVAL_SECONDS)
