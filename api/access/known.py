"""The keys that this process has seen in use, so that a request waits for no database.

A key is read again after `FRESH_SECONDS` at the latest, in the background before that: one that is
revoked, or whose grace is over, is refused by every process within that time.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from psycopg_pool import AsyncConnectionPool

from api.access.secret import Secret, is_of
from api.scopes import ROLES, Scope, scopes_of
from ledger.database import translated
from ledger.errors import LedgerError

log = logging.getLogger(__name__)

FRESH_SECONDS = 5.0
"""How old what is known of a key may be: for so long a revoked key is still taken."""

AHEAD_SECONDS = 2.5
"""From this age on it is read again beside the requests that use it."""

KNOWN_MAX = 10_000
"""Keys in memory, some 500 bytes each; those not used for longest leave first."""

LAST_USE_SECONDS = 60.0
"""How often the last use of keys is written: once a minute for each, beside the requests."""

_READ = """
SELECT client, person, secret_hash, roles, scopes, requests_per_second, expires_at, revoked_at
FROM api.keys WHERE id = %s
"""

_USED = """
UPDATE api.keys k SET last_used_at = greatest(k.last_used_at, u.at)
FROM unnest(%s::text[], %s::timestamptz[]) AS u (id, at) WHERE k.id = u.id
"""


class KnownKey(Struct, frozen=True):
    """What a request must know of a key."""

    id: str
    client: str
    person: str | None
    digest: bytes
    scopes: frozenset[Scope]
    requests_per_second: int | None
    expires_at: datetime | None
    revoked: bool
    read_at: float

    def problem(self, given: Secret, now: datetime) -> str | None:
        """The code of why it is refused; None when it is good. That a key has ended is told to its
        holder only."""
        if not is_of(given, self.digest):
            return "bad_key"
        if self.revoked:
            return "key_revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "key_expired"
        return None


class KnownKeys:
    """Finds keys by their id."""

    def __init__(
        self, pool: AsyncConnectionPool[Any], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._known: OrderedDict[str, KnownKey] = OrderedDict()
        self._reading: dict[str, asyncio.Task[KnownKey | None]] = {}
        self._used: dict[str, datetime] = {}

    def __contains__(self, key_id: str) -> bool:
        return key_id in self._known

    async def find(self, key_id: str) -> KnownKey | None:
        """The key, at most FRESH_SECONDS old. Raises DatabaseUnavailable."""
        known = self._known.get(key_id)
        if known is not None:
            age = self._clock() - known.read_at
            if age < FRESH_SECONDS:
                self._known.move_to_end(key_id)
                if age >= AHEAD_SECONDS:
                    self._read_beside(key_id)
                return known
        # However many requests wait for it, it is read once; who gives up does not end it.
        return await asyncio.shield(self._read_beside(key_id))

    def used(self, key_id: str) -> None:
        """Take note that a key was used now."""
        self._used[key_id] = datetime.now(UTC)

    async def write_last_uses(self) -> None:
        """Write what was noted since the last time. Raises DatabaseUnavailable."""
        used, self._used = self._used, {}
        if not used:
            return
        try:
            with translated():
                async with self._pool.connection() as connection:
                    await connection.execute(_USED, (list(used), list(used.values())))
        except LedgerError:
            self._used = {**used, **self._used}  # bounded by the number of keys
            raise

    def _read_beside(self, key_id: str) -> "asyncio.Task[KnownKey | None]":
        task = self._reading.get(key_id)
        if task is None:
            task = self._reading[key_id] = asyncio.create_task(self._read(key_id))
            task.add_done_callback(lambda done: self._was_read(key_id, done))
        return task

    def _was_read(self, key_id: str, task: "asyncio.Task[KnownKey | None]") -> None:
        del self._reading[key_id]
        if not task.cancelled() and task.exception() is not None:
            log.warning("a key could not be read", extra={"reason": str(task.exception())})

    async def _read(self, key_id: str) -> KnownKey | None:
        began = self._clock()
        with translated():
            async with self._pool.connection() as connection:
                cursor = await connection.execute(_READ, (key_id,))
                row = await cursor.fetchone()
        if row is None:  # not remembered: whoever invents ids must not fill the memory
            self._known.pop(key_id, None)
            return None
        client, person, digest, roles, scopes, rate, expires_at, revoked_at = row
        known = KnownKey(
            *(key_id, client, person, bytes(digest)),
            _allowed(roles, scopes),
            *(rate, expires_at, revoked_at is not None, began),
        )
        self._known[key_id] = known
        self._known.move_to_end(key_id)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        return known


def _allowed(roles: list[str], scopes: list[str]) -> frozenset[Scope]:
    """What the key allows; a role or scope that this version does not know allows nothing."""
    known = frozenset(Scope)
    return scopes_of([r for r in roles if r in ROLES], [s for s in scopes if s in known])
