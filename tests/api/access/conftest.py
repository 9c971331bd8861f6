"""The API as it is, with its real access layer, on one database for each module."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from deploy.embedded import Services
from ledger.core.program.load import load_program
from ledger.create import create_ledger
from ledger.migrate import migrate
from ledger.settings import Settings, load_settings
from tests.api.access.callers import Api, opened
from tests.api.conftest import PROGRAM, SHARDS
from tests.services import PARTITIONS

Story = Callable[[Api], Any]


@pytest.fixture(scope="module")
def access_url(services: Services) -> Iterator[str]:
    """A database with an empty ledger."""
    base, name = services.database_url.rpartition("/")[0], f"access_{uuid4().hex[:12]}"
    with psycopg.connect(services.database_url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        url = f"{base}/{name}"
        migrate(url)
        create_ledger(url, load_program(PROGRAM.read_text("utf-8"), PROGRAM.name), SHARDS)
        yield url
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(access_url: str) -> Settings:
    """Of the API under test."""
    return load_settings({}, database_url=access_url, shards=SHARDS, partitions=PARTITIONS)


@pytest.fixture
def owner(access_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A session of the tables' owner."""
    with psycopg.connect(access_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def play(settings: Settings) -> Callable[..., Any]:
    """Run an async story against the API; settings may be changed for it."""

    def run(story: Story, **changed: object) -> Any:
        async def played() -> Any:
            async with opened(settings.model_copy(update=changed)) as api:
                return await story(api)

        return asyncio.run(asyncio.wait_for(played(), 60))

    return run
