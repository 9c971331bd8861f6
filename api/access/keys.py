"""API keys in the database: made, listed, exchanged, withdrawn.

A client has one key at a time, or two while it is exchanged: its idempotency keys are known under
its name, so the new key must stand for the very same client.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg.rows import class_row

from api.access import secret
from api.scopes import ROLES, Scope, scopes_of
from ledger.errors import LedgerError
from schemas.fields import ID_PATTERN

Connection = AsyncConnection[Any]

CLIENT_CHARACTERS_MAX = 64

KEYS_MAX = 10_000
"""Keys of one ledger that can be used: a chain's tills; `list` shows them all."""

GRACE_SECONDS_MAX = 30 * 86_400
"""Longest time for which an exchanged key goes on: a month to reach the last till."""

RATE_MAX = 1_000_000

YEAR_MAX = 2_200
"""In which a key ends at the latest: the last year that the ledger knows."""

_LOCK = 0x4170694B657973
"""Of an advisory lock ("ApiKeys"): keys are made one after the other."""

CLIENT_PATTERN = rf"^[A-Za-z0-9._-]{{1,{CLIENT_CHARACTERS_MAX}}}$"

_CLIENT = re.compile(CLIENT_PATTERN)
_PERSON = re.compile(ID_PATTERN)

_SELECT = (
    "SELECT id, client, person, roles, scopes, requests_per_second, created_at, created_by,"
    " expires_at, revoked_at, revoked_by, rotated_to, last_used_at FROM api.keys WHERE "
)


class KeyRefused(LedgerError):
    """A key that is not made or changed, and why."""

    code = "key_refused"


class Key(Struct, frozen=True, kw_only=True):
    """What is told of a key; its secret is told once, when it is made. `person`: whose it is, None
    for a machine's; `rotated_to`: the key that took its place; times are UTC."""

    id: str
    client: str
    person: str | None
    roles: list[str]
    scopes: list[str]
    requests_per_second: int | None
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str | None
    rotated_to: str | None
    last_used_at: datetime | None

    def state_at(self, now: datetime) -> str:
        """valid, expired or revoked."""
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "expired"
        return "valid"


class Made(Struct, frozen=True):
    """A key that was just made. `secret`: the whole text, told this once."""

    key: Key
    secret: str


class Asked(Protocol):
    """What a new key is to be."""

    @property
    def client(self) -> str: ...
    @property
    def roles(self) -> Sequence[str]: ...
    @property
    def scopes(self) -> Sequence[str]: ...
    @property
    def expires_at(self) -> datetime | None: ...
    @property
    def requests_per_second(self) -> int | None: ...


async def create(
    connection: Connection, asked: Asked, *, by: str, person: str | None = None
) -> Made:
    """Make the first key of a client, or one after all before have ended.

    Raises KeyRefused: bad_client, bad_person, bad_role, bad_scope, bad_rate, nothing_allowed,
    in_the_past, person_needed (who approves is a person), client_has_key, too_many_keys.
    """
    _check(asked, person)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        valid = await _valid(connection)
        for key in valid:
            if key.client == asked.client:
                raise KeyRefused(
                    f"{asked.client} has the key {key.id}: exchange it (rotate), or revoke it"
                    " first.",
                    "client_has_key",
                )
        if len(valid) >= KEYS_MAX:
            raise KeyRefused(
                f"{KEYS_MAX} keys are valid: revoke those that nobody uses.", "too_many_keys"
            )
        return await _insert(
            connection,
            client=asked.client,
            person=person,
            roles=sorted(set(asked.roles)),
            scopes=sorted(set(asked.scopes)),
            requests_per_second=asked.requests_per_second,
            expires_at=asked.expires_at,
            by=by,
        )


async def rotate(
    connection: Connection,
    key_id: str,
    *,
    grace: timedelta,
    expires_at: datetime | None,
    by: str,
    personal: bool,
) -> Made:
    """Make a new key of the same client that may do the same; the old one goes on for `grace` and
    not beyond its own end. `expires_at`: of the new one. `personal`: a person's key may be
    exchanged too.

    Raises KeyRefused: no_such_key, key_ended, key_rotated, bad_grace, in_the_past, personal_key.
    """
    if not timedelta(0) <= grace <= timedelta(seconds=GRACE_SECONDS_MAX):
        raise KeyRefused(f"The grace is 0 to {GRACE_SECONDS_MAX} seconds.", "bad_grace")
    _check_end(expires_at)
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        old = await find(connection, key_id)
        if old.state_at(datetime.now(UTC)) != "valid":
            raise KeyRefused(f"Key {key_id} has ended: make a new one.", "key_ended")
        if old.rotated_to is not None:
            raise KeyRefused(
                f"Key {key_id} was exchanged for {old.rotated_to}: rotate that one.", "key_rotated"
            )
        if old.person is not None and not personal:
            raise KeyRefused(
                f"Key {key_id} is a person's: it is exchanged at the command line only, or whoever"
                " administers keys could act as that person.",
                "personal_key",
            )
        made = await _insert(
            connection,
            client=old.client,
            person=old.person,
            roles=old.roles,
            scopes=old.scopes,
            requests_per_second=old.requests_per_second,
            expires_at=expires_at,
            by=by,
        )
        await connection.execute(
            "UPDATE api.keys SET rotated_to = %s, expires_at = least(expires_at, now() + %s)"
            " WHERE id = %s",
            (made.key.id, grace, key_id),
        )
        return made


