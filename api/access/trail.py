"""The audit trail's writer: notes in the order in which they came, in as few transactions as it
takes.

What must be on disk before a call goes on is waited for; the rest is written beside. A note never
holds a body, a query, a header or a secret.
"""

import asyncio
import logging
from collections import deque
from datetime import UTC, datetime
from typing import Any

from msgspec import Struct
from psycopg import sql
from psycopg_pool import AsyncConnectionPool

from api.tasks import ended
from ledger.database import translated
from ledger.errors import AppendFailed, DatabaseUnavailable, LedgerError

log = logging.getLogger(__name__)

WAITING_MAX = 2_000
"""Notes that wait for the database; more are refused, or counted as lost in the log."""

GROUP_MAX = 500
"""Notes of one INSERT."""

RETRY_SECONDS = 1.0
"""Between attempts while the database does not answer."""

CLOSE_SECONDS = 5.0
"""What the end of the process waits for what is not written yet."""


class Note(Struct, frozen=True, kw_only=True):
    """A row of the trail. `kind`: refused; begun and ended of a privileged call; command (at the
    command line). `who`: the caller's name, None when nobody was recognised; `status`: the
    answer's; `count`: calls alike that the row stands for."""

    at: datetime
    kind: str
    who: str | None = None
    person: str | None = None
    address: str | None = None
    operation: str | None = None
    method: str | None = None
    path: str | None = None
    correlation_id: str | None = None
    status: int | None = None
    code: str | None = None
    count: int = 1


COLUMNS = Note.__struct_fields__

_INSERT = sql.SQL("INSERT INTO api.audit_trail ({}) VALUES ({})").format(
    sql.SQL(", ").join(sql.Identifier(name) for name in COLUMNS),
    sql.SQL(", ").join([sql.Placeholder()] * len(COLUMNS)),
)

_Waiting = tuple[Note, "asyncio.Future[None] | None"]


def now() -> datetime:
    """The moment of a note."""
    return datetime.now(UTC)


async def insert(connection: Any, notes: list[Note]) -> None:
    """Write the notes in the order given."""
    async with connection.cursor() as cursor:
        await cursor.executemany(_INSERT, [tuple(_values(note)) for note in notes])


class Trail:
    """Writes notes, one transaction at a time."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool
        self._waiting: deque[_Waiting] = deque()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self.lost = 0

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run())

    async def write(self, note: Note) -> None:
        """Write the note; it is on disk when this returns. Raises DatabaseUnavailable."""
        if len(self._waiting) >= WAITING_MAX:
            raise DatabaseUnavailable("The audit trail cannot be written: it is tried again.")
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((note, written))
        self._wake.set()
        await written

    def add(self, note: Note) -> None:
        """Write the note beside what goes on."""
        if len(self._waiting) >= WAITING_MAX:
            self._lose(1)
            return
        self._waiting.append((note, None))
        self._wake.set()

    async def close(self) -> None:
        """Write what is left, within CLOSE_SECONDS."""
        if self._task is None:
            return
        self._closing = True
        self._wake.set()
        _, unfinished = await asyncio.wait([self._task], timeout=CLOSE_SECONDS)
        if unfinished:
            await ended(self._task)
        self._lose(len(self._waiting))

    async def _run(self) -> None:
        while not self._closing:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                group = list(self._waiting)[:GROUP_MAX]
                try:
                    await self._store([note for note, _ in group])
                except DatabaseUnavailable as error:
                    self._give_up(error)
                    await asyncio.sleep(RETRY_SECONDS)
                except LedgerError as error:
                    log.exception("notes of the audit trail are refused by the database")
                    self._done(group, error)
                else:
                    self._done(group, None)

    async def _store(self, notes: list[Note]) -> None:
        """Raises DatabaseUnavailable, AppendFailed."""
        try:
            with translated():
                async with self._pool.connection() as connection, connection.transaction():
                    await insert(connection, notes)
        except LedgerError:
            raise
        except Exception as error:
            raise AppendFailed(f"The trail's writer failed ({type(error).__name__}).") from error

    def _done(self, group: list[_Waiting], error: LedgerError | None) -> None:
        for _, written in group:
            self._waiting.popleft()
            if written is not None and not written.done():
                written.set_exception(error) if error is not None else written.set_result(None)

    def _give_up(self, error: LedgerError) -> None:
        """Whoever waits is told; what is written beside stays for the next attempt."""
        kept: deque[_Waiting] = deque()
        for note, written in self._waiting:
            if written is None:
                kept.append((note, None))
            elif not written.done():
                written.set_exception(error)
        self._waiting = kept

    def _lose(self, count: int) -> None:
        if count:
            self.lost += count
            log.error("notes of the audit trail are lost", extra={"lost": self.lost})


def _values(note: Note) -> list[object]:
    return [getattr(note, name) for name in COLUMNS]
