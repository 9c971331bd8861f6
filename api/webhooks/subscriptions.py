"""Subscriptions: who is told of which events. Reading and changing them, for the API and commands.

Whoever changes one locks its row, as the deliverer does with what it writes. Secrets are shown
once, when they are made; they have to be kept as they are, for signing needs them.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from msgspec import Struct
from psycopg import Connection, sql

from api.webhooks.addresses import refuse_private
from api.webhooks.errors import WebhookRefused
from api.webhooks.matching import checked_types
from api.webhooks.schedule import FORMER_SECRET_SECONDS
from api.webhooks.signing import SECRET_BYTES, secret_text

CHANNEL = "points_webhooks"
"""Where the deliverer hears that a subscription or delivery was changed by somebody else."""

SUBSCRIPTIONS_MAX = 50
"""Of a ledger: with what is under way for each, a bound for the whole deliverer."""

DESCRIPTION_CHARACTERS_MAX = 500

BY_HAND = "by hand"


class Webhook(Struct, frozen=True, kw_only=True):
    """A subscription as it is shown. `waiting`: deliveries made and not yet taken; `behind`: events
    of the log that were not looked at for it. `failing_since`: when the first attempt failed since
    one last succeeded; `failures`: how many have failed since then. `paused_because`: by hand,
    gone (it answered 410), dead (nothing was taken for a day and a half). `former_secret_until`:
    until then the secret before the last rotation signs, too."""

    id: str
    url: str
    types: list[str]
    description: str
    status: str
    paused_because: str | None
    paused_at: datetime | None
    created_at: datetime
    created_by: str
    waiting: int
    behind: int
    failures: int
    failing_since: datetime | None
    succeeded_at: datetime | None
    former_secret_until: datetime | None


class NewWebhook(Struct, frozen=True):
    """A subscription that was made, or given another secret. `secret` is shown only now."""

    webhook: Webhook
    secret: str


class Wanted(NamedTuple):
    """What is to be changed; None stays."""

    url: str | None = None
    types: Sequence[str] | None = None
    description: str | None = None


_SHOWN = (
    "SELECT s.id, s.url, s.types, s.description, s.status, s.paused_because, s.paused_at,"
    " s.created_at, s.created_by, s.waiting, coalesce((SELECT sum(h.position - p.position)"
    "  FROM api.subscription_positions p JOIN ledger.heads h USING (shard)"
    "  WHERE p.subscription_id = s.id), 0)::bigint, s.failures, s.failing_since, s.succeeded_at,"
    " CASE WHEN s.former_until > now() THEN s.former_until END"
    " FROM api.subscriptions s WHERE s.status <> 'deleted'"
)


def _shown(row: Sequence[Any]) -> Webhook:
    return Webhook(**dict(zip(Webhook.__struct_fields__, row, strict=True)))


def every(connection: Connection[Any]) -> list[Webhook]:
    """All, oldest first."""
    rows = connection.execute(_SHOWN.encode() + b" ORDER BY s.created_at, s.id")
    return [_shown(row) for row in rows]


def one(connection: Connection[Any], id_: str) -> Webhook:
    """Raises WebhookRefused (unknown_webhook)."""
    row = connection.execute(_SHOWN.encode() + b" AND s.id = %s", [id_]).fetchone()
    if row is None:
        raise unknown(id_)
    return _shown(row)


def unknown(id_: str) -> WebhookRefused:
    """There is none of this id."""
    return WebhookRefused(
        f"There is no webhook {id_}: GET /v1/webhooks lists all.", "unknown_webhook"
    )


def add(
    connection: Connection[Any],
    url: str,
    types: Sequence[str],
    description: str,
    created_by: str,
    *,
    allow_private: bool,
) -> NewWebhook:
    """Tell `url` of events of these types, from now on. Raises WebhookRefused."""
    refuse_private(url, allow_private=allow_private)
    chosen = checked_types(types)
    id_, secret = f"wh_{secrets.token_hex(10)}", secrets.token_bytes(SECRET_BYTES)
    with connection.transaction():
        connection.execute("LOCK TABLE api.subscriptions IN SHARE ROW EXCLUSIVE MODE")
        row = connection.execute(
            "SELECT count(*) FROM api.subscriptions WHERE status <> 'deleted'"
        ).fetchone()
        assert row is not None
        if row[0] >= SUBSCRIPTIONS_MAX:
            raise WebhookRefused(
                f"There are {SUBSCRIPTIONS_MAX} webhooks: remove one that is not needed.",
                "webhooks_full",
            )
        connection.execute(
            "INSERT INTO api.subscriptions (id, url, types, description, secret, created_by)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            [id_, url, chosen, _text(description), secret, created_by],
        )
        connection.execute(
            "INSERT INTO api.subscription_positions (subscription_id, shard, position)"
            " SELECT %s, shard, position FROM ledger.heads",
            [id_],
        )
        made = one(connection, id_)
    wake(connection)
    return NewWebhook(made, secret_text(secret))


def change(
    connection: Connection[Any], id_: str, wanted: Wanted, *, allow_private: bool
) -> Webhook:
    """Change what is named. What was made already keeps its content and goes to the new URL.
    Raises WebhookRefused."""
    values: dict[str, object] = {}
    if wanted.url is not None:
        refuse_private(wanted.url, allow_private=allow_private)
        values["url"] = wanted.url
    if wanted.types is not None:
        values["types"] = checked_types(wanted.types)
    if wanted.description is not None:
        values["description"] = _text(wanted.description)
    with connection.transaction():
        lock(connection, id_)
        if values:
            set_ = sql.SQL(", ").join(
                sql.SQL("{} = %s").format(sql.Identifier(name)) for name in values
            )
            connection.execute(
                sql.SQL("UPDATE api.subscriptions SET {} WHERE id = %s").format(set_),
                [*values.values(), id_],
            )
    wake(connection)
    return one(connection, id_)


def rotate(connection: Connection[Any], id_: str) -> NewWebhook:
    """A new secret; the present one signs beside it for a day, one before that no more. Raises
    WebhookRefused."""
    secret = secrets.token_bytes(SECRET_BYTES)
    with connection.transaction():
        lock(connection, id_)
        connection.execute(
            "UPDATE api.subscriptions SET former_secret = secret, secret = %s,"
            " former_until = now() + make_interval(secs => %s) WHERE id = %s",
            [secret, FORMER_SECRET_SECONDS, id_],
        )
    return NewWebhook(one(connection, id_), secret_text(secret))


def pause(connection: Connection[Any], id_: str, because: str = BY_HAND) -> Webhook:
    """Send nothing from now on; nothing is lost. Raises WebhookRefused."""
    with connection.transaction():
        lock(connection, id_)
        connection.execute(
            "UPDATE api.subscriptions SET status = 'paused', paused_because = %s,"
            " paused_at = now() WHERE id = %s AND status = 'active'",
            [because, id_],
        )
    return one(connection, id_)


def resume(connection: Connection[Any], id_: str) -> Webhook:
    """Go on where it stopped, at once: what waits for another attempt has all attempts again.
    Raises WebhookRefused."""
    with connection.transaction():
        lock(connection, id_)
        connection.execute(
            "UPDATE api.subscriptions SET status = 'active', paused_because = NULL,"
            " paused_at = NULL, failures = 0, failing_since = NULL WHERE id = %s",
            [id_],
        )
        connection.execute(
            "UPDATE api.deliveries SET due_at = now(), retries = 0"
            " WHERE subscription_id = %s AND status = 'waiting' AND due_at IS NOT NULL",
            [id_],
        )
    wake(connection)
    return one(connection, id_)


def remove(connection: Connection[Any], id_: str) -> None:
    """End it. What it leaves is deleted by the deliverer, bit by bit. Raises WebhookRefused."""
    with connection.transaction():
        lock(connection, id_)
        connection.execute("UPDATE api.subscriptions SET status = 'deleted' WHERE id = %s", [id_])


def lock(connection: Connection[Any], id_: str) -> None:
    """Raises WebhookRefused (unknown_webhook)."""
    row = connection.execute(
        "SELECT 1 FROM api.subscriptions WHERE id = %s AND status <> 'deleted' FOR UPDATE", [id_]
    ).fetchone()
    if row is None:
        raise unknown(id_)


def _text(description: str) -> str:
    if len(description) > DESCRIPTION_CHARACTERS_MAX or "\x00" in description:
        raise WebhookRefused(
            f"A description has at most {DESCRIPTION_CHARACTERS_MAX} characters.",
            "description_too_long",
        )
    return description


def wake(connection: Connection[Any]) -> None:
    """Tell the deliverer that there is news."""
    connection.execute("SELECT pg_notify(%s, '')", [CHANNEL])
