"""Connections to PostgreSQL: the pool, the role, and what a failure means.

Every session of the application runs as `points_app`, which cannot change or delete rows of the
log. A failure is either transient (the same call again finds out what happened) or final (the
database will refuse the same rows again); nothing else leaves the ledger.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import AsyncConnection
from psycopg.errors import (
    AdminShutdown,
    CrashShutdown,
    DeadlockDetected,
    IdleInTransactionSessionTimeout,
    InterfaceError,
    LockNotAvailable,
    OperationalError,
    ProgramLimitExceeded,
    QueryCanceled,
    ReadOnlySqlTransaction,
    SerializationFailure,
)
from psycopg.pq import PipelineStatus
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from ledger.errors import AppendFailed, DatabaseUnavailable, StartRefused
from ledger.settings import Settings

APP_ROLE = "points_app"

CONNECT_SECONDS = 10
"""One attempt to connect: a healthy server answers in milliseconds, a failover in seconds."""

KEEPALIVE_SECONDS, KEEPALIVES = 10, 3
"""A connection on which nothing is heard is asked after so long, so often, and then is lost: a
machine that vanished does not answer, and the limits of statements are the server's."""

UNACKNOWLEDGED_SECONDS = 30
"""What was sent and is not acknowledged by then is lost with its connection; Linux's own limit is a
quarter of an hour."""

RECONNECT_SECONDS = 2.0
"""How late the return of PostgreSQL is noticed. Left to itself the pool doubles its pauses, so that
after an outage of a minute it would look again a minute later."""

IDLE_IN_TRANSACTION_SECONDS = 60
"""A worker that hangs inside an append loses its locks then, and learns it when it goes on."""

_TRANSIENT = (
    OperationalError,  # includes lost connections and sqlstates 08, 53, 57, 58
    InterfaceError,
    PoolClosed,
    PoolTimeout,
    TooManyRequests,
    AdminShutdown,
    CrashShutdown,
    DeadlockDetected,
    IdleInTransactionSessionTimeout,
    LockNotAvailable,
    QueryCanceled,
    ReadOnlySqlTransaction,
    SerializationFailure,
)


@contextmanager
def translated() -> Iterator[None]:
    """Turn psycopg's exceptions into DatabaseUnavailable and AppendFailed."""
    try:
        yield
    except ProgramLimitExceeded as error:  # operational, but the same rows meet it again
        raise _refused(error) from error
    except _TRANSIENT as error:
        raise DatabaseUnavailable(
            f"The database did not answer as it should ({_text(error)}): it is tried again."
        ) from error
    except psycopg.Error as error:
        raise _refused(error) from error


async def open_pool(settings: Settings) -> AsyncConnectionPool:
    """The pool of one process; the database was checked before (`ledger.identity`)."""
    milliseconds = settings.database_timeout_seconds * 1_000

    async def configure(connection: AsyncConnection) -> None:
        await connection.set_autocommit(True)
        await connection.execute(
            "SELECT set_config('role', %s, false), set_config('statement_timeout', %s, false),"
            " set_config('lock_timeout', %s, false),"
            " set_config('idle_in_transaction_session_timeout', %s, false),"
            # What is read under a lock must be what is committed by then.
            " set_config('default_transaction_isolation', 'read committed', false),"
            " set_config('TimeZone', 'UTC', false)",
            (
                APP_ROLE,
                str(milliseconds),
                str(milliseconds),
                str(IDLE_IN_TRANSACTION_SECONDS * 1_000),
            ),
        )

    async def look_again(pool: AsyncConnectionPool) -> None:
        if not pool.closed:
            await pool.check()  # begins a new attempt, its pauses as short as the first one's

    url = settings.require_database_url()
    pool = AsyncConnectionPool(
        url,
        min_size=1,
        max_size=settings.database_connections,
        timeout=settings.database_timeout_seconds,
        kwargs={
            "connect_timeout": CONNECT_SECONDS,
            "application_name": "points",
            "keepalives_idle": KEEPALIVE_SECONDS,
            "keepalives_interval": KEEPALIVE_SECONDS,
            "keepalives_count": KEEPALIVES,
            "tcp_user_timeout": UNACKNOWLEDGED_SECONDS * 1_000,
        },
        configure=configure,
        reconnect_timeout=RECONNECT_SECONDS,
        reconnect_failed=look_again,
        reset=left_clean,
        open=False,
        name="ledger",
    )
    await pool.open()
    return pool


async def left_clean(connection: AsyncConnection) -> None:
    """Asked of each connection that comes back to the pool. A call that was cancelled while its
    pipeline ended leaves the pipeline open: the next append would be refused for good, although
    nothing is wrong with its rows. Raises OperationalError: the pool then opens another."""
    if connection.pgconn.pipeline_status != PipelineStatus.OFF or connection._pipeline is not None:
        raise OperationalError("a cancelled call left it in a pipeline")


def _refused(error: psycopg.Error) -> AppendFailed:
    return AppendFailed(
        f"The database refused the rows ({_text(error)}): trying them again is useless, the cause"
        " has to be removed."
    )


def unreachable(error: BaseException) -> StartRefused:
    """Why the database cannot be used, and what to do."""
    return StartRefused(
        f"The database cannot be reached ({_text(error)}): check POINTS_DATABASE_URL, or run"
        " `points up` for an embedded one.",
        "no_connection",
    )


def _text(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
