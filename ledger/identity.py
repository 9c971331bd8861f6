"""Which ledger a database holds: what was fixed when it was created, and the checks at start.

Nothing is consumed before these checks have passed: a database of another version, of another
ledger or with another number of shards is refused with a sentence.
"""

from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from ledger.database import CONNECT_SECONDS, unreachable
from ledger.errors import StartRefused
from ledger.migrate import check_schema, no_ledger
from ledger.settings import Settings

_FOUND = "SELECT to_regclass('ledger.schema_version') IS NOT NULL"
_VERSION = "SELECT version_num FROM ledger.schema_version"
_IDENTITY = "SELECT ledger_id, program_id, currency, time_zone, shards FROM ledger.ledger"


class Identity(NamedTuple):
    """The one row of ledger.ledger."""

    ledger_id: UUID
    program_id: str
    currency: str
    time_zone: str
    shards: int


async def check_database(settings: Settings) -> Identity:
    """The ledger in the database of the settings, checked against them.

    Raises StartRefused: no_connection, older_schema, newer_schema, no_ledger, other_program,
    other_shards.
    """
    try:
        connection = await psycopg.AsyncConnection.connect(
            settings.require_database_url(), connect_timeout=CONNECT_SECONDS, autocommit=True
        )
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise unreachable(error) from error
    async with connection:
        found = await (await connection.execute(_FOUND)).fetchone()
        revision = None
        if found is not None and found[0]:
            row = await (await connection.execute(_VERSION)).fetchone()
            revision = row[0] if row is not None else None
        check_schema(revision)
        row = await (await connection.execute(_IDENTITY)).fetchone()
    if row is None:
        raise no_ledger()
    identity = Identity(*row)
    check_identity(identity, settings.program_id, settings.shards_asked)
    return identity


def check_identity(identity: Identity, program_id: str | None, shards: int | None) -> None:
    """`None` asks for nothing. Raises StartRefused (other_program, other_shards)."""
    if program_id is not None and program_id != identity.program_id:
        raise StartRefused(
            f"The database holds the ledger of the program {identity.program_id}, not of"
            f" {program_id}: set POINTS_DATABASE_URL to the right database.",
            "other_program",
        )
    if shards is not None and shards != identity.shards:
        raise StartRefused(
            f"The ledger was created with {identity.shards} shards and keeps them for ever, but"
            f" POINTS_SHARDS says {shards}: set POINTS_SHARDS={identity.shards} or leave it out.",
            "other_shards",
        )


def check_session(connection: psycopg.Connection[Any]) -> None:
    """The checks of the database alone, for a session that only reads.

    Raises StartRefused: no_ledger, older_schema, newer_schema.
    """
    check_schema(revision_of(connection))
    if connection.execute(_IDENTITY).fetchone() is None:
        raise no_ledger()


def revision_of(connection: psycopg.Connection[Any]) -> str | None:
    """The schema version of the database, None if it has none."""
    found = connection.execute(_FOUND).fetchone()
    if found is None or not found[0]:
        return None
    row = connection.execute(_VERSION).fetchone()
    return None if row is None else row[0]
