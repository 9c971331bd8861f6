"""The public keys of the OIDC issuer: fetched, kept, fetched again when a token names a new one.

Whoever sends a token with an invented key id must not make this process hammer the issuer: it is
asked at most every `REFETCH_SECONDS`. While it does not answer, the keys that are known go on.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from ledger.settings import is_safe_url

log = logging.getLogger(__name__)

FRESH_SECONDS = 3_600.0
"""How old the keys may be before they are fetched again: a key that the issuer withdrew is taken
for so long."""

STALE_SECONDS = 86_400.0
"""How old they may be while the issuer does not answer."""

REFETCH_SECONDS = 30.0
"""Shortest time between two attempts."""

TIMEOUT = httpx.Timeout(5.0, connect=3.0)
"""Seconds for one request: a person waits for the sign-in."""

DOCUMENT_SECONDS = 8.0
"""For a whole document, however slowly it drips."""

DOCUMENT_BYTES_MAX = 256 << 10
"""A set of keys has some kilobytes."""

KEYS_MAX = 100
"""Keys of one issuer; they have two or three."""

RSA_BITS_MIN = 2_048

ALGORITHMS = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""By type and curve of a key what it may sign with. Nothing with a shared secret is among it: who
can check such a token can also make one."""

ALLOWED = frozenset(name for names in ALGORITHMS.values() for name in names)


class IssuerUnavailable(Exception):
    """The issuer's keys cannot be had."""


class Issuer:
    """The keys of one issuer. `jwks_url`: where they are; None: its discovery document says it."""

    def __init__(
        self, issuer: str, jwks_url: str | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = issuer
        self._jwks_url = jwks_url
        self._clock = clock
        self._keys: list[tuple[str | None, dict[str, PyJWK]]] = []
        self._read_at: float | None = None
        self._tried_at: float | None = None
        self._fetching = asyncio.Lock()

    async def key(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """The key with that id which may sign so; without an id the issuer's only one. Raises
        IssuerUnavailable."""
        if self._age() >= FRESH_SECONDS:
            await self._fetch()
        if self._age() >= STALE_SECONDS:
            raise IssuerUnavailable
        found = self._find(kid, algorithm)
        if found is None and await self._fetch():
            found = self._find(kid, algorithm)
        return found

    def _age(self) -> float:
        return float("inf") if self._read_at is None else self._clock() - self._read_at

    def _find(self, kid: str | None, algorithm: str) -> PyJWK | None:
        if kid is None:
            fitting = [keys[algorithm] for _, keys in self._keys if algorithm in keys]
            return fitting[0] if len(fitting) == 1 else None
        for name, keys in self._keys:
            if name == kid and algorithm in keys:
                return keys[algorithm]
        return None

    async def _fetch(self) -> bool:
        """Fetch the keys unless that was just tried; whether there are fresh ones."""
        asked_at = self._clock()
        async with self._fetching:
            if self._read_at is not None and self._read_at >= asked_at:
                return True  # fetched while this waited
            if self._tried_at is not None and self._clock() - self._tried_at < REFETCH_SECONDS:
                return False
            self._tried_at = self._clock()
            try:
                async with asyncio.timeout(DOCUMENT_SECONDS):
                    keys = await self._read()
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
                log.warning(
                    "the issuer's keys cannot be fetched",
                    extra={"issuer": self.name, "reason": f"{type(error).__name__}: {error}"},
                )
                return False
            self._keys, self._read_at = keys, self._clock()
            return True

    async def _read(self) -> list[tuple[str | None, dict[str, PyJWK]]]:
        """Raises httpx.HTTPError, ValueError."""
        async with httpx.AsyncClient(timeout=TIMEOUT, follow_redirects=False) as client:
            url = self._jwks_url
            if url is None:
                place = self.name.rstrip("/") + "/.well-known/openid-configuration"
                found = await _document(client, place)
                if found.get("issuer") != self.name:
                    raise ValueError("the discovery document is another issuer's")
                url = found.get("jwks_uri")
                if not isinstance(url, str) or not is_safe_url(url):
                    raise ValueError("the discovery document names no jwks_uri with https")
            document = await _document(client, url)
        listed = document.get("keys")
        if not isinstance(listed, list):
            raise ValueError("the document holds no list of keys")
        keys = [(_kid(each), usable(each)) for each in listed[:KEYS_MAX] if isinstance(each, dict)]
        return [(kid, by_name) for kid, by_name in keys if by_name]


def usable(jwk: dict[str, Any]) -> dict[str, PyJWK]:
    """By algorithm what the key checks signatures with; nothing when it is not made for that."""
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        return {}
    kind = str(jwk.get("kty"))
    curve = None if kind == "RSA" else str(jwk.get("crv"))
    names: Iterable[str] = ALGORITHMS.get((kind, curve), ())
    if "alg" in jwk:
        names = [name for name in names if name == jwk["alg"]]
    found = {}
    for name in names:
        try:
            key = PyJWK(jwk, algorithm=name)
        except (PyJWTError, ValueError):  # damaged: the others go on
            return {}
        if kind == "RSA" and key.key.key_size < RSA_BITS_MIN:
            return {}
        found[name] = key
    return found


def _kid(jwk: dict[str, Any]) -> str | None:
    kid = jwk.get("kid")
    return kid if isinstance(kid, str) else None


_ASKED = {"Accept": "application/json", "Accept-Encoding": "identity"}
"""Not compressed: the bound is of what arrives, and a small answer must not unfold to a large one.
"""


async def _document(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """Raises httpx.HTTPError, ValueError."""
    async with client.stream("GET", url, headers=_ASKED) as response:
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"{urlsplit(url).netloc} answered {response.status_code}")
        text = bytearray()
        async for part in response.aiter_raw():
            text += part
            if len(text) > DOCUMENT_BYTES_MAX:
                raise ValueError("the document is too long")
    try:
        return msgspec.json.decode(bytes(text), type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"the document is no JSON object: {error}") from None
