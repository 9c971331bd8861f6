"""Connections that are slow, idle or too many, over real sockets."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from api.connections import HEAD_BYTES_MAX, Bounds, Lines, protocol_of
from api.server import bound

WAIT_SECONDS = 300
"""For what takes a second or two."""

LARGE = 64 << 20
"""Bytes of an answer that no system's buffers hold."""

GET = b"GET / HTTP/1.1\r\nHost: x\r\n"

FAST = Bounds(100, 100, head_seconds=0.5, stall_seconds=0.5, look_seconds=0.1)


@dataclass
class Served:
    """A server, and its connections."""

    address: tuple[str, int]
    lines: Lines
    answered: threading.Event

    def connected(self, source: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection(self.address, WAIT_SECONDS, (source, 0))

    def used(self) -> socket.socket:
        """A connection that had an answer: the time for its first headers is over."""
        while True:  # on a slow machine that time may be too short
            line = self.connected()
            if self.status(line) == b"200":
                return line
            line.close()

    def status(self, line: socket.socket) -> bytes:
        """Of one small request."""
        try:
            line.sendall(GET + b"\r\n")
            return line.recv(10_000)[9:12]
        except ConnectionError:  # closed before it read what we say
            return b"503"


@contextmanager
def serving(bounds: Bounds, trusted: tuple[str, ...] = ()) -> Iterator[Served]:
    """A server whose application answers as the path says."""
    answered = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await receive()
            return
        size, pieces = (LARGE, 64) if scope["path"] == "/pieces" else (2, 1)
        size = LARGE if scope["path"] == "/whole" else size
        try:
            headers = [(b"content-length", str(size).encode())]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            for n in range(pieces, 0, -1):
                body = bytes(size // pieces)
                await send({"type": "http.response.body", "body": body, "more_body": n > 1})
        finally:
            answered.set()

    lines = Lines(bounds, exempt=trusted.__contains__)
    config = uvicorn.Config(
        app,
        http=protocol_of(lines),
        log_config=None,
        lifespan="off",
        timeout_keep_alive=WAIT_SECONDS,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    listener = bound("127.0.0.1", 0)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        until(lambda: server.started)
        yield Served(listener.getsockname()[:2], lines, answered)
    finally:
        server.should_exit = True
        thread.join(WAIT_SECONDS)
        listener.close()


def until(true: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + WAIT_SECONDS
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def all_of(line: socket.socket) -> bytes:
    """What comes until the other end closes."""
    found = []
    try:
        while piece := line.recv(1 << 20):
            found.append(piece)
    except ConnectionError:
        pass
    return b"".join(found)


def code_of(answer: bytes) -> tuple[bytes, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head
    assert b"application/problem+json" in head
    return head[9:12], json.loads(body)["code"]


def test_a_connection_that_sends_nothing_is_closed() -> None:
    with serving(FAST) as server, server.connected() as line:
        assert all_of(line) == b""


def test_headers_that_stop_are_answered_and_closed() -> None:
    with serving(FAST) as server, server.used() as line:
        line.sendall(GET)
        assert code_of(all_of(line)) == (b"408", "headers_too_slow")


@pytest.mark.parametrize("first", [True, False])
def test_headers_a_byte_at_a_time_are_closed(first: bool) -> None:
    with serving(FAST) as server, server.connected() if first else server.used() as line:
        line.sendall(GET + b"X-Slow: ")

        def closed() -> bool:
            try:
                line.sendall(b"a")
            except ConnectionError:
                return True
            return False

        until(closed)
        until(lambda: len(server.lines) == 0)


@pytest.mark.parametrize("path", ["/pieces", "/whole"])
def test_who_never_reads_a_large_answer_is_cut_off(path: str) -> None:
    bounds = Bounds(9, 9, stall_seconds=0.5, look_seconds=0.1)
    with serving(bounds) as server, socket.socket() as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        line.connect(server.address)
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert server.answered.wait(WAIT_SECONDS)
        until(lambda: len(server.lines) == 0)
        line.settimeout(WAIT_SECONDS)
        assert len(all_of(line)) < LARGE


def test_who_reads_a_little_now_and_then_is_cut_off_too() -> None:
    bounds = Bounds(9, 9, stall_seconds=WAIT_SECONDS, taken_seconds=0.5, look_seconds=0.1)
    with serving(bounds) as server, server.connected() as line:
        line.sendall(b"GET /pieces HTTP/1.1\r\nHost: x\r\n\r\n")
        taken = 0
        try:
            while piece := line.recv(1 << 14):
                taken += len(piece)
                if len(server.lines):
                    time.sleep(0.02)
        except ConnectionError:
            pass
        assert taken < LARGE


def test_who_reads_gets_all_of_a_large_answer() -> None:
    with serving(Bounds(9, 9, look_seconds=0.01)) as server, server.connected() as line:
        line.sendall(b"GET /pieces HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert len(all_of(line).partition(b"\r\n\r\n")[2]) == LARGE


def test_an_idle_connection_stays() -> None:
    with serving(FAST) as server, server.used() as line:
        for _ in range(3):
            assert server.status(line) == b"200"
            time.sleep(3 * FAST.head_seconds)


def test_the_rest_of_a_body_that_is_answered_must_come() -> None:
    with serving(FAST) as server, server.used() as line:
        line.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert all_of(line).startswith(b"HTTP/1.1 200")


def test_after_such_a_body_the_connection_goes_on() -> None:
    with serving(FAST) as server, server.used() as line:
        line.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
        assert line.recv(10_000).startswith(b"HTTP/1.1 200")
        line.sendall(b"}")
        time.sleep(3 * FAST.head_seconds)
        assert server.status(line) == b"200"


@pytest.mark.parametrize("pieces", [1, 50])
def test_headers_have_a_size(pieces: int) -> None:
    bounds = Bounds(9, 9)
    with serving(bounds) as server, server.connected() as line:
        line.sendall(GET)
        field = b"X-Much: " + b"a" * (HEAD_BYTES_MAX // pieces) + b"\r\n"
        try:
            for _ in range(pieces):
                line.sendall(field)
                time.sleep(0.01)
            line.sendall(b"\r\n")
        except ConnectionError:  # closed before it read what we say
            pass
        answer = all_of(line)
        assert not answer or code_of(answer) == (b"431", "headers_too_large")
        assert not server.answered.is_set()


def test_there_is_room_for_so_many_and_again_when_they_leave() -> None:
    with serving(Bounds(3, 3)) as server, ExitStack() as open_:
        lines = [open_.enter_context(server.connected()) for _ in range(4)]
        assert [server.status(line) for line in lines] == [b"200"] * 3 + [b"503"]
        lines[0].close()
        until(lambda: len(server.lines) == 2)
        with server.connected() as line:
            assert server.status(line) == b"200"


def test_one_address_does_not_take_the_room_of_others() -> None:
    with serving(Bounds(9, 2)) as server, ExitStack() as open_:
        for source, wanted in (("127.0.0.1", b"200 200 503"), ("127.0.0.2", b"200 200 503")):
            lines = [open_.enter_context(server.connected(source)) for _ in range(3)]
            assert b" ".join(server.status(line) for line in lines) == wanted


def test_a_proxy_stands_for_many() -> None:
    with serving(Bounds(4, 2), ("127.0.0.2",)) as server, ExitStack() as open_:
        lines = [open_.enter_context(server.connected("127.0.0.2")) for _ in range(5)]
        assert [server.status(line) for line in lines] == [b"200"] * 4 + [b"503"]


def test_too_many_are_told_so() -> None:
    with serving(Bounds(0, 1)) as server, server.connected() as line:
        assert code_of(all_of(line)) == (b"503", "too_many_connections")


def test_a_web_socket_is_counted_while_it_is_open() -> None:
    with serving(FAST) as server, server.used() as line:
        line.sendall(
            GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        assert line.recv(10_000).startswith(b"HTTP/1.1 101")
        time.sleep(3 * FAST.head_seconds)
        assert len(server.lines) == 1
        line.close()
        until(lambda: len(server.lines) == 0)
