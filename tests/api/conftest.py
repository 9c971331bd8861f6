"""The API on a real database, called in process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import FastAPI, Request

from api.app import create_app
from api.caller import Caller
from api.scopes import Scope
from deploy.embedded import Services
from ledger.core.program.load import load_program
from ledger.settings import Settings, load_settings
from tests.databases import copied, new_ledger, server_of
from tests.services import PARTITIONS, fresh_topics

PROGRAM = Path(__file__).with_name("program.yaml")
SHARDS = PARTITIONS

PLAY_SECONDS = 300
"""For a story of some requests: a hundred times what it takes."""


class Everyone:
    """Lets every caller do everything: access has tests of its own."""

    async def caller(self, request: Request) -> Caller:
        client = request.headers.get("x-client", "till")
        return Caller(f"key:{client}", client, frozenset(Scope), client)

    async def refused(self, request: Request, caller: Caller, scope: Scope) -> None:
        raise AssertionError("everyone has every scope")

    async def privileged(self, request: Request, caller: Caller, scope: Scope) -> None:
        pass


@pytest.fixture(scope="session")
def api_template(services: Services) -> Iterator[str]:
    """The name of a database with an empty ledger, for copying."""
    program = load_program(PROGRAM.read_text("utf-8"), PROGRAM.name)
    server = server_of(services.database_url)
    with (
        psycopg.connect(services.database_url, autocommit=True) as admin,
        new_ledger(server, admin, program, SHARDS, "api") as name,
    ):
        yield name


@pytest.fixture
def ledger_url(services: Services, api_template: str) -> Iterator[str]:
    """A database with an empty ledger."""
    with (
        psycopg.connect(services.database_url, autocommit=True) as admin,
        copied(server_of(services.database_url), admin, api_template) as url,
    ):
        yield url


@pytest.fixture
def settings(ledger_url: str, services: Services) -> Settings:
    """Of the API under test."""
    return load_settings(
        {},
        database_url=ledger_url,
        kafka_bootstrap=services.kafka_bootstrap,
        shards=SHARDS,
        partitions=PARTITIONS,
    )


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[FastAPI]:
    """The application, open to everyone."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        app.state.points.access = Everyone()
        yield app


def client_of(app: FastAPI) -> httpx.AsyncClient:
    """A client that calls it in process."""
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://points")


Play = Callable[[httpx.AsyncClient], Any]


@pytest.fixture
def play(settings: Settings) -> Callable[[Play], Any]:
    """Run an async story against the API."""

    def run(story: Play) -> Any:
        async def played() -> Any:
            async with opened(settings) as app, client_of(app) as client:
                return await story(client)

        return asyncio.run(asyncio.wait_for(played(), PLAY_SECONDS))

    return run


@pytest.fixture
def api_topics(services: Services) -> str:
    """The bootstrap servers of a Kafka with new topics."""
    asyncio.run(fresh_topics(services.kafka_bootstrap))
    return services.kafka_bootstrap
