"""Bring a database's structure up to this version of the software, and check that it is.

Migrations run in one transaction, one at a time (an advisory lock), as the user of the URL, who
owns the tables. A worker or command never migrates by itself: it compares the version when it opens
the ledger and refuses to start on another one.
"""

from functools import cache
from pathlib import Path

import psycopg

from ledger.crash import crash_point
from ledger.database import CONNECT_SECONDS, unreachable
from ledger.errors import StartRefused

VERSION_SCHEMA = "ledger"
VERSION_TABLE = "schema_version"

_FOLDER = Path(__file__).parent / "migrations"
_LOCK = 0x506F696E7473  # "Points": any constant would do that no other program uses


@cache
def revisions() -> tuple[str, ...]:
    """All revisions of this software, oldest first: the four digits that begin each file's name."""
    return tuple(sorted(path.name[:4] for path in (_FOLDER / "versions").glob("[0-9]*.py")))


def migrate(database_url: str) -> str:
    """Run what is missing and return the revision reached. Nothing happens when nothing is missing.

    Raises StartRefused: no_connection; newer_schema when the database belongs to a newer version of
    the software.
    """
    # Imported here: only this command needs Alembic and SQLAlchemy (0.4 s to import).
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    def connect() -> psycopg.Connection:
        return psycopg.connect(database_url, connect_timeout=CONNECT_SECONDS)

    engine = create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    try:
        opened = engine.connect()
    except DBAPIError as error:
        raise unreachable(error.orig or error) from error
    with opened as connection, connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS ledger"))
        found = connection.execute(
            text("SELECT to_regclass('ledger.schema_version') IS NOT NULL")
        ).scalar()
        if found:
            number = connection.execute(
                text("SELECT version_num FROM ledger.schema_version")
            ).scalar()
            check_not_newer(number)
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        crash_point("init.before_migrated")
    crash_point("init.after_migrated")
    return revisions()[-1]


def check_not_newer(revision: str | None) -> None:
    """Raises StartRefused (newer_schema)."""
    if revision is not None and revision not in revisions():
        raise StartRefused(
            f"The database has schema version {revision}, this software knows up to"
            f" {revisions()[-1]}: install the newer version of points-ledger.",
            "newer_schema",
        )


def check_schema(revision: str | None) -> None:
    """Raises StartRefused (no_ledger, older_schema, newer_schema) unless the database's `revision`
    is this software's newest."""
    check_not_newer(revision)
    if revision is None:
        raise no_ledger()
    if revision != revisions()[-1]:
        raise StartRefused(
            f"The database has schema version {revision}, this software needs"
            f" {revisions()[-1]}: run `points migrate`.",
            "older_schema",
        )


def no_ledger() -> StartRefused:
    """Why a database without a ledger cannot be used, and what to do."""
    return StartRefused(
        "The database holds no ledger yet: create one with `points init PROGRAM`.", "no_ledger"
    )
