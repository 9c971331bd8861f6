"""What one connection may cost: uvicorn's HTTP protocol with a clock.

uvicorn itself waits for ever for the first request's headers, for a client that does not read its
answer, and for the rest of a body whose answer was sent early; and it takes as many connections as
the system gives. Here one look a second over all connections finds those that are late, so that a
request costs no timer of its own.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, cast

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.problems import Problem, response_of

log = logging.getLogger(__name__)

HEAD_SECONDS = 20.0
"""Until a request's headers are complete, from the connection's begin or from the request's first
byte; and for the rest of a body that is answered already. A till on a bad line takes two."""

HEAD_BYTES_MAX = 32 << 10
"""Of one request's first line and headers: a token of an OIDC issuer takes some kilobytes."""

STALL_SECONDS = 60.0
"""A client that takes nothing of what waits for it for so long has gone, or means no good. The
system asks for more only when a third of its own buffer is free, mostly below a megabyte: a line of
20 kB a second is heard of in time."""

TAKEN_SECONDS = 300.0
"""For all that waits to be taken: the largest report at some 5 kB a second."""

LOOK_SECONDS = 1.0
"""Between two looks: so late may a connection be found."""


@dataclass(frozen=True)
class Bounds:
    """The limits of one server. `connections`: open at once, in all; `per_address`: of one
    address."""

    connections: int
    per_address: int
    head_seconds: float = HEAD_SECONDS
    stall_seconds: float = STALL_SECONDS
    taken_seconds: float = TAKEN_SECONDS
    look_seconds: float = LOOK_SECONDS


class Line:
    """What is known of one connection. `until`: the loop's time by which it must have sent what is
    waited for; None: nothing is. `left`: bytes that waited for the client at the last look;
    `drained`: fewer than asyncio's low mark did since; `moved`: when it was last seen to take some;
    `begun`: since when any wait."""

    __slots__ = ("address", "begun", "drained", "left", "moved", "protocol", "until")

    def __init__(self, address: str, protocol: "Connection", until: float) -> None:
        self.address = address
        self.protocol: Connection | None = protocol  # None: it is a web socket's now
        self.until: float | None = until
        self.left = 0
        self.drained = False
        self.moved = 0.0
        self.begun = 0.0


class Lines:
    """All connections of one server. `exempt`: addresses that stand for many clients."""

    def __init__(self, bounds: Bounds, exempt: Callable[[str], bool] = lambda _: False) -> None:
        self.bounds = bounds
        self._exempt = exempt
        self._open: dict[asyncio.Transport, Line] = {}
        self._of: Counter[str] = Counter()
        self._looking = False
        self._told: Counter[str] = Counter()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    def take(self, transport: asyncio.Transport, protocol: "Connection") -> Line | None:
        """Count a new connection; None when there are too many."""
        loop, bounds = protocol.loop, self.bounds
        address = protocol.client[0] if protocol.client is not None else ""
        full = len(self._open) >= bounds.connections
        if not full and self._of[address] >= bounds.per_address:
            full = not self._exempt(address)
        if not self._looking:
            self._looking = True
            loop.call_later(bounds.look_seconds, self._look, loop)
        if full:
            self._told["too many"] += 1
            return None
        line = Line(address, protocol, loop.time() + bounds.head_seconds)
        self._open[transport] = line
        self._of[address] += 1
        return line

    def leave(self, transport: asyncio.Transport) -> None:
        """Count it no more."""
        line = self._open.pop(transport, None)
        if line is not None:
            self._of[line.address] -= 1
            if not self._of[line.address]:
                del self._of[line.address]

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for transport, line in list(self._open.items()):
            left = transport.get_write_buffer_size()
            if left:
                self._wait(transport, line, left, now)
                continue
            line.left = 0
            if line.protocol is None:
                if transport.is_closing():  # nobody tells us of a web socket's end
                    self.leave(transport)
            elif line.until is not None and now > line.until and line.protocol.late():
                self._told["sent too slowly"] += 1
        if self._told:
            log.warning("connections were closed", extra={"reasons": dict(self._told)})
            self._told.clear()
        self._looking = bool(self._open)
        if self._looking:
            loop.call_later(self.bounds.look_seconds, self._look, loop)

    def _wait(self, transport: asyncio.Transport, line: Line, left: int, now: float) -> None:
        if not line.left:
            line.begun = line.moved = now
        elif left < line.left or line.drained:
            line.moved = now
        line.left, line.drained = left, False
        if (
            now - line.moved > self.bounds.stall_seconds
            or now - line.begun > self.bounds.taken_seconds
        ):
            self._told["read too slowly"] += 1
            transport.abort()
            if line.protocol is None:
                self.leave(transport)


