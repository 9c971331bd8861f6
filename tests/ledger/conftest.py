"""A database per test with an empty ledger, copied from a template that is made once."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.embedded import Services
from ledger import reading
from ledger.core.program.form import Program
from ledger.core.program.load import load_program
from ledger.settings import Settings, load_settings
from tests.databases import copied, new_ledger, server_of
from tests.ledger.events import PARTITIONS, SHARDS

PROGRAM = Path(__file__).with_name("program.yaml")


@pytest.fixture(scope="session")
def program() -> Program:
    """The program of the tests' ledger."""
    return load_program(PROGRAM.read_text(encoding="utf-8"), PROGRAM.name)


@pytest.fixture(params=[0, reading.UNDER_LOCK_MAX], ids=["before locks", "under locks"])
def under_lock_max(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """The test runs twice: small batches are decided before their locks, as large ones are, and
    under them."""
    most = int(request.param)
    monkeypatch.setattr(reading, "UNDER_LOCK_MAX", most)
    return most


@pytest.fixture(scope="session")
def server(services: Services) -> str:
    """The URL of the server, up to the database's name."""
    return server_of(services.database_url)


@pytest.fixture(scope="session")
def admin(services: Services) -> Iterator[psycopg.Connection[Any]]:
    """A session of the server's owner, to make databases."""
    with psycopg.connect(services.database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def template(server: str, admin: psycopg.Connection[Any], program: Program) -> Iterator[str]:
    """A database with an empty ledger that tests copy."""
    with new_ledger(server, admin, program, SHARDS) as name:
        yield name


@pytest.fixture
def url(server: str, admin: psycopg.Connection[Any], template: str) -> Iterator[str]:
    """The URL of a database of its own, with an empty ledger."""
    with copied(server, admin, template) as made:
        yield made


@pytest.fixture
def other_url(server: str, admin: psycopg.Connection[Any], template: str) -> Iterator[str]:
    """The URL of a second one."""
    with copied(server, admin, template) as made:
        yield made


@pytest.fixture
def settings(url: str) -> Settings:
    """Settings for that database."""
    return load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)


@pytest.fixture
def owner(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of the tables' owner, to look behind the ledger's back."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection
