"""One attempt: the request as the Standard Webhooks specification has it, and what came of it.

Redirects are not followed, no proxy is used, and the answer is read to its first kilobyte only.
"""

import asyncio
import ssl
import time
from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version

import httpx

from api.webhooks.addresses import AddressRefused, Resolver, addresses_of, checked_url, resolve
from api.webhooks.attempts import Attempt, Ended
from api.webhooks.errors import WebhookRefused
from api.webhooks.schedule import asked_seconds
from api.webhooks.signing import signature

CONNECT_SECONDS = 5.0
"""For a connection: a healthy server takes milliseconds."""

ANSWER_SECONDS = 15.0
"""For the whole attempt; a receiver takes the event, answers, and works on it afterwards."""

ANSWER_BYTES_MAX = 1_024
"""Of an answer that are read and kept: enough for a sentence of what was wrong."""

ADDRESSES_TRIED_MAX = 3
"""Of a host's addresses that are tried when no connection can be made."""

HOSTS_MAX = 100
"""Hosts to which connections are kept open, more than there are webhooks; those not used for
longest are closed."""

IDLE_SECONDS = 30.0
"""How long an open connection waits for its next delivery."""

_NUL = "\x00"


def headers_of(attempt: Attempt, timestamp: int) -> dict[str, str]:
    """The headers of an attempt: a signature for each secret that is valid."""
    return {
        "content-type": "application/json",
        "accept-encoding": "identity",  # the answer is kept as it comes
        "user-agent": f"points-ledger/{version('points-ledger')}",
        "webhook-id": attempt.id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(
            signature(secret, attempt.id, timestamp, attempt.body) for secret in attempt.secrets
        ),
    }


class Pinned(httpx.AsyncBaseTransport):
    """Connects to addresses that were checked for this very request; the name remains in the Host
    header and is what the certificate must be for. For one host only: connections are kept by
    address, and one that was made for another name must not be used."""

    def __init__(self, tls: ssl.SSLContext, resolver: Resolver, allow_private: bool) -> None:
        self._resolver = resolver
        self._allow_private = allow_private
        self._inner = httpx.AsyncHTTPTransport(
            verify=tls,
            trust_env=False,
            limits=httpx.Limits(keepalive_expiry=IDLE_SECONDS),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it. Raises AddressRefused, httpx.HTTPError."""
        url = request.url
        host = url.raw_host.decode("ascii")
        port = url.port or (443 if url.scheme == "https" else 80)
        found = await addresses_of(host, port, self._resolver, self._allow_private)
        tried = found[:ADDRESSES_TRIED_MAX]
        for address in tried:
            request.url = url.copy_with(host=address.partition("%")[0])
            request.extensions = {**request.extensions, "sni_hostname": host}
            try:
                return await self._inner.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if address == tried[-1]:
                    raise
        raise AssertionError("there is an address")

    async def aclose(self) -> None:
        """Close the connections."""
        await self._inner.aclose()


class Sender:
    """Sends to any number of hosts. `resolver`: how names are resolved."""

    def __init__(
        self,
        *,
        allow_private: bool,
        resolver: Resolver = resolve,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allow_private = allow_private
        self._resolver = resolver
        self._tls = tls or httpx.create_ssl_context()
        self._clients: OrderedDict[tuple[str, str], httpx.AsyncClient] = OrderedDict()
        self._closing: set[asyncio.Task[None]] = set()

    async def send(self, attempt: Attempt) -> Ended:
        """One attempt. Raises nothing but a cancellation."""
        begun = time.monotonic()
        status: int | None = None
        answer, error, asked = "", None, 0.0
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                status, answer, asked = await self._post(attempt)
        except (TimeoutError, httpx.TimeoutException):
            error = "timeout"
        except (AddressRefused, WebhookRefused) as refused:
            error, answer = refused.code, refused.message
        except httpx.ConnectError as failed:
            error, answer = "unreachable", str(failed)
        except httpx.InvalidURL as failed:
            error, answer = "bad_url", str(failed)
        except (httpx.HTTPError, OSError, ValueError) as failed:
            error, answer = "broken", str(failed) or type(failed).__name__
        seconds = time.monotonic() - begun
        answer = answer.replace(_NUL, "\ufffd")[:ANSWER_BYTES_MAX]
        if status is not None and 200 <= status < 300:
            return Ended("done", status, answer, None, seconds)
        if status is not None:
            error = "http_status"
        return Ended("gone" if status == 410 else "failed", status, answer, error, seconds, asked)

    async def _post(self, attempt: Attempt) -> tuple[int, str, float]:
        client = self._client(attempt.url)
        timestamp = int(time.time())
        request = client.build_request(
            "POST", attempt.url, content=attempt.body, headers=headers_of(attempt, timestamp)
        )
        response = await client.send(request, stream=True, follow_redirects=False)
        try:
            taken = b""
            async for part in response.aiter_raw(ANSWER_BYTES_MAX):
                taken += part
                if len(taken) >= ANSWER_BYTES_MAX:
                    break
        finally:
            await response.aclose()
        asked = asked_seconds(
            response.status_code, response.headers.get("retry-after"), datetime.now(UTC)
        )
        return response.status_code, taken[:ANSWER_BYTES_MAX].decode("utf-8", "replace"), asked

    def _client(self, url: str) -> httpx.AsyncClient:
        """The client of a URL's host. Raises WebhookRefused: settings may have become stricter
        since the URL was taken."""
        parts = checked_url(url, allow_private=self._allow_private)
        key = (parts.scheme, parts.netloc.lower())
        client = self._clients.get(key)
        if client is None:
            client = self._clients[key] = httpx.AsyncClient(
                transport=Pinned(self._tls, self._resolver, self._allow_private),
                trust_env=False,
                timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            )
            if len(self._clients) > HOSTS_MAX:
                _, oldest = self._clients.popitem(last=False)
                task = asyncio.create_task(oldest.aclose())
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)
        self._clients.move_to_end(key)
        return client

    async def close(self) -> None:
        """Close all connections."""
        clients: Sequence[httpx.AsyncClient] = list(self._clients.values())
        self._clients.clear()
        for client in clients:
            await client.aclose()
