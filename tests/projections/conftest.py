"""A database per test with an empty ledger, copied from a template made once."""

from collections.abc import Iterator
from typing import NamedTuple
from uuid import uuid4

import psycopg
import pytest
from psycopg import Connection, sql

from deploy import embedded
from ledger.create import create_ledger
from ledger.migrate import migrate
from projections.connection import connect
from tests.projections.log_writer import SHARDS, Log, program


class Shop(NamedTuple):
    """A ledger to fold: where it is, its log to write on, and a projection's session."""

    url: str
    log: Log
    session: Connection


def _url(services: embedded.Services, database: str) -> str:
    return f"{services.database_url.rpartition('/')[0]}/{database}"


@pytest.fixture(scope="session")
def template(services: embedded.Services) -> Iterator[str]:
    """A database with an empty ledger, for copying."""
    name = f"projections_{uuid4().hex[:12]}"
    identifier = sql.Identifier(name)
    with psycopg.connect(services.database_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        migrate(_url(services, name))
        create_ledger(_url(services, name), program(), SHARDS)
        yield name
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


@pytest.fixture
def shop(services: embedded.Services, template: str) -> Iterator[Shop]:
    """A fresh copy of the template."""
    name = f"{template}_{uuid4().hex[:8]}"
    identifier = sql.Identifier(name)
    url = _url(services, name)
    with psycopg.connect(services.database_url, autocommit=True) as admin:
        admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(identifier, sql.Identifier(template))
        )
        with psycopg.connect(url, autocommit=True) as owner, connect(url) as session:
            yield Shop(url, Log(owner, program()), session)
        admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))
