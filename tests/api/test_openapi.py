"""The OpenAPI document as it is sent: the same bytes, compressed once."""

import gzip
from typing import Any

import httpx
import pytest


def test_it_is_compressed_once_and_asked_for_again(
    play: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed: list[bytes] = []
    pack = gzip.compress

    def compress(plain: bytes, **more: Any) -> bytes:
        packed.append(pack(plain, **more))
        return packed[-1]

    monkeypatch.setattr(gzip, "compress", compress)

    async def story(client: httpx.AsyncClient) -> None:
        path, plain = "/openapi.json", {"Accept-Encoding": "identity"}
        whole = await client.get(path, headers=plain)
        assert whole.json()["openapi"].startswith("3.1")
        assert "content-encoding" not in whole.headers
        assert "Accept-Encoding" in whole.headers["vary"]
        for _ in range(3):
            async with client.stream("GET", path, headers={"Accept-Encoding": "gzip"}) as answer:
                sent = b"".join([part async for part in answer.aiter_raw()])
                assert answer.headers["content-encoding"] == "gzip"
                assert int(answer.headers["content-length"]) == len(sent)
                assert answer.headers["etag"] != whole.headers["etag"]
            assert [sent] == packed
            assert gzip.decompress(sent) == whole.content
        for headers in (plain, {"Accept-Encoding": "gzip"}):
            tag = (await client.get(path, headers=headers)).headers["etag"]
            same = await client.get(path, headers={**headers, "If-None-Match": tag})
            assert (same.status_code, same.content) == (304, b"")

    play(story)