class Connection(HttpToolsProtocol):
    """One connection. `lines`: all of the server's."""

    lines: ClassVar[Lines]

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request's headers, if there is room."""
        super().connection_made(transport)
        self._line = self.lines.take(transport, self)
        self._head = False
        self._message = False
        self._head_bytes = 0
        if self._line is None:
            self._close_with(_too_many())

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        self.lines.leave(self.transport)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; see that something ends the wait for what must follow them."""
        line = self._line
        if line is None or self.transport.is_closing():
            return
        counted = self._head
        super().data_received(data)
        if self._head:
            self._head_bytes += len(data) if counted else 0
            if self._head_bytes > HEAD_BYTES_MAX:
                self._close_with(_head_too_large())
        elif (
            line.until is None
            and line.protocol is not None
            and self.timeout_keep_alive_task is None
            and not self._message
            and not self._busy
        ):
            line.until = self.loop.time() + self.timeout_keep_alive

    def on_message_begin(self) -> None:
        """A request begins: of the first one the time runs since the connection did."""
        super().on_message_begin()
        self._head = self._message = True
        self._head_bytes = 0
        if self._line is not None and self.cycle is not None:
            self._line.until = self.loop.time() + self.lines.bounds.head_seconds

    def on_headers_complete(self) -> None:
        """From here on the request has the limits of `api.limits`."""
        self._head = False
        if self._line is not None:
            self._line.until = None
        if len(self.url) + sum(len(n) + len(v) for n, v in self.headers) > HEAD_BYTES_MAX:
            self.app = cast(Any, _refusing(_head_too_large()))
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The body is complete, perhaps after its answer."""
        self._message = False
        super().on_message_complete()
        if self._line is not None and not self._busy:
            self._line.until = None

    def on_response_complete(self) -> None:
        """What is left of a body that is answered already must not take for ever."""
        super().on_response_complete()
        if self._line is not None and self._message:
            self._line.until = self.loop.time() + self.lines.bounds.head_seconds

    def resume_writing(self) -> None:
        """The client took most of what waited: more of the answer is written now."""
        super().resume_writing()
        if self._line is not None:
            self._line.drained = True

    def handle_websocket_upgrade(self) -> None:
        """A web socket has pings of its own; what waits for it is looked at as before."""
        super().handle_websocket_upgrade()
        if self._line is not None:
            self._line.protocol = self._line.until = None

    def late(self) -> bool:
        """Close it, unless it is being answered, or is not read from for our sake."""
        if self._busy or self.flow.read_paused or self.transport.is_closing():
            return False
        if self._head:
            self._close_with(_slow_head())
        else:
            self.transport.close()
        return True

    @property
    def _busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _close_with(self, problem: Problem) -> None:
        if not self._busy:  # else it would stand amidst another answer
            answer = response_of(problem, "")
            phrase = HTTPStatus(problem.status).phrase
            lines = [f"HTTP/1.1 {problem.status} {phrase}\r\nconnection: close\r\n".encode()]
            lines += [name + b": " + value + b"\r\n" for name, value in answer.raw_headers]
            self.transport.write(b"".join([*lines, b"\r\n", bytes(answer.body)]))
        self.transport.close()


def protocol_of(lines: Lines) -> type[Connection]:
    """The protocol of a server, for uvicorn's `http`."""
    return type("Connection", (Connection,), {"lines": lines})


def _refusing(problem: Problem) -> Callable[[Scope, Receive, Send], Any]:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        problem.headers["Connection"] = "close"
        await response_of(problem, "")(scope, receive, send)

    return app


def _too_many() -> Problem:
    return Problem(
        503,
        "too_many_connections",
        "Too many connections are open, in all or from this address: use those that you have, or"
        " come back in some seconds.",
        headers={"Retry-After": "5"},
    )


def _slow_head() -> Problem:
    return Problem(
        408,
        "headers_too_slow",
        f"The headers were not complete after {HEAD_SECONDS:.0f} s: send the request again.",
    )


def _head_too_large() -> Problem:
    return Problem(
        431,
        "headers_too_large",
        f"Path and headers are larger than {HEAD_BYTES_MAX} bytes together: send less of them.",
    )
