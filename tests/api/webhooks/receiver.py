"""A real HTTP server that takes webhooks, and answers as a test tells it."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import msgspec

WAIT_SECONDS = 300.0
"""For what takes a second or two: a busy machine is no failure."""


class Received(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        """The webhook-id."""
        return self.headers["webhook-id"]

    @property
    def document(self) -> Any:
        """The body, read."""
        return msgspec.json.decode(self.body)

    @property
    def member(self) -> str:
        """Whom it is about."""
        return str(self.document["data"].get("member_id"))

    @property
    def place(self) -> tuple[int, int, int]:
        """Shard, position and number, as the id has them."""
        _, _, shard, position, number = self.id.split("_")
        return int(shard), int(position), int(number)


class Answer(NamedTuple):
    """What is answered."""

    status: int = 204
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


Decide = Callable[[Received], Answer]


class Receiver:
    """`taken`: every request, in the order of arrival. `decide`: what is answered to one."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/hook"
        self.port = port
        self.taken: list[Received] = []
        self.decide: Decide = lambda _: Answer()
        self.changed = threading.Condition()

    def wait(
        self, until: Callable[[list[Received]], bool], seconds: float = WAIT_SECONDS
    ) -> list[Received]:
        """What was taken, once that is enough."""
        with self.changed:
            assert self.changed.wait_for(lambda: until(self.taken), seconds), [
                (one.id, one.document["type"]) for one in self.taken
            ]
            return list(self.taken)

    def wait_for(self, count: int) -> list[Received]:
        """The same for a number of different ids."""
        return self.wait(lambda taken: len({one.id for one in taken}) >= count)


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a free port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            body = self.rfile.read(length)
            if len(body) < length:  # the sender died in the midst of it
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            one = Received(self.path, headers, body)
            with receiver.changed:
                receiver.taken.append(one)
                receiver.changed.notify_all()
            answer = receiver.decide(one)
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            if answer.status != 204:
                self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Clients that are killed or give up are what these tests are about."""

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
    receiver = Receiver(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
