"""The access layer as the operations see it: who calls, how often, and what is noted of it."""

import asyncio
import ipaddress
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NoReturn

from fastapi import Request
from psycopg_pool import AsyncConnectionPool

from api.access import known, refusals, secret
from api.access.issuer import Issuer
from api.access.known import KnownKeys
from api.access.rates import BURST_SECONDS, Buckets
from api.access.refusals import Refusals
from api.access.tokens import TOKEN_CHARACTERS_MAX, Tokens
from api.access.trail import Note, Trail, now
from api.caller import Caller
from api.correlation import correlation_of
from api.problems import Problem
from api.scopes import Scope, scopes_of
from api.tasks import ended
from ledger.database import open_pool
from ledger.errors import LedgerError
from ledger.settings import Settings

log = logging.getLogger(__name__)

PART = "access"
"""The name among `State.parts`."""

CONNECTIONS_MAX = 4
"""Sessions for keys, trail and proposals, beside those of the ledger."""

FAILURES_PER_SECOND = 1
FAILURES_BURST = 20
"""Failed sign-ins of one address: twenty at once, then one a second. More are not looked at."""

PATH_CHARACTERS_MAX = 300
"""Of a path in the trail."""

IPV6_PREFIX = 64
"""Bits of an address that one customer of a provider has to himself behind it."""

_TEXTS = {
    "bad_key": "The key is not known: have one made.",
    "key_revoked": "The key was revoked: have another one made.",
    "key_expired": "The key has expired: have it exchanged or another one made.",
}


class Layer:
    """Authenticates callers and takes note of what they do."""

    def __init__(self, settings: Settings, pool: AsyncConnectionPool[Any]) -> None:
        self.pool = pool
        self.keys = KnownKeys(pool)
        self.trail = Trail(pool)
        self.refusals = Refusals(self.trail)
        self.tokens = _tokens_of(settings)
        self._rate = settings.api_rate_per_second
        self._callers = Buckets()
        self._failures = Buckets()

    async def caller(self, request: Request) -> Caller:
        """Who sent the request. Raises Problem (401, 429, 503), DatabaseUnavailable."""
        text = self._credentials(request)
        given = secret.parsed(text)
        if given is not None:
            caller, rate = await self._of_key(request, given)
        else:
            caller, rate = await self._of_token(request, text), None
        self._within_rate(request, caller, self._rate if rate is None else rate)
        return caller

    async def refused(self, request: Request, caller: Caller, scope: Scope) -> None:
        """Take note that a caller lacked a scope."""
        self.note_refusal(request, 403, f"scope_missing:{scope}", caller)

    async def privileged(self, request: Request, caller: Caller, scope: Scope) -> None:
        """Take note of a privileged call, before it is carried out. Raises DatabaseUnavailable:
        what cannot be noted is not done."""
        note = _note(request, "begun", caller, code=str(scope))
        await self.trail.write(note)

        def answered(status: int) -> None:
            self.trail.add(_note(request, "ended", caller, status=status, code=str(scope)))

        request.scope.setdefault("on_answer", []).append(answered)

    def note_refusal(
        self, request: Request, status: int, code: str, caller: Caller | None = None
    ) -> None:
        """Take note that a call was refused."""
        self.refusals.refused(_note(request, "refused", caller, status=status, code=code))

    def _credentials(self, request: Request) -> str:
        """What the caller shows. Raises Problem (401)."""
        sent = request.headers.getlist("authorization")
        if not sent:
            self._refuse(
                request,
                "not_signed_in",
                "Send an API key or a token: Authorization: Bearer ….",
                given=False,
            )
        scheme, _, text = sent[0].partition(" ")
        if len(sent) > 1 or scheme.lower() != "bearer" or not text:
            self._refuse(
                request, "bad_credentials", "Send one header: Authorization: Bearer KEY-OR-TOKEN."
            )
        if len(text) > TOKEN_CHARACTERS_MAX:
            self._refuse(
                request,
                "bad_credentials",
                f"Keys and tokens have at most {TOKEN_CHARACTERS_MAX} characters.",
            )
        return text.strip()

    async def _of_key(self, request: Request, given: secret.Secret) -> tuple[Caller, int | None]:
        if given.id not in self.keys:
            self._may_fail(request)
        key = await self.keys.find(given.id)
        if key is None:
            self._failed(request, "bad_key", _TEXTS["bad_key"])
        code = key.problem(given, datetime.now(UTC))
        if code == "bad_key":
            self._may_fail(request)
        if code is not None:
            self._failed(request, code, _TEXTS[code], who=_name(key.client), person=key.person)
        self.keys.used(key.id)
        caller = Caller(_name(key.client), key.client, key.scopes, key.person)
        return caller, key.requests_per_second

    async def _of_token(self, request: Request, text: str) -> Caller:
        if self.tokens is None or text.startswith(secret.PREFIX):
            self._may_fail(request)
            self._failed(request, "bad_key", _TEXTS["bad_key"])
        person = self.tokens.known(text)
        if person is None:
            self._may_fail(request)
            try:
                person = await self.tokens.person(text)
            except Problem as problem:
                if problem.status != 401:
                    raise
                self._failed(request, problem.code, problem.detail)
        return Caller(person.id, person.id, scopes_of(person.roles), person.id)

    def _within_rate(self, request: Request, caller: Caller, rate: int) -> None:
        """Raises Problem (429)."""
        left = self._callers.take(caller.client, rate, rate * BURST_SECONDS)
        if not left.allowed:
            self.note_refusal(request, 429, "rate_limited", caller)
            raise Problem(
                429,
                "rate_limited",
                f"More than {rate} requests a second: send it again in {left.wait_seconds} s, with"
                " the same Idempotency-Key.",
                headers=left.headers,
            )
        request.scope.setdefault("answer_headers", []).extend(
            (name.lower().encode(), value.encode()) for name, value in left.headers.items()
        )

    def _may_fail(self, request: Request) -> None:
        """Whether this address may try. Raises Problem (429)."""
        left = self._failures.take(_network(request), FAILURES_PER_SECOND, FAILURES_BURST, cost=0)
        if not left.allowed:
            self.note_refusal(request, 429, "too_many_failures")
            raise Problem(
                429,
                "too_many_failures",
                "Too many failed sign-ins from this address: correct the key or token, then wait.",
                headers={"Retry-After": str(max(1, left.wait_seconds))},
            )

    def _failed(
        self,
        request: Request,
        code: str,
        detail: str,
        *,
        who: str | None = None,
        person: str | None = None,
    ) -> NoReturn:
        """A sign-in that failed counts against its address."""
        self._failures.take(_network(request), FAILURES_PER_SECOND, FAILURES_BURST)
        self._refuse(request, code, detail, who=who, person=person)

    def _refuse(
        self,
        request: Request,
        code: str,
        detail: str,
        *,
        given: bool = True,
        who: str | None = None,
        person: str | None = None,
    ) -> NoReturn:
        caller = None if who is None else Caller(who, who, frozenset(), person)
        self.note_refusal(request, 401, code, caller)
        challenge = 'Bearer error="invalid_token"' if given else "Bearer"
        raise Problem(401, code, detail, headers={"WWW-Authenticate": challenge})


