"""The short way answers as FastAPI's own long way does, and leaves to it what is not plain."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, cast

import httpx
from fastapi import APIRouter, Cookie, Depends, FastAPI, Header, Path, Query
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.app import Application
from api.limits import REQUESTS_MAX, Running
from api.short_way import Operations
from ledger.settings import Settings
from tests.api.calls import basket, earned
from tests.api.conftest import PLAY_SECONDS, client_of, opened

Both = Callable[[Application, httpx.AsyncClient, httpx.AsyncClient], Awaitable[None]]

MINE = {"x-correlation-id", "etag", "content-length"}
"""Headers that differ where answers name a moment or the request itself."""


def played(settings: Settings, story: Both) -> None:
    """The story with a client whose plain requests take the short way, and one whose never do."""

    async def run() -> None:
        async with opened(settings) as app:
            assert isinstance(app, Application)

            async def long(scope: Scope, receive: Receive, send: Send) -> None:
                await FastAPI.__call__(app, scope, receive, send)

            transport = httpx.ASGITransport(long, raise_app_exceptions=False)
            async with (
                client_of(app) as short_client,
                httpx.AsyncClient(transport=transport, base_url="http://points") as long_client,
            ):
                await story(app, short_client, long_client)

    asyncio.run(asyncio.wait_for(run(), PLAY_SECONDS))


def told(answer: httpx.Response) -> tuple[Any, ...]:
    """What does not differ between two calls: status, headers, the code or the names told."""
    body: Any = answer.json() if answer.content else None
    known = body.get("code") or sorted(body) if isinstance(body, dict) else body
    headers = {k: v for k, v in answer.headers.items() if k not in MINE}
    return answer.status_code, headers, known, "etag" in answer.headers


def test_every_plain_operation_answers_alike(settings: Settings) -> None:
    async def story(app: Application, short: httpx.AsyncClient, long: httpx.AsyncClient) -> None:
        await earned(short, "anna", 100)
        routes = app.short_way.operations.routes
        assert len(routes) > 60, "most operations are plain"
        for route in routes:
            if route.path in ("/v1/members/{member_id}/claims", "/openapi.json"):
                continue
            for member in ("anna", "nobody", "no!id"):
                path = re.sub(r"\{\w+\}", member, route.path)
                for headers in ({}, {"Idempotency-Key": "k"}, {"Idempotency-Key": "two words"}):
                    more: dict[str, Any] = {"headers": headers}
                    method = min(route.methods or {"GET"})
                    if method != "GET":  # nothing is changed by what is no JSON
                        more["content"] = b"["
                        more["headers"] = {**headers, "Content-Type": "application/json"}
                    answers = [await c.request(method, path, **more) for c in (short, long)]
                    assert told(answers[0]) == told(answers[1]), (method, path, headers)

    played(settings, story)


def test_what_tills_ask_most_is_answered_alike(settings: Settings) -> None:
    async def story(app: Application, short: httpx.AsyncClient, long: httpx.AsyncClient) -> None:
        for client, key in ((short, "a"), (long, "b")):
            for name in ("purchases", "preview"):
                body: dict[str, Any] = basket()
                if name == "purchases":
                    body["order_id"] = key
                path = f"/v1/members/{key}/{name}"
                found = app.short_way.operations.find("POST", path)
                assert found is not None
                assert found[1] == {"member_id": key}
                answer = await client.post(path, json=body, headers={"Idempotency-Key": key})
                assert answer.status_code == 200, answer.text
        for question in ("balance", "lots"):
            one = await short.get(f"/v1/members/a/{question}")
            other = await long.get(f"/v1/members/a/{question}")
            assert one.json() == other.json()
            assert one.headers["etag"] == other.headers["etag"]

    played(settings, story)


def test_what_fails_is_told_alike(settings: Settings) -> None:
    async def story(app: Application, short: httpx.AsyncClient, long: httpx.AsyncClient) -> None:
        class Broken:
            async def preview(self, *_: object) -> None:
                raise RuntimeError("broken")

        app.state.points.asking = Broken()
        answers = [await c.get("/v1/members/anna/balance") for c in (short, long)]
        assert answers[0].status_code == 500
        assert told(answers[0]) == told(answers[1])
        kinds = [await c.get("/v1/me", headers={"Accept-Encoding": "gzip"}) for c in (short, long)]
        assert kinds[0].headers["etag"] == kinds[1].headers["etag"]

    played(settings, story)


def test_both_ways_have_one_bound(settings: Settings) -> None:
    async def story(app: Application, short: httpx.AsyncClient, long: httpx.AsyncClient) -> None:
        layers = [layer.kwargs for layer in app.user_middleware]
        running = cast(Running, next(each["running"] for each in layers if "running" in each))
        running.count = REQUESTS_MAX
        answers = [await c.get("/v1/me") for c in (short, long)]
        assert [(each.status_code, each.json()["code"]) for each in answers] == [(503, "busy")] * 2
        assert running.count == REQUESTS_MAX
        running.count = 0
        assert (await short.get("/v1/me")).status_code == 200

    played(settings, story)


def test_large_answers_are_compressed_for_who_accepts_it(settings: Settings) -> None:
    async def story(app: Application, short: httpx.AsyncClient, long: httpx.AsyncClient) -> None:
        for n in range(40):
            await earned(short, "anna", n + 1)
        path = "/v1/members/anna/lots"
        for accepted in ("gzip", "identity"):
            sent = {"Accept-Encoding": accepted}
            answers = [await c.get(path, headers=sent) for c in (short, long)]
            assert len(answers[0].content) > 4_000
            assert answers[0].headers.get("content-encoding") == (
                "gzip" if accepted == "gzip" else None
            )
            assert answers[0].json() == answers[1].json()
            assert told(answers[0]) == told(answers[1])

    played(settings, story)


def test_what_is_not_plain_goes_the_long_way() -> None:
    group = APIRouter()

    async def nothing() -> Response:
        return Response()

    async def with_cookie(c: Annotated[str, Cookie()]) -> Response:
        return Response(c)

    async def with_query(q: Annotated[str, Query()]) -> Response:
        return Response(q)

    async def of_a_part(q: Annotated[str, Depends(with_query)]) -> Response:
        return Response(q)

    async def with_header(two_words: Annotated[str, Header()]) -> Response:
        return Response(two_words)

    async def deep(rest: Annotated[str, Path()]) -> Response:
        return Response(rest)

    group.add_api_route("/plain", nothing)
    group.add_api_route("/a/{one}", nothing)
    group.add_api_route("/a/two", nothing)
    group.add_api_route("/b/{one}.csv", nothing)
    group.add_api_route("/c/{rest:path}", deep)
    group.add_api_route("/cookie", with_cookie)
    group.add_api_route("/query", with_query)
    group.add_api_route("/part", of_a_part)
    group.add_api_route("/header", with_header)
    operations = Operations([group])
    assert [route.path for route in operations.routes] == ["/plain", "/header"]
    assert operations.find("GET", "/plain") is not None
    for method, path in (
        ("POST", "/plain"),
        ("HEAD", "/plain"),
        ("GET", "/plain/"),
        ("GET", "/plain\n"),
        ("GET", ""),
        ("GET", "//plain"),
        ("GET", "/a/two"),
        ("GET", "/a/{}"),
    ):
        assert operations.find(method, path) is None, path
