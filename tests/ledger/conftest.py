"""A database per test with an empty ledger, copied from a template that is made once."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from ledger.core.program.form import Program
from ledger.core.program.load import load_program
from ledger.create import create_ledger
from ledger.migrate import migrate
from ledger.settings import Settings, load_settings
from tests.ledger.events import PARTITIONS, SHARDS

PROGRAM = Path(__file__).with_name("program.yaml")
SERVER = os.environ.get("H_SERVER", "postgresql://points@127.0.0.1:54777/")


@pytest.fixture(scope="session")
def program() -> Program:
    """The program of the tests' ledger."""
    return load_program(PROGRAM.read_text(encoding="utf-8"), PROGRAM.name)


@pytest.fixture(scope="session")
def admin() -> Iterator[psycopg.Connection[Any]]:
    """A session of the server's owner, to make databases."""
    with psycopg.connect(SERVER + "postgres", autocommit=True) as connection:
        yield connection


@pytest.fixture(scope="session")
def template(admin: psycopg.Connection[Any], program: Program) -> Iterator[str]:
    """A database with an empty ledger that tests copy."""
    name = f"ledger_{uuid4().hex[:12]}"
    admin.execute(f"CREATE DATABASE {name}")
    migrate(SERVER + name)
    create_ledger(SERVER + name, program, SHARDS)
    yield name
    admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def url(admin: psycopg.Connection[Any], template: str) -> Iterator[str]:
    """The URL of a database of its own, with an empty ledger."""
    name = f"{template}_{uuid4().hex[:8]}"
    admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
    yield SERVER + name
    admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(url: str) -> Settings:
    """Settings for that database."""
    return load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)


@pytest.fixture
def owner(url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of the tables' owner, to look behind the ledger's back."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield connection
