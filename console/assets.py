"""Scripts and styles, compressed once: what was answered is kept and answered again.

NiceGUI's assets have its version in their path, so under one path they are the same as long as the
process lives; browsers keep them too, by their Cache-Control. Only what says so itself is kept.
"""

from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ASSETS_MAX = 500
"""Answers kept: NiceGUI's screens ask for some 60; dialects of Accept-Encoding double them."""

BYTES_MAX = 32 << 20
"""Of the bodies kept: all of NiceGUI's assets, compressed, are some 5 MiB."""


OF_ONE_REQUEST = b"x-correlation-id"
"""A header that is not kept."""


class _Answer(NamedTuple):
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Assets:
    """An ASGI layer around what answers assets."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._kept: dict[tuple[str, bytes, bool], _Answer] = {}
        self._bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request for an asset."""
        asked = Headers(scope=scope)
        if scope["method"] != "GET" or "if-none-match" in asked or "range" in asked:
            await self._app(scope, receive, send)
            return
        compressed = "gzip" in asked.get("accept-encoding", "")
        key = (scope["path"], scope["query_string"], compressed)
        kept = self._kept.get(key)
        if kept is None:
            await self._asked(key, scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": list(kept.headers)})
        await send({"type": "http.response.body", "body": kept.body})

    async def _asked(
        self, key: tuple[str, bytes, bool], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Pass the answer on, and keep it when it may be."""
        start: Message = {}
        body = bytearray()
        whole = False

        async def told(message: Message) -> None:
            nonlocal start, whole
            if message["type"] == "http.response.start":
                start = {**message, "headers": list(message["headers"])}
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
                whole = not message.get("more_body", False)
            await send(message)

        await self._app(scope, receive, told)
        # Of two that asked at once the second finds it kept.
        if whole and key not in self._kept and self._may_keep(start, len(body)):
            self._bytes += len(body)
            headers = [each for each in start["headers"] if each[0].lower() != OF_ONE_REQUEST]
            self._kept[key] = _Answer(headers, bytes(body))

    def _may_keep(self, start: Message, size: int) -> bool:
        if start["status"] != 200 or len(self._kept) >= ASSETS_MAX:
            return False
        headers = Headers(raw=start["headers"])
        public = "max-age" in headers.get("cache-control", "")
        return public and "set-cookie" not in headers and self._bytes + size <= BYTES_MAX