async def revoke(connection: Connection, key_id: str, *, by: str) -> Key:
    """End a key for good. Once more is no change. Raises KeyRefused (no_such_key)."""
    await connection.execute(
        "UPDATE api.keys SET revoked_at = now(), revoked_by = %s"
        " WHERE id = %s AND revoked_at IS NULL",
        (by, key_id),
    )
    return await find(connection, key_id)


async def find(connection: Connection, key_id: str) -> Key:
    """One key. Raises KeyRefused (no_such_key)."""
    found = await _read(connection, "id = %s", (key_id,))
    if not found:
        raise KeyRefused(f"There is no key {key_id!r}: list shows all.", "no_such_key")
    return found[0]


async def listed(connection: Connection, *, ended: bool = False) -> list[Key]:
    """The keys that can be used, by client; `ended`: those that no longer can, too."""
    if not ended:
        return await _valid(connection)
    return await _read(connection, "true ORDER BY client, created_at LIMIT %s", (10 * KEYS_MAX,))


async def _valid(connection: Connection) -> list[Key]:
    return await _read(
        connection,
        "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"
        " ORDER BY client, created_at",
        (),
    )


async def _read(connection: Connection, which: str, values: tuple[object, ...]) -> list[Key]:
    async with connection.cursor(row_factory=class_row(Key)) as cursor:
        await cursor.execute((_SELECT + which).encode(), values)
        return await cursor.fetchall()


async def _insert(
    connection: Connection,
    *,
    client: str,
    person: str | None,
    roles: Sequence[str],
    scopes: Sequence[str],
    requests_per_second: int | None,
    expires_at: datetime | None,
    by: str,
) -> Made:
    given = secret.made()
    await connection.execute(
        "INSERT INTO api.keys (id, client, person, secret_hash, roles, scopes,"
        " requests_per_second, created_by, expires_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            *(given.id, client, person, given.digest, list(roles), list(scopes)),
            *(requests_per_second, by, expires_at),
        ),
    )
    return Made(await find(connection, given.id), given.text)


def _check(asked: Asked, person: str | None) -> None:
    if not _CLIENT.fullmatch(asked.client):
        raise KeyRefused(
            f"A client's name has 1 to {CLIENT_CHARACTERS_MAX} of the characters"
            " A-Z a-z 0-9 . _ - only.",
            "bad_client",
        )
    if person is not None and not _PERSON.fullmatch(person):
        raise KeyRefused(
            "A person is an id of 1 to 128 of the characters A-Z a-z 0-9 . _ : - only, no e-mail"
            " address.",
            "bad_person",
        )
    for role in asked.roles:
        if role not in ROLES:
            raise KeyRefused(f"{role!r} is no role: take one of {_all(ROLES)}.", "bad_role")
    for scope in asked.scopes:
        if scope not in frozenset(Scope):
            raise KeyRefused(f"{scope!r} is no scope: take one of {_all(Scope)}.", "bad_scope")
    allowed = scopes_of(asked.roles, asked.scopes)
    if not allowed:
        raise KeyRefused("The key could do nothing: give it a role or a scope.", "nothing_allowed")
    if Scope.APPROVE in allowed and person is None:
        raise KeyRefused(
            "Only a person approves: make the key at the command line with --person, or leave the"
            " scope approve out.",
            "person_needed",
        )
    rate = asked.requests_per_second
    if rate is not None and not 1 <= rate <= RATE_MAX:
        raise KeyRefused(f"Requests per second are 1 to {RATE_MAX}.", "bad_rate")
    _check_end(asked.expires_at)


def _check_end(expires_at: datetime | None) -> None:
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise KeyRefused("The key would have ended before it began.", "in_the_past")
    if expires_at is not None and expires_at.year > YEAR_MAX:
        raise KeyRefused(f"A key ends by {YEAR_MAX}, or never: leave the end null.", "bad_end")


def _all(names: Any) -> str:
    return ", ".join(str(name) for name in names)
