"""Assets are asked for and compressed once; what must not be kept is not."""

import asyncio
import gzip

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from console import assets
from console.assets import Assets

SCRIPT = b"let points = 1;\n" * 1_000


class Served:
    """Answers like NiceGUI behind the compression, and counts."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        self.asked.append(path)
        headers = {"Cache-Control": "no-store" if "own" in path else "public, max-age=3600"}
        body, status = SCRIPT, 404 if "gone" in path else 200
        if "gzip" in Request(scope).headers.get("accept-encoding", ""):
            body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
        headers["ETag"] = '"e"'
        await Response(body, status, headers)(scope, receive, send)


@pytest.fixture
def served() -> tuple[Served, TestClient]:
    behind = Served()
    return behind, TestClient(Assets(behind))


def test_an_asset_is_asked_for_once_in_each_form(served: tuple[Served, TestClient]) -> None:
    behind, client = served
    plain, packed = {"accept-encoding": "identity"}, {"accept-encoding": "gzip, br"}
    first = client.get("/a.js", headers=packed)
    again = client.get("/a.js", headers=packed)
    assert (first.content, dict(first.headers)) == (again.content, dict(again.headers))
    assert again.content == SCRIPT
    assert again.headers["content-encoding"] == "gzip"
    assert client.get("/a.js", headers=plain).headers.get("content-encoding") is None
    assert client.get("/a.js", headers=plain).content == SCRIPT
    assert behind.asked == ["/a.js", "/a.js"]
    client.get("/a.js?v=2", headers=packed)
    client.get("/a.js", headers={**packed, "if-none-match": '"e"'})
    assert len(behind.asked) == 4


def test_one_that_two_ask_for_at_once_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for two bodies: of the first asset, asked for twice at once, and of another."""
    monkeypatch.setattr(assets, "BYTES_MAX", 2 * len(SCRIPT))
    behind = Served()
    both = asyncio.Barrier(2)

    async def together(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/a.js" and len(behind.asked) < 2:
            behind.asked.append("/a.js")
            await both.wait()
            await Response(SCRIPT, 200, {"Cache-Control": "public, max-age=3600"})(
                scope, receive, send
            )
            return
        await behind(scope, receive, send)

    async def story() -> None:
        transport = httpx.ASGITransport(Assets(together))
        headers = {"accept-encoding": "identity"}
        async with httpx.AsyncClient(
            transport=transport, base_url="http://console", headers=headers
        ) as client:
            await asyncio.gather(client.get("/a.js"), client.get("/a.js"))
            for path in ("/b.js", "/a.js", "/b.js"):
                assert (await client.get(path)).content == SCRIPT
        assert behind.asked == ["/a.js", "/a.js", "/b.js"]

    asyncio.run(asyncio.wait_for(story(), 300))


@pytest.mark.parametrize("path", ["/own.js", "/gone.js"])
def test_what_is_not_for_everybody_is_not_kept(
    served: tuple[Served, TestClient], path: str
) -> None:
    behind, client = served
    client.get(path)
    client.get(path)
    assert behind.asked == [path, path]


def test_what_is_kept_is_bounded(
    served: tuple[Served, TestClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    behind, client = served
    monkeypatch.setattr(assets, "BYTES_MAX", len(SCRIPT) + 1)
    plain = {"accept-encoding": "identity"}
    for path in ("/a.js", "/b.js", "/a.js", "/b.js"):
        assert client.get(path, headers=plain).content == SCRIPT
    assert behind.asked == ["/a.js", "/b.js", "/b.js"]
