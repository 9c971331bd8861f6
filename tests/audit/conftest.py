"""A log with everything in it: written once, copied for each test."""

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.audit.logs import program_with_everything, write
from tests.databases import copied, new_ledger
from tests.ledger.conftest import admin, server
from tests.ledger.events import SHARDS
from tests.projections.conftest import shop, template

__all__ = ["admin", "server", "shop", "template"]  # fixtures that these tests share with others


@pytest.fixture(scope="session")
def written(server: str, admin: psycopg.Connection[Any]) -> Iterator[str]:
    """The name of a database with the log; nobody changes it."""
    with new_ledger(server, admin, program_with_everything(), SHARDS) as name:
        asyncio.run(write(server + name))
        yield name


@pytest.fixture
def url(server: str, admin: psycopg.Connection[Any], written: str) -> Iterator[str]:
    """The URL of a copy."""
    with copied(server, admin, written) as made:
        yield made


@pytest.fixture
def owner(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of the tables' owner, who may change anything."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection
