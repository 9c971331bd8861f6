"""The API over a log with everything in it, folded; whoever calls may do all, or what is named."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from fastapi import Request

from api.app import create_app
from api.caller import Caller
from api.scopes import Scope
from ledger.settings import Settings, load_settings
from projections.runner import Runner
from tests.audit.conftest import admin, owner, server, shop, template, written
from tests.databases import copied
from tests.ledger.events import PARTITIONS, SHARDS

__all__ = ["admin", "owner", "server", "shop", "template", "written"]
"""Fixtures that these tests share with others."""

TEST_SECONDS = 300

SCOPES_HEADER = "x-test-scopes"

PERSON_HEADER = "x-test-person"


class Anybody:
    """An access layer that believes the scopes that a request names; without any it has all."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, str]] = []

    async def caller(self, request: Request) -> Caller:
        """Who asks."""
        named = request.headers.get(SCOPES_HEADER)
        scopes = frozenset(Scope) if named is None else frozenset(map(Scope, named.split()))
        person = request.headers.get(PERSON_HEADER, "ann")
        return Caller(person, f"{person}-key", scopes, person)

    async def refused(self, request: Request, caller: Caller, scope: Scope) -> None:
        """Somebody lacked a scope."""
        self.noted.append(("refused", scope))

    async def privileged(self, request: Request, caller: Caller, scope: Scope) -> None:
        """Somebody used a privilege."""
        self.noted.append(("privileged", scope))


@asynccontextmanager
async def served(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the API in this process."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        app.state.points.access = Anybody()
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            client.app = app  # type: ignore[attr-defined]
            yield client


@pytest.fixture(scope="session")
def folded(server: str, admin: psycopg.Connection[Any], written: str) -> Iterator[str]:
    """The URL of a copy of the log, folded; nobody changes it."""
    with copied(server, admin, written) as made:
        Runner(made).run(until_caught_up=True)
        yield made


def settings_for(url: str, folder: Path) -> Settings:
    """The settings of an API over that database."""
    return load_settings(
        {}, database_url=url, shards=SHARDS, partitions=PARTITIONS, data_dir=folder
    )


Asking = Callable[[Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]]], None]


def asking_of(url: str, folder: Path) -> Asking:
    """Runs a test's coroutine with a client."""

    def run(test: Callable[[httpx.AsyncClient], Coroutine[Any, Any, None]]) -> None:
        async def bounded() -> None:
            async with asyncio.timeout(TEST_SECONDS), served(settings_for(url, folder)) as client:
                await test(client)

        asyncio.run(bounded())

    return run


@pytest.fixture
def asking(folded: str, tmp_path: Path) -> Asking:
    """A client of an API over the folded log, which no test changes."""
    return asking_of(folded, tmp_path)


@pytest.fixture
def own_url(server: str, admin: psycopg.Connection[Any], folded: str) -> Iterator[str]:
    """The URL of a folded copy of the test's own."""
    with copied(server, admin, folded.rpartition("/")[2]) as made:
        yield made


@pytest.fixture
def changing(own_url: str, tmp_path: Path) -> Asking:
    """A client of an API over a copy of the test's own."""
    return asking_of(own_url, tmp_path)
