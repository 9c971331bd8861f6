"""API keys: made, listed, exchanged, withdrawn, by whoever administers access.

Over HTTP no key is made that could make keys or approve, and none of a person: who administers keys
must not be able to become a second person. The command line, with the database's login, can.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import UNSET, Meta, Struct, UnsetType
from starlette.responses import Response

from api.access import keys, layer
from api.access.keys import Key, KeyRefused, Made
from api.caller import Caller, require
from api.documents import body_of, json_of, operation
from api.fresh import fresh, question
from api.problems import Problem
from api.scopes import ROLES, Scope, scopes_of
from ledger.database import translated
from schemas.fields import Time

group = APIRouter(prefix="/v1/keys", tags=["access"])

NOT_BY_HTTP = frozenset((Scope.ACCESS_ADMIN, Scope.APPROVE))
"""Scopes of keys that are made at the command line only."""

_ROLES = sorted(role for role, scopes in ROLES.items() if not scopes & NOT_BY_HTTP)
_SCOPES = sorted(frozenset(Scope) - NOT_BY_HTTP)

_NO_STORE = {"Cache-Control": "no-store"}

KeyId = Annotated[str, Path(json_schema_extra={"pattern": "^[A-Za-z0-9]+$"})]
Administrator = Annotated[Caller, Depends(require(Scope.ACCESS_ADMIN))]


class NewKey(Struct, frozen=True, forbid_unknown_fields=True):
    """A key to be made. `client`: the system that will use it, its name stays when the key is
    exchanged; `expires_at`: null for never; `requests_per_second`: the setting's when left out."""

    client: Annotated[str, Meta(extra_json_schema={"pattern": keys.CLIENT_PATTERN})]
    expires_at: Time | None
    roles: list[Annotated[str, Meta(extra_json_schema={"enum": _ROLES})]] = []
    scopes: list[Annotated[str, Meta(extra_json_schema={"enum": _SCOPES})]] = []
    requests_per_second: (
        Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": keys.RATE_MAX})] | None
    ) = None


class Rotation(Struct, frozen=True, forbid_unknown_fields=True):
    """How a key is exchanged. `grace_seconds`: how long the old one goes on."""

    grace_seconds: Annotated[
        int, Meta(extra_json_schema={"minimum": 0, "maximum": keys.GRACE_SECONDS_MAX})
    ]
    expires_at: Time | None


class KeyAnswer(Struct, frozen=True, omit_defaults=True):
    """A key, without its secret. `state`: valid, expired or revoked; `person`: whose it is, left
    out for a machine's; `last_used_at`: to the minute."""

    id: str
    client: str
    state: str
    roles: list[str]
    scopes: list[str]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    person: str | UnsetType = UNSET
    requests_per_second: int | UnsetType = UNSET
    revoked_at: datetime | UnsetType = UNSET
    revoked_by: str | UnsetType = UNSET
    rotated_to: str | UnsetType = UNSET
    last_used_at: datetime | UnsetType = UNSET


class MadeAnswer(Struct, frozen=True):
    """A new key. `secret`: what is sent as `Authorization: Bearer …`; it is told this once."""

    secret: str
    key: KeyAnswer


class KeysAnswer(Struct, frozen=True):
    """All keys."""

    items: list[KeyAnswer]


def told(key: Key) -> KeyAnswer:
    """The key as it is told."""

    def given(value: Any) -> Any:
        return UNSET if value is None else value

    return KeyAnswer(
        *(key.id, key.client, key.state_at(datetime.now(UTC)), key.roles, key.scopes),
        *(key.created_at, key.created_by, key.expires_at, given(key.person)),
        *(given(key.requests_per_second), given(key.revoked_at), given(key.revoked_by)),
        *(given(key.rotated_to), given(key.last_used_at)),
    )


@group.post(
    "",
    name="create_key",
    operation_id="create_key",
    summary="Make an API key; its secret is in this answer and nowhere else.",
    **operation(body=NewKey, answer=MadeAnswer, status=201),
)
async def create(
    request: Request,
    caller: Administrator,
    new: Annotated[NewKey, Depends(body_of(NewKey))],
) -> Response:
    """Raises KeyRefused."""
    try:
        wanted = scopes_of(new.roles, new.scopes)
    except (KeyError, ValueError):
        wanted = frozenset()  # refused below, by its name
    if wanted & NOT_BY_HTTP:
        raise KeyRefused(
            f"A key with {' or '.join(sorted(NOT_BY_HTTP))} is made at the command line only.",
            "command_line_only",
        )
    with translated():
        async with layer.of(request).pool.connection() as connection:
            made = await keys.create(connection, new, by=caller.name)
    return _shown_once(made)


@group.get(
    "",
    name="list_keys",
    operation_id="list_keys",
    summary="All keys that can be used, without their secrets.",
    **question(KeysAnswer),
)
async def list_keys(
    request: Request,
    _: Administrator,
    ended: Annotated[bool, Query(description="Also those that were revoked or expired.")] = False,
) -> Response:
    """Their state, roles, scopes, last use."""
    with translated():
        async with layer.of(request).pool.connection() as connection:
            found = await keys.listed(connection, ended=ended)
    return fresh(request, KeysAnswer([told(key) for key in found]))


@group.post(
    "/{key_id}/rotation",
    name="rotate_key",
    operation_id="rotate_key",
    summary="Exchange a key for a new one of the same client; the old one goes on for a while.",
    **operation(body=Rotation, answer=MadeAnswer, status=201, problems=(404,)),
)
async def rotate(
    request: Request,
    caller: Administrator,
    key_id: KeyId,
    how: Annotated[Rotation, Depends(body_of(Rotation))],
) -> Response:
    """Raises KeyRefused."""
    if not 0 <= how.grace_seconds <= keys.GRACE_SECONDS_MAX:
        raise Problem(
            422,
            "bad_grace",
            f"The grace is 0 to {keys.GRACE_SECONDS_MAX} seconds.",
            path="$.grace_seconds",
        )
    with translated():
        async with layer.of(request).pool.connection() as connection:
            made = await keys.rotate(
                connection,
                _id(key_id),
                grace=timedelta(seconds=how.grace_seconds),
                expires_at=how.expires_at,
                by=caller.name,
                personal=False,
            )
    return _shown_once(made)


@group.post(
    "/{key_id}/revocation",
    name="revoke_key",
    operation_id="revoke_key",
    summary="End a key; every process refuses it within five seconds.",
    **operation(answer=KeyAnswer, problems=(404,)),
)
async def revoke(request: Request, caller: Administrator, key_id: KeyId) -> Response:
    """Raises KeyRefused (no_such_key)."""
    with translated():
        async with layer.of(request).pool.connection() as connection:
            key = await keys.revoke(connection, _id(key_id), by=caller.name)
    return json_of(told(key))


def _shown_once(made: Made) -> Response:
    return json_of(MadeAnswer(made.secret, told(made.key)), 201, _NO_STORE)


def _id(key_id: str) -> str:
    """What cannot be a key's id is not asked of the database. Raises KeyRefused."""
    if not key_id.isascii() or not key_id.isalnum():
        raise KeyRefused("There is no such key: list shows all.", "no_such_key")
    return key_id
