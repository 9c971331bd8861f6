"""The scratch database of a run: embedded services with settings that no ledger should have.

What is lost in a crash is made again, so nothing waits for the disk. Everything else (indexes,
partitions, roles) is as the migrations make it.
"""

from collections.abc import Callable
from pathlib import Path

import psycopg
from psycopg import sql

from benchmarks.shoppers import program
from benchmarks.stage import SHARDS
from deploy import embedded
from ledger.create import create_ledger
from ledger.migrate import migrate

LOG, HISTORIES = "scale", "scale_histories"
"""The databases: the log that is measured, and the one in which its histories were decided."""

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "3GB",
    "checkpoint_timeout": "30min",
    "shared_buffers": "1GB",
    "maintenance_work_mem": "512MB",
    "autovacuum": "off",
}
"""`autovacuum`: the command vacuums what it has written, so that this is in no step's time."""


def start(folder: Path, told: Callable[[str], None]) -> embedded.Services:
    """The services of the folder, with the settings above."""
    services = embedded.start(folder, progress=told)
    with psycopg.connect(services.database_url, autocommit=True) as admin:
        if admin.execute("SHOW fsync").fetchone() == ("off",):
            return services
        for name, value in SETTINGS.items():
            admin.execute(
                sql.SQL("ALTER SYSTEM SET {} = {}").format(sql.Identifier(name), sql.Literal(value))
            )
    embedded.stop(folder)
    return embedded.start(folder, progress=told)


def url_of(services: embedded.Services, database: str) -> str:
    """The URL of a database."""
    return f"{services.database_url.rpartition('/')[0]}/{database}"


def ledger(services: embedded.Services, database: str) -> str:
    """The URL of a database that holds a ledger of the demo's program, empty if it is new."""
    with psycopg.connect(services.database_url, autocommit=True) as admin:
        found = admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
        if found.fetchone() is None:
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    url = url_of(services, database)
    migrate(url)
    create_ledger(url, program(), SHARDS)
    return url


def drop(services: embedded.Services, database: str) -> None:
    """Remove a database."""
    with psycopg.connect(services.database_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(database))
        )


def size_of(url: str) -> int:
    """Bytes of the database."""
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])
