"""A session for projections and for reading them: UTC, under the application's role, autocommit.

The role cannot change the log; every transaction is opened explicitly. Only making tables and
exchanging them is done under the login that owns them.
"""

import psycopg
from psycopg import Connection

from projections import wire

ROLE = "points_app"

CONNECT_SECONDS = 10
"""For one attempt to connect: a healthy server answers in milliseconds, a failover in seconds."""


def connect(database_url: str, *, owner: bool = False) -> Connection:
    """Raises psycopg.OperationalError when the server cannot be reached. `owner`: under the login
    of the URL, not under the application's role."""
    connection = psycopg.connect(
        database_url,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        application_name="points projections",
        options="-c timezone=UTC",
    )
    try:
        if not owner:
            connection.execute(f"SET ROLE {ROLE}")
    except psycopg.Error:
        connection.close()
        raise
    wire.register(connection)
    return connection


def prepare(connection: Connection) -> None:
    """Make a session of a pool one of these: role, time zone, what is read of the types."""
    connection.autocommit = True
    connection.execute(f"SET ROLE {ROLE}")
    connection.execute("SET TimeZone = 'UTC'")
    wire.register(connection)
