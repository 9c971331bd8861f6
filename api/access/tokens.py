"""Bearer tokens of an OIDC issuer: who somebody is, and which roles the issuer gave.

Taken is a token that the issuer signed with one of its published keys, for this audience, and that
is valid now. The algorithm must be the key's: `none` and shared secrets have no place to come in.
"""

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import jwt
from jwt.exceptions import (
    ExpiredSignatureError,
    ImmatureSignatureError,
    InvalidAudienceError,
    InvalidIssuerError,
    InvalidSignatureError,
    MissingRequiredClaimError,
    PyJWTError,
)
from msgspec import Struct

from api.access.issuer import ALLOWED, Issuer, IssuerUnavailable
from api.problems import Problem
from api.scopes import ROLES

TOKEN_CHARACTERS_MAX = 8 << 10
"""Tokens have one or two kilobytes, with many groups some more."""

LEEWAY_SECONDS = 30
"""How far the issuer's clock may be from ours."""

VERIFIED_SECONDS = 60.0
"""How long a token that was checked is known without checking its signature again."""

VERIFIED_MAX = 10_000
"""Tokens known so; the oldest leave first."""

REQUIRED = ("exp", "iss", "aud", "sub")
"""Claims without which a token is refused; `nbf` and `iat` are checked when they are there."""

ID_CHARACTERS = 32
"""Of a person's id, in hexadecimal: 128 bits."""


class Person(Struct, frozen=True):
    """Who a token is of. `id`: `oidc:` and a hash, the same for ever; `until`: Unix time."""

    id: str
    roles: tuple[str, ...]
    until: float


def person_id(issuer: str, subject: str) -> str:
    """A person's id: issuer and subject together, hashed. A subject may be an e-mail address, which
    has no place in the ledger, and is unique with its issuer only."""
    digest = hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()
    return f"oidc:{digest[:ID_CHARACTERS]}"


class Tokens:
    """Checks tokens. `roles_claim`: the claim's name, or a path like realm_access.roles."""

    def __init__(
        self,
        issuer: Issuer,
        audience: str,
        roles_claim: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._issuer = issuer
        self._audience = audience
        self._roles_claim = roles_claim
        self._clock = clock
        self._verified: OrderedDict[bytes, tuple[Person, float]] = OrderedDict()

    def known(self, token: str) -> Person | None:
        """Whose token it is, when it was checked a moment ago and has not ended."""
        found = self._verified.get(_digest(token))
        if found is None:
            return None
        person, checked_at = found
        now = self._clock()
        if not 0 <= now - checked_at < VERIFIED_SECONDS or now >= person.until:
            del self._verified[_digest(token)]
            return None
        return person

    async def person(self, token: str) -> Person:
        """Who sent it. Raises Problem (401 bad_token, token_expired; 503 issuer_unavailable)."""
        try:
            header = jwt.get_unverified_header(token)
        except PyJWTError:
            raise refused("it is no signed token") from None
        algorithm, kid = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or algorithm not in ALLOWED:
            raise refused("its algorithm is not allowed")
        if "crit" in header or header.get("b64") is False:
            raise refused("it asks for an extension that is not known")
        try:
            key = await self._issuer.key(kid, algorithm)
        except IssuerUnavailable:
            raise Problem(
                503,
                "issuer_unavailable",
                "The issuer's keys cannot be had now: try again in half a minute.",
                headers={"Retry-After": "30"},
            ) from None
        if key is None:
            raise refused("its key is none of the issuer's")
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key=key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._issuer.name,
                leeway=LEEWAY_SECONDS,
                options={"require": list(REQUIRED)},
            )
        except ExpiredSignatureError:
            raise refused("it has expired: sign in again", "token_expired") from None
        except PyJWTError as error:
            raise refused(_reason(error)) from None
        person = Person(
            person_id(self._issuer.name, str(claims["sub"])),
            tuple(sorted(roles_of(claims, self._roles_claim))),
            float(claims["exp"]) + LEEWAY_SECONDS,
        )
        self._verified[_digest(token)] = (person, self._clock())
        if len(self._verified) > VERIFIED_MAX:
            self._verified.popitem(last=False)
        return person


def roles_of(claims: dict[str, Any], name: str) -> frozenset[str]:
    """The roles of ours that the claim names: a list, or a text with blanks between. What else an
    issuer has there is not ours to judge."""
    found: Any = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, dict) else None
    if isinstance(found, str):
        found = found.split()
    if not isinstance(found, list):
        return frozenset()
    return frozenset(each for each in found if isinstance(each, str) and each in ROLES)


def refused(why: str, code: str = "bad_token") -> Problem:
    """The problem of a token that is not taken."""
    return Problem(401, code, f"The token is refused: {why}.")


_REASONS: tuple[tuple[type[PyJWTError], str], ...] = (
    (InvalidSignatureError, "its signature is wrong"),
    (InvalidAudienceError, "it is for another audience"),
    (InvalidIssuerError, "it is of another issuer"),
    (ImmatureSignatureError, "it is not valid yet"),
    (MissingRequiredClaimError, f"it lacks one of the claims {', '.join(REQUIRED)}"),
)


def _reason(error: PyJWTError) -> str:
    return next((text for kind, text in _REASONS if isinstance(error, kind)), "it is malformed")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
