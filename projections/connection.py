"""A session for projections and for reading them: UTC, under the application's role, autocommit.

The role cannot change the log; every transaction is opened explicitly. Only making tables and
exchanging them is done under the login that owns them, and what an audit folds is its own role's.
"""

from collections.abc import Sequence

import psycopg
from psycopg import Connection, sql

from projections import wire

ROLE = "points_app"

AUDITOR_ROLE = "points_auditor"
"""Reads what audits need, and writes in the schema `audit_scratch` only."""

READING = (ROLE, AUDITOR_ROLE)
"""For sessions that only read: an auditor's login is given no other role."""

CONNECT_SECONDS = 10
"""For one attempt to connect: a healthy server answers in milliseconds, a failover in seconds."""


def connect(
    database_url: str, *, owner: bool = False, roles: Sequence[str] = (ROLE,)
) -> Connection:
    """A session under the first of `roles` that the login may take; `owner`: under the login of the
    URL itself.

    Raises psycopg.OperationalError when the server cannot be reached, InsufficientPrivilege when
    the login is a member of none of the roles.
    """
    connection = psycopg.connect(
        database_url,
        autocommit=True,
        connect_timeout=CONNECT_SECONDS,
        application_name="points projections",
        options="-c timezone=UTC",
    )
    try:
        if not owner:
            _become(connection, roles)
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


def _become(connection: Connection, roles: Sequence[str]) -> None:
    for role in roles:
        try:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            return
        except psycopg.errors.InsufficientPrivilege:
            if role == roles[-1]:
                raise
