"""A session of the audit: read only, under the auditor's role, on one moment of the database.

All sessions of one audit share one snapshot, so that heads, log, dedupe rows and read models are
compared as they were together, while others go on appending and folding.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from struct import Struct

import psycopg
from psycopg import Connection, sql
from psycopg.adapt import Loader
from psycopg.errors import InsufficientPrivilege, InvalidParameterValue
from psycopg.pq import Format

from ledger.database import APP_ROLE, CONNECT_SECONDS
from projections.connection import AUDITOR_ROLE
from schemas.array_bytes import EPOCH_2000
from schemas.fields import Instant

_moment = Struct("!q")


class _InstantLoader(Loader):
    """A moment as an Instant, also within arrays."""

    format = Format.BINARY

    def load(self, data: bytes | bytearray | memoryview) -> Instant:
        found: Instant = _moment.unpack(data)[0] + EPOCH_2000
        return found


def connect(database_url: str) -> Connection:
    """A session under the auditor's role or, for a login that was not given it, the application's.

    Raises psycopg.OperationalError when the server cannot be reached.
    """
    connection = psycopg.connect(
        database_url,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        application_name="points audit",
        options="-c timezone=UTC",
    )
    try:
        try:
            _become(connection, AUDITOR_ROLE)
        except (InsufficientPrivilege, InvalidParameterValue):
            _become(connection, APP_ROLE)
    except psycopg.Error:
        connection.close()
        raise
    connection.adapters.register_loader("timestamptz", _InstantLoader)
    return connection


def _become(connection: Connection, role: str) -> None:
    connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))


@contextmanager
def one_moment(connection: Connection, snapshot: str | None = None) -> Iterator[None]:
    """A transaction that changes nothing and sees one moment: that of `snapshot`, or now."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        if snapshot is not None:
            connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
        # A long log takes its time, and so does what is done between two questions.
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
        yield


def export_snapshot(connection: Connection) -> str:
    """The name under which other sessions see what this transaction sees, while it lasts."""
    row = connection.execute("SELECT pg_export_snapshot()").fetchone()
    assert row is not None
    return str(row[0])
