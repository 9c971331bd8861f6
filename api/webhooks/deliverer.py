"""The process that tells subscribers what happened: follows the log, sends, writes down, waits.

One at a time, by a lock in PostgreSQL that a dead one lets go of by itself. All that it has to
remember is in the database: killed anywhere, its successor goes on, and sends again what it does
not know to have arrived, under the same id.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
import structlog
from psycopg import AsyncConnection, Connection, sql

from api.tasks import ended
from api.webhooks import outbox
from api.webhooks.attempts import Ended
from api.webhooks.errors import WebhookRefused
from api.webhooks.making import make
from api.webhooks.metrics import WebhookMetrics
from api.webhooks.outbox import Due
from api.webhooks.schedule import REST_SECONDS_MAX
from api.webhooks.sending import Sender
from api.webhooks.subscriptions import CHANNEL
from projections.connection import CONNECT_SECONDS, connect
from projections.runner import CHANNEL as LOG_CHANNEL

LOCK_KEY = 0x484F4F4B
"""The advisory lock of who delivers ("HOOK"), held by the session: one at a time."""

LOCK_SECONDS = 15.0
"""How long a new deliverer waits for the lock: that of a killed one is let go at once, that of one
that was told to stop when its attempts have ended."""

EACH_MAX = 8
"""Attempts of one subscription at once. With 50 subscriptions 400 in all."""

POLL_SECONDS = 0.5
"""Longest wait without a look at log and deliveries: so late may a retry be."""

LINGER_SECONDS = 0.02
"""Between two rounds of a busy deliverer: what ends meanwhile is written down together."""

PURGE_SECONDS = 60.0
"""Between two looks for what was kept long enough; while there is more, each second."""

FIGURES_SECONDS = 5.0
"""How old the metrics of how things stand may be."""

PAUSE_SECONDS = 1.0
"""Before the next attempt after PostgreSQL did not answer."""

GIVE_UP_SECONDS = 300.0
"""Without one good round for so long the deliverer ends: a restart or failover is over by then."""

log = structlog.get_logger(__name__)


class Deliverer:
    """Delivers until stopped. `stop` may be called by a signal handler of the loop."""

    def __init__(
        self, database_url: str, sender: Sender, metrics: WebhookMetrics | None = None
    ) -> None:
        self._url = database_url
        self._sender = sender
        self.metrics = metrics or WebhookMetrics()
        self._stopping = False
        self._news = asyncio.Event()
        self._under_way: dict[str, tuple[Due, asyncio.Task[None]]] = {}
        self._ended: list[tuple[Due, Ended]] = []
        self._resting: dict[str, float] = {}
        self._good = time.monotonic()
        self._purge_at = 0.0
        self._figures_at = 0.0

    def stop(self) -> None:
        """End when the attempts under way have ended."""
        self._stopping = True
        self._news.set()

    async def run(self) -> None:
        """Deliver. Raises WebhookRefused (deliverer_running, deliverer_lost), LogDamaged."""
        self._good = time.monotonic()
        try:
            while not self._stopping:
                try:
                    async with self._session() as connection:
                        await self._deliver(connection)
                except psycopg.OperationalError as error:
                    await self._forget()
                    self.metrics.interruptions.inc()
                    reason = str(error).strip()
                    if time.monotonic() - self._good > GIVE_UP_SECONDS:
                        raise WebhookRefused(
                            f"PostgreSQL did not answer for {GIVE_UP_SECONDS:.0f} s ({reason}):"
                            " start it and run this again; it goes on where it stopped.",
                            "deliverer_lost",
                        ) from error
                    log.warning("webhooks interrupted, trying again", reason=reason)
                    await asyncio.sleep(PAUSE_SECONDS * random.uniform(0.5, 1.0))
        finally:
            await self._forget()
            await self._sender.close()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Connection[Any]]:
        """A session that holds the lock, while another one listens."""
        with await asyncio.to_thread(connect, self._url) as connection:
            await self._lock(connection)
            listening = await AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=CONNECT_SECONDS
            )
            async with listening:
                for channel in (LOG_CHANNEL, CHANNEL):
                    await listening.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                task = asyncio.create_task(self._listen(listening))
                try:
                    yield connection
                finally:
                    await ended(task)

    async def _lock(self, connection: Connection[Any]) -> None:
        deadline = time.monotonic() + LOCK_SECONDS
        while not self._stopping:
            row = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK_KEY]).fetchone()
            if row is not None and row[0]:
                return
            if time.monotonic() > deadline:
                raise WebhookRefused(
                    "Another deliverer of webhooks is running on this ledger: stop it first.",
                    "deliverer_running",
                )
            await asyncio.sleep(0.2)

    async def _listen(self, connection: AsyncConnection[Any]) -> None:
        """News only end a wait early: when listening fails, the poll goes on."""
        with suppress(psycopg.Error):
            async for _ in connection.notifies():
                self._news.set()

    async def _deliver(self, connection: Connection[Any]) -> None:
        """Rounds, until stopped and nothing is under way."""
        while not self._stopping or self._under_way:
            self._news.clear()
            busy = await self._write_down(connection)
            if not self._stopping:
                made = await asyncio.to_thread(make, connection)
                self.metrics.made.inc(made.deliveries)
                self.metrics.events.inc(made.events)
                busy |= made.events > 0
                busy |= await self._begin(connection)
                await self._keep_house(connection)
            self._good = time.monotonic()
            if busy:
                await asyncio.sleep(LINGER_SECONDS)
                continue
            with suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), POLL_SECONDS)

    async def _write_down(self, connection: Connection[Any]) -> bool:
        """What has ended since the last round; only then may it be sent again."""
        ended, self._ended = self._ended, []
        if not ended:
            return False
        for paused in await asyncio.to_thread(outbox.store, connection, ended):
            self.metrics.paused.labels(paused.because).inc()
            log.error(
                "webhook paused: its endpoint takes nothing",
                webhook=paused.subscription_id,
                because=paused.because,
            )
        for due, _ in ended:
            del self._under_way[due.attempt.id]
        return True

    async def _begin(self, connection: Connection[Any]) -> bool:
        """Start attempts where there is room."""
        now = time.monotonic()
        self._resting = {id_: until for id_, until in self._resting.items() if until > now}
        found = await asyncio.to_thread(
            outbox.due, connection, list(self._under_way), EACH_MAX, list(self._resting)
        )
        running = Counter(due.subscription_id for due, _ in self._under_way.values())
        begun = False
        for due in found:
            if running[due.subscription_id] < EACH_MAX:
                running[due.subscription_id] += 1
                task = asyncio.create_task(self._attempt(due))
                self._under_way[due.attempt.id] = (due, task)
                begun = True
        return begun

    async def _attempt(self, due: Due) -> None:
        ended = await self._sender.send(due.attempt)
        self.metrics.attempts.labels(ended.outcome).inc()
        self.metrics.seconds.observe(ended.seconds)
        if ended.asked:
            rest = min(ended.asked, REST_SECONDS_MAX)
            self._resting[due.subscription_id] = time.monotonic() + rest
        if ended.outcome != "done":
            log.info(
                "webhook not taken",
                webhook=due.subscription_id,
                delivery=due.attempt.id,
                status=ended.status,
                error=ended.error,
                failed=due.retries + 1,
            )
        self._ended.append((due, ended))
        self._news.set()

    async def _keep_house(self, connection: Connection[Any]) -> None:
        """Delete what is old, now and then, and see how things stand."""
        now = time.monotonic()
        if now >= self._purge_at:
            purged = await asyncio.to_thread(outbox.purge, connection)
            self._purge_at = now + (1.0 if purged >= outbox.PURGED_AT_ONCE else PURGE_SECONDS)
        if now >= self._figures_at:
            figures = await asyncio.to_thread(outbox.figures, connection)
            for status, count in figures.subscriptions.items():
                self.metrics.webhooks.labels(status).set(count)
            self.metrics.waiting.set(figures.waiting)
            self.metrics.behind.set(figures.behind)
            self._figures_at = now + FIGURES_SECONDS

    async def _forget(self) -> None:
        """What is under way is not known to have arrived: it will be sent again."""
        await ended(*(task for _, task in self._under_way.values()))
        self._under_way.clear()
        self._ended.clear()
