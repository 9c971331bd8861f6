"""The API as a process: uvicorn on one address, stopped in order."""

import asyncio
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.connections import Bounds, Lines, protocol_of
from api.pauses import prefer_answers
from ledger.errors import StartRefused
from ledger.identity import check_database
from ledger.settings import Settings

STOP_SECONDS = 10
"""What open requests may take when the server is told to stop: the slowest report."""

KEEP_ALIVE_SECONDS = 75
"""A till that asks once a minute keeps its connection."""

BACKLOG = 1_024
"""Connections that the kernel holds until they are taken."""

FILES_BESIDE = 256
"""Open files beside the connections: sessions of PostgreSQL and Kafka, logs, jobs."""

SOCKET_BYTES_MAX = 1 << 20
"""Of one message of a screen: the text of a program."""

SOCKET_QUEUE_MAX = 4
"""Messages of one screen that wait."""

_STOP = (signal.SIGINT, signal.SIGTERM)


class _Server(uvicorn.Server):
    """Tells where it listens once it does."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            prefer_answers()
            self._started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As the server's own, but a signal that was heeded is not raised again at the end: to be
        told to stop is no failure."""
        before = {number: signal.signal(number, self.handle_exit) for number in _STOP}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(
    settings: Settings,
    started: Callable[[str], None],
    extend: Callable[[FastAPI], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM. `started` hears the address once it listens; `extend` adds
    what is beside the API (the console). Raises StartRefused."""
    asyncio.run(check_database(settings))
    _room_for(settings.api_connections + FILES_BESIDE)
    listener = bound(settings.api_host, settings.api_port)
    server = _Server(config_of(settings, extend), lambda: started(address_of(listener)))
    try:
        server.run(sockets=[listener])
    finally:
        listener.close()
    if not server.started:
        raise StartRefused("The API did not start: its log says why.", "api_not_started")


def config_of(
    settings: Settings, extend: Callable[[FastAPI], None] | None = None
) -> uvicorn.Config:
    """How the server runs."""
    options: dict[str, Any] = {
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": KEEP_ALIVE_SECONDS,
        "timeout_graceful_shutdown": STOP_SECONDS,
        # Not uvicorn's limit_concurrency: it answers at the end of the headers only, and until
        # then holds whatever comes.
        "http": protocol_of(Lines(_bounds(settings), settings.is_trusted_proxy)),
        # Both named: else uvicorn trusts this machine, and an environment variable of its own.
        "proxy_headers": settings.api_trusted_proxies is not None,
        "forwarded_allow_ips": [str(network) for network in settings.trusted_networks],
        "backlog": BACKLOG,
        "ws_max_size": SOCKET_BYTES_MAX,
        "ws_max_queue": SOCKET_QUEUE_MAX,
    }
    app = create_app(settings)
    if extend is not None:
        extend(app)
    return uvicorn.Config(app, **options)


def _bounds(settings: Settings) -> Bounds:
    return Bounds(settings.api_connections, settings.api_connections_per_address)


def _room_for(files: int) -> None:
    """Have the system allow so many open files, if it does: else new connections fail before the
    limit of them is reached. Raises StartRefused."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= files:
        return
    if hard != resource.RLIM_INFINITY and hard < files:
        raise StartRefused(
            f"The system allows this process {hard} open files, and {files} are needed: allow more"
            " (ulimit -n), or set a smaller POINTS_API_CONNECTIONS.",
            "too_few_files",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def bound(host: str, port: int) -> socket.socket:
    """A socket at the address. Raises StartRefused (port_in_use)."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StartRefused(
            f"Port {port} of {host} cannot be used ({error.strerror}): choose another"
            " POINTS_API_PORT (0 for a free one) or POINTS_API_HOST.",
            "port_in_use",
        ) from error
    return listener


def address_of(listener: socket.socket) -> str:
    """Where it listens, as a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
