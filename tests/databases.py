"""Databases for tests: new ones, ledgers in them, and copies of what was made once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.errors import ObjectInUse

from ledger.core.program.form import Program
from ledger.create import create_ledger
from ledger.migrate import migrate

BUSY_SECONDS = 120.0
"""Until nobody is in a template any more. Who has left it may still be seen there on a loaded
machine, and PostgreSQL itself waits five seconds only."""

Connection = psycopg.Connection[Any]


@contextmanager
def new_database(admin: Connection, prefix: str, template: str = "template1") -> Iterator[str]:
    """The name of a database of its own for the length of a block, empty or a copy."""
    name = f"{prefix}_{uuid4().hex[:12]}"
    _copy(admin, name, template)
    try:
        yield name
    finally:
        drop = sql.SQL("DROP DATABASE {} WITH (FORCE)")
        admin.execute(drop.format(sql.Identifier(name)))


@contextmanager
def new_ledger(
    server: str, admin: Connection, program: Program, shards: int, prefix: str = "ledger"
) -> Iterator[str]:
    """The name of a database with an empty ledger of a program. `server`: its URL up to there."""
    with new_database(admin, prefix) as name:
        migrate(server + name)
        create_ledger(server + name, program, shards)
        yield name


@contextmanager
def copied(server: str, admin: Connection, template: str) -> Iterator[str]:
    """The URL of a copy of a database."""
    with new_database(admin, template.partition("_")[0], template) as name:
        yield server + name


def server_of(url: str) -> str:
    """A database's URL up to its name."""
    return url.rpartition("/")[0] + "/"


def _copy(admin: Connection, name: str, template: str) -> None:
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    statement = create.format(sql.Identifier(name), sql.Identifier(template))
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            admin.execute(statement)
            return
        except ObjectInUse:
            if time.monotonic() > deadline:
                raise
