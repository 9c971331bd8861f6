"""A database per test with an empty ledger, copied from a template made once."""

from collections.abc import Iterator
from typing import NamedTuple

import psycopg
import pytest
from psycopg import Connection

from deploy import embedded
from projections.connection import connect
from tests.databases import copied, new_ledger, server_of
from tests.projections.log_writer import SHARDS, Log, program


class Shop(NamedTuple):
    """A ledger to fold: where it is, its log to write on, and a projection's session."""

    url: str
    log: Log
    session: Connection


@pytest.fixture(scope="session")
def template(services: embedded.Services) -> Iterator[str]:
    """A database with an empty ledger, for copying."""
    server = server_of(services.database_url)
    with (
        psycopg.connect(services.database_url, autocommit=True) as admin,
        new_ledger(server, admin, program(), SHARDS, "projections") as name,
    ):
        yield name


@pytest.fixture
def shop(services: embedded.Services, template: str) -> Iterator[Shop]:
    """A fresh copy of the template."""
    with (
        psycopg.connect(services.database_url, autocommit=True) as admin,
        copied(server_of(services.database_url), admin, template) as url,
        psycopg.connect(url, autocommit=True) as owner,
        connect(url) as session,
    ):
        yield Shop(url, Log(owner, program()), session)
