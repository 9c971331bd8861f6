"""Deliveries as they are shown, asked for by hand: a page of them, one again, a test."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct
from psycopg import Connection

from api.webhooks import subscriptions
from api.webhooks.errors import WebhookRefused
from api.webhooks.matching import TEST

CURSOR_PATTERN = r"^[0-9]{1,18}$"
"""A delivery's number."""

Status = Literal["waiting", "done", "failed"]


class Delivery(Struct, frozen=True, kw_only=True):
    """One delivery. `id`: the webhook-id that the receiver sees. `status`: waiting, done, failed
    (given up). `due_at`: when it is tried next; null while it is held back behind an earlier one of
    the member. `answer_status`, `answer`, `error`, `milliseconds`: of the last attempt; of the
    answer its first kilobyte. `payload`: what is sent."""

    id: str
    webhook_id: str
    type: str
    member_id: str | None
    shard: int | None
    position: int | None
    status: str
    due_at: datetime | None
    attempts: int
    created_at: datetime
    attempted_at: datetime | None
    ended_at: datetime | None
    answer_status: int | None
    answer: str | None
    error: str | None
    milliseconds: int | None
    payload: msgspec.Raw


class Page(Struct, frozen=True):
    """Deliveries, newest first. `next`: asks for the page after this one; null: there is none."""

    items: list[Delivery]
    next: str | None


_SHOWN = (
    "SELECT number, id, subscription_id, type, member_id, shard, position, status, due_at,"
    " attempts, created_at, attempted_at, ended_at, answer_status, answer, error, milliseconds,"
    " body FROM api.deliveries"
)


def _shown(row: Sequence[Any]) -> Delivery:
    fields: dict[str, Any] = dict(zip(Delivery.__struct_fields__, row[1:], strict=True))
    return Delivery(**{**fields, "payload": msgspec.Raw(fields["payload"])})


def page(
    connection: Connection[Any],
    webhook_id: str,
    *,
    status: Status | None = None,
    member_id: str | None = None,
    after: str | None = None,
    limit: int,
) -> Page:
    """A subscription's deliveries, newest first. Raises WebhookRefused (unknown_webhook,
    bad_cursor)."""
    subscriptions.one(connection, webhook_id)
    rows = connection.execute(
        _SHOWN.encode() + b" WHERE subscription_id = %s AND (%s::text IS NULL OR status = %s)"
        b" AND (%s::text IS NULL OR member_id = %s) AND (%s::bigint IS NULL OR number < %s)"
        b" ORDER BY number DESC LIMIT %s",
        [
            webhook_id,
            *[status] * 2,
            *[member_id] * 2,
            *[None if after is None else _number(after)] * 2,
            limit + 1,
        ],
    ).fetchall()
    more = len(rows) > limit
    return Page(
        [_shown(row) for row in rows[:limit]], str(rows[limit - 1][0]) if more and limit else None
    )


def _number(cursor: str) -> int:
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 19):
        raise WebhookRefused("after is no cursor: pass what `next` said.", "bad_cursor")
    return int(cursor)


def one(connection: Connection[Any], id_: str) -> Delivery:
    """Raises WebhookRefused (unknown_delivery)."""
    row = connection.execute(
        _SHOWN.encode() + b" d WHERE id = %s AND EXISTS (SELECT 1 FROM api.subscriptions s"
        b" WHERE s.id = d.subscription_id AND s.status <> 'deleted')",
        [id_],
    ).fetchone()
    if row is None:
        raise WebhookRefused(
            f"There is no delivery {id_}: GET /v1/webhooks/{{id}}/deliveries lists them.",
            "unknown_delivery",
        )
    return _shown(row)


def repeat(connection: Connection[Any], id_: str) -> Delivery:
    """Send it again, or now, under the same id. Raises WebhookRefused (unknown_delivery,
    delivery_held_back)."""
    found = one(connection, id_)
    with connection.transaction():
        subscriptions.lock(connection, found.webhook_id)
        found = one(connection, id_)
        if found.status == "waiting" and found.due_at is None:
            raise WebhookRefused(
                f"{id_} waits behind an earlier delivery of the same member: repeat that one.",
                "delivery_held_back",
            )
        if found.status != "waiting":
            connection.execute(
                "UPDATE api.subscriptions SET waiting = waiting + 1 WHERE id = %s",
                [found.webhook_id],
            )
        connection.execute(
            "UPDATE api.deliveries SET status = 'waiting', due_at = now(), retries = 0,"
            " ended_at = NULL WHERE id = %s",
            [id_],
        )
    subscriptions.wake(connection)
    return one(connection, id_)


def test(connection: Connection[Any], webhook_id: str) -> Delivery:
    """Send something harmless. Raises WebhookRefused (unknown_webhook, webhook_paused)."""
    id_ = f"test_{secrets.token_hex(10)}"
    body = msgspec.json.encode(
        {"type": TEST, "timestamp": datetime.now(UTC), "data": {"webhook_id": webhook_id}}
    )
    with connection.transaction():
        subscriptions.lock(connection, webhook_id)
        if subscriptions.one(connection, webhook_id).status != "active":
            raise WebhookRefused(
                f"{webhook_id} is paused: POST /v1/webhooks/{webhook_id}/resume first.",
                "webhook_paused",
            )
        connection.execute(
            "INSERT INTO api.deliveries (id, subscription_id, type, body, due_at)"
            " VALUES (%s, %s, %s, %s, now())",
            [id_, webhook_id, TEST, body],
        )
        connection.execute(
            "UPDATE api.subscriptions SET waiting = waiting + 1 WHERE id = %s", [webhook_id]
        )
    subscriptions.wake(connection)
    return one(connection, id_)