def of(request: Request) -> Layer:
    """That of the running application."""
    found: Layer = request.app.state.points.parts[PART]
    return found


@asynccontextmanager
async def open_access(settings: Settings) -> AsyncIterator[Layer]:
    """The layer, while the API runs."""
    pool = await open_pool(settings.model_copy(update={"database_connections": CONNECTIONS_MAX}))
    try:
        layer = Layer(settings, pool)
        layer.trail.start()
        tasks = [
            asyncio.create_task(_every(refusals.WINDOW_SECONDS, _flush, layer)),
            asyncio.create_task(_every(known.LAST_USE_SECONDS, _last_uses, layer)),
        ]
        try:
            yield layer
        finally:
            await ended(*tasks)
            layer.refusals.flush()
            await layer.trail.close()
            await _last_uses(layer)
    finally:
        await pool.close()


async def _every(seconds: float, work: Any, layer: Layer) -> None:
    while True:
        await asyncio.sleep(seconds)
        await work(layer)


async def _flush(layer: Layer) -> None:
    layer.refusals.flush()


async def _last_uses(layer: Layer) -> None:
    try:
        await layer.keys.write_last_uses()
    except LedgerError as error:  # they are written the next time
        log.warning("the last use of keys is not written", extra={"reason": error.message})


def _tokens_of(settings: Settings) -> Tokens | None:
    if settings.oidc_issuer is None:
        return None
    assert settings.oidc_audience is not None, "the settings ask for it"
    issuer = Issuer(settings.oidc_issuer, settings.oidc_jwks_url)
    return Tokens(issuer, settings.oidc_audience, settings.oidc_roles_claim)


def _name(client: str) -> str:
    """The name of a key's caller: no client can have that of a person of the issuer."""
    return f"key:{client}"


def _note(
    request: Request,
    kind: str,
    caller: Caller | None,
    *,
    status: int | None = None,
    code: str | None = None,
) -> Note:
    route = request.scope.get("route")
    return Note(
        at=now(),
        kind=kind,
        who=None if caller is None else caller.name,
        person=None if caller is None else caller.person,
        address=_network(request),
        operation=getattr(route, "operation_id", None),
        method=request.method,
        path=clean(request.url.path),
        correlation_id=correlation_of(request.scope),
        status=status,
        code=code,
    )


def clean(path: str) -> str:
    """A path as the trail has it: printable, short, without what looks like a key."""
    printable = "".join(c if c.isprintable() else "�" for c in path[: 2 * PATH_CHARACTERS_MAX])
    return secret.masked(printable)[:PATH_CHARACTERS_MAX]


def _network(request: Request) -> str:
    """Where the request comes from; of IPv6 the network, for one customer has all of it."""
    host = request.client.host if request.client is not None else ""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:64] or "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, IPV6_PREFIX), strict=False))
    return str(address)
