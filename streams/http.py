"""`/livez`, `/readyz` and `/metrics` of a worker, on loopback unless told otherwise.

/livez: the process turns its loop. /readyz: it reads an assignment and is not in a rebalance; what
is missing is in the answer. Neither asks PostgreSQL or Kafka: a probe must not add load to what is
already slow.
"""

from collections.abc import Callable
from typing import Protocol

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from ledger.errors import StartRefused

STOP_SECONDS = 2.0
"""What an open request may take when the worker stops."""


class Exposed(Protocol):
    """What is scraped."""

    def text(self) -> bytes:
        """The exposition of Prometheus."""
        ...


class Probes:
    """The worker's HTTP server. `not_ready`: why the worker is not ready, None when it is."""

    def __init__(self, metrics: Exposed, not_ready: Callable[[], str | None]) -> None:
        self._metrics = metrics
        self._not_ready = not_ready
        app = web.Application()
        app.router.add_get("/livez", self._livez)
        app.router.add_get("/readyz", self._readyz)
        app.router.add_get("/metrics", self._show_metrics)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_SECONDS)

    async def start(self, host: str, port: int) -> int:
        """Listen; 0 is a free port. Returns the port. Raises: StartRefused (port_in_use)."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise StartRefused(
                f"Port {port} of {host} cannot be used ({error.strerror}): choose another "
                "POINTS_HTTP_PORT (0 for a free one) or POINTS_HTTP_HOST.",
                "port_in_use",
            ) from error
        chosen: int = self._runner.addresses[0][1]
        return chosen

    async def stop(self) -> None:
        """Close the port."""
        await self._runner.cleanup()

    async def _livez(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        reason = self._not_ready()
        if reason is None:
            return web.json_response({"status": "ready"})
        return web.json_response({"status": "not ready", "reason": reason}, status=503)

    async def _show_metrics(self, _: web.Request) -> web.Response:
        return web.Response(
            body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )
