"""Whose word on an address counts: a proxy's that is named, nobody else's."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI

from api.access.layer import FAILURES_BURST
from api.access.rates import Buckets
from api.server import config_of
from ledger.settings import Settings
from tests.api.access.callers import Api
from tests.api.conftest import PLAY_SECONDS

PROXY = "10.1.0.9"
UNKNOWN = "pl_" + "a" * 12


@asynccontextmanager
async def behind(settings: Settings, peer: str) -> AsyncIterator[Api]:
    """The API as the server calls it, with connections from `peer`."""
    config = config_of(settings)
    config.load()
    app = cast(FastAPI, config.app)
    transport = httpx.ASGITransport(cast(Any, config.loaded_app), client=(peer, 1))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://points") as client,
    ):
        yield Api(app, client)


@pytest.fixture
def told(settings: Settings) -> Callable[..., Any]:
    """The address in the trail, and the status, of failed sign-ins with these headers."""

    def run(peer: str, *forwarded: str, trusted: str | None) -> list[tuple[int, str]]:
        async def played() -> list[tuple[int, str]]:
            changed = settings.model_copy(update={"api_trusted_proxies": trusted})
            async with behind(changed, peer) as api:
                found = []
                for each in forwarded:
                    headers = {"X-Forwarded-For": each}
                    answer = await api.call("GET", "/v1/me", UNKNOWN, headers=headers)
                    which = answer.headers["x-correlation-id"]
                    rows = await api.trail(correlation_id=which)
                    found += [(answer.status_code, row["address"]) for row in rows]
                return found

        return asyncio.run(asyncio.wait_for(played(), PLAY_SECONDS))

    return run


def test_a_named_proxy_tells_the_address(told: Callable[..., Any]) -> None:
    assert told(
        PROXY,
        "203.0.113.5",
        "203.0.113.99, 203.0.113.6",  # the first is what the client claimed
        f"203.0.113.7, {PROXY}",
        trusted="10.1.0.0/24",
    ) == [(401, "203.0.113.5"), (401, "203.0.113.6"), (401, "203.0.113.7")]


@pytest.mark.parametrize(
    ("peer", "trusted"),
    [("127.0.0.1", None), ("::1", None), ("10.2.0.1", "10.1.0.0/24")],
)
def test_nobody_else_does(
    told: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, peer: str, trusted: str | None
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*")
    ((status, address),) = told(peer, "203.0.113.5", trusted=trusted)
    assert status == 401
    assert address == ("::/64" if peer == "::1" else peer)


def test_failures_count_against_the_client_behind_a_proxy(told: Callable[..., Any]) -> None:
    claimed = [f"203.0.113.{n}" for n in range(FAILURES_BURST + 5)]
    assert {status for status, _ in told(PROXY, *claimed, trusted=PROXY)} == {401}


def test_a_claimed_address_does_not_help_a_guesser(settings: Settings) -> None:
    async def played() -> list[int]:
        async with behind(settings, "10.2.0.1") as api:
            api.layer._failures = Buckets(clock=lambda: 0.0)
            tries = [
                await api.call(
                    "GET", "/v1/me", UNKNOWN, headers={"X-Forwarded-For": f"203.0.113.{n}"}
                )
                for n in range(FAILURES_BURST + 1)
            ]
            return [answer.status_code for answer in tries]

    told = asyncio.run(asyncio.wait_for(played(), PLAY_SECONDS))
    assert told == [401] * FAILURES_BURST + [429]
