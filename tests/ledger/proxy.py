"""A wire between the ledger and PostgreSQL that can be cut at the worst moment: around COMMIT."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from urllib.parse import urlsplit

Cut = Literal["before", "after"]


class Wire:
    """Passes bytes on. `cut` "before": the next COMMIT never arrives; "after": it is carried out,
    but its answer is lost. `refused`: connections that found the server away."""

    def __init__(self, host: str, port: int) -> None:
        self.cut: Cut | None = None
        self.cuts = 0
        self.refused = 0
        self._target = (host, port)
        self._away = False
        self._open: set[asyncio.StreamWriter] = set()

    def leave(self) -> None:
        """The server is away: what is connected is cut, new connections are closed at once."""
        self._away = True
        for writer in self._open:
            writer.close()

    def come_back(self) -> None:
        """The server is there again."""
        self._away = False

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the ledger."""
        if self._away:
            self.refused += 1
            writer.close()
            return
        self._open.add(writer)
        from_server, to_server = await asyncio.open_connection(*self._target)
        lost = asyncio.Event()

        async def back() -> None:
            while data := await from_server.read(65_536):
                if lost.is_set():
                    break  # the server has answered: COMMIT was carried out
                writer.write(data)
                await writer.drain()

        answers = asyncio.create_task(back())
        try:
            while data := await reader.read(65_536):
                if self.cut is not None and b"COMMIT" in data:
                    cut, self.cut = self.cut, None
                    self.cuts += 1
                    if cut == "before":
                        break
                    lost.set()
                    to_server.write(data)
                    await to_server.drain()
                    await answers
                    break
                to_server.write(data)
                await to_server.drain()
        finally:
            answers.cancel()
            self._open.discard(writer)
            writer.close()
            to_server.close()


@asynccontextmanager
async def wire(url: str) -> AsyncIterator[tuple[str, Wire]]:
    """A URL that leads to the server of `url` over a wire, and the wire."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    cuttable = Wire(parts.hostname, parts.port)
    server = await asyncio.start_server(cuttable.connected, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield url.replace(f":{parts.port}/", f":{port}/"), cuttable
    finally:
        server.close()
