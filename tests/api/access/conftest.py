"""The API as it is, with its real access layer, on one database for each module."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from deploy.embedded import Services
from ledger.settings import Settings, load_settings
from tests.api.access.callers import Api, opened
from tests.api.conftest import PLAY_SECONDS, SHARDS
from tests.databases import copied, server_of
from tests.services import PARTITIONS

Story = Callable[[Api], Any]


@pytest.fixture(scope="module")
def access_url(services: Services, api_template: str) -> Iterator[str]:
    """A database with an empty ledger."""
    with (
        psycopg.connect(services.database_url, autocommit=True) as admin,
        copied(server_of(services.database_url), admin, api_template) as url,
    ):
        yield url


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

        return asyncio.run(asyncio.wait_for(played(), PLAY_SECONDS))

    return run
