"""Webhooks: who is told of which events, and what became of each delivery (docs/webhooks.md)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import UNSET, Meta, Struct, UnsetType
from psycopg import Connection
from starlette.responses import Response

from api.caller import Caller, require
from api.documents import body_of, json_of, operation
from api.fresh import fresh, question
from api.limits import PAGE_DEFAULT, PAGE_MAX
from api.problems import Problem
from api.scopes import Scope
from api.state import State
from api.webhooks import deliveries, subscriptions
from api.webhooks.addresses import URL_CHARACTERS_MAX, URL_PATTERN
from api.webhooks.deliveries import CURSOR_PATTERN, Delivery, Page, Status
from api.webhooks.errors import WebhookRefused
from api.webhooks.matching import CHOICE, TYPES_MAX
from api.webhooks.subscriptions import (
    DESCRIPTION_CHARACTERS_MAX,
    NewWebhook,
    Wanted,
    Webhook,
)
from ledger.database import translated

group = APIRouter(prefix="/v1", tags=["webhooks"])

_may = require(Scope.WEBHOOKS)
MAY = [Depends(_may)]

_NO_STORE = {"Cache-Control": "no-store"}
"""Of an answer with a secret."""

Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9._:~-]{1,128}$")]
"""Of a webhook or a delivery."""

STATES_IN_THE_WAY = ("webhooks_full", "webhook_paused", "delivery_held_back")
"""Codes of what is refused because of how things stand: 409."""


Url = Annotated[
    str, Meta(max_length=URL_CHARACTERS_MAX, extra_json_schema={"pattern": URL_PATTERN})
]
Types = Annotated[
    tuple[Annotated[str, Meta(extra_json_schema={"enum": CHOICE})], ...],
    Meta(max_length=TYPES_MAX, extra_json_schema={"minItems": 1}),
]
Description = Annotated[
    str,
    Meta(extra_json_schema={"maxLength": DESCRIPTION_CHARACTERS_MAX, "pattern": r"^[^\u0000]*$"}),
]


class WebhookBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A webhook to be. `url`: https, and no private address; `types`: names of events, groups like
    `points.*`, or `*`."""

    url: Url
    types: Types
    description: Description = ""


class WebhookChange(Struct, frozen=True, forbid_unknown_fields=True):
    """What is to be another; what is left out stays."""

    url: Url | UnsetType = UNSET
    types: Types | UnsetType = UNSET
    description: Description | UnsetType = UNSET
    status: Literal["active", "paused"] | UnsetType = UNSET


class WebhookList(Struct, frozen=True):
    """All webhooks, oldest first."""

    items: list[Webhook]


@contextmanager
def _session(request: Request) -> Iterator[Connection[Any]]:
    """A session; what is refused becomes a problem. Raises DatabaseUnavailable."""
    state: State = request.app.state.points
    try:
        with translated(), state.reads.connection() as connection:
            yield connection
    except WebhookRefused as error:
        status = (
            404
            if error.code.startswith("unknown_")
            else 409
            if error.code in STATES_IN_THE_WAY
            else 422
        )
        raise Problem(status, error.code, error.message) from error


def _allow_private(request: Request) -> bool:
    state: State = request.app.state.points
    return state.settings.webhooks_private_addresses == "allow"


@group.get(
    "/webhooks",
    operation_id="webhooks",
    dependencies=MAY,
    summary="All webhooks.",
    **question(WebhookList),
)
def every(request: Request) -> Response:
    """All of them."""
    with _session(request) as connection:
        return fresh(request, WebhookList(subscriptions.every(connection)))


@group.post(
    "/webhooks",
    operation_id="add_webhook",
    summary="Tell a URL of events, from now on. The secret is shown only here.",
    **operation(body=WebhookBody, answer=NewWebhook, status=201, problems=(409,)),
)
def add(
    request: Request,
    caller: Annotated[Caller, Depends(_may)],
    body: Annotated[WebhookBody, Depends(body_of(WebhookBody))],
) -> Response:
    """Another one."""
    with _session(request) as connection:
        made = subscriptions.add(
            connection,
            body.url,
            body.types,
            body.description,
            caller.name,
            allow_private=_allow_private(request),
        )
    return json_of(made, 201, _NO_STORE)


@group.get(
    "/webhooks/{webhook_id}",
    operation_id="webhook",
    dependencies=MAY,
    summary="One webhook: whether it is active, what waits, since when it fails.",
    **question(Webhook, problems=(404,)),
)
def one(request: Request, webhook_id: Id) -> Response:
    """One."""
    with _session(request) as connection:
        return fresh(request, subscriptions.one(connection, webhook_id))


@group.patch(
    "/webhooks/{webhook_id}",
    operation_id="change_webhook",
    dependencies=MAY,
    summary="Change the URL, types or description; pause or resume.",
    **operation(body=WebhookChange, answer=Webhook, problems=(404,)),
)
def change(
    request: Request,
    webhook_id: Id,
    body: Annotated[WebhookChange, Depends(body_of(WebhookChange))],
) -> Response:
    """Change it."""
    wanted = Wanted(
        None if body.url is UNSET else body.url,
        None if body.types is UNSET else body.types,
        None if body.description is UNSET else body.description,
    )
    with _session(request) as connection, connection.transaction():
        found = subscriptions.change(
            connection, webhook_id, wanted, allow_private=_allow_private(request)
        )
        if body.status == "paused":
            found = subscriptions.pause(connection, webhook_id)
        elif body.status == "active" and found.status != "active":
            found = subscriptions.resume(connection, webhook_id)
    return json_of(found)


@group.delete(
    "/webhooks/{webhook_id}",
    operation_id="remove_webhook",
    dependencies=MAY,
    summary="End a webhook; its deliveries are deleted.",
    **operation(status=204, problems=(404,)),
)
def remove(request: Request, webhook_id: Id) -> Response:
    """End it."""
    with _session(request) as connection:
        subscriptions.remove(connection, webhook_id)
    return Response(status_code=204)


@group.post(
    "/webhooks/{webhook_id}/test",
    operation_id="test_webhook",
    dependencies=MAY,
    summary="Send an event of type webhook.test.",
    **operation(answer=Delivery, status=202, problems=(404, 409)),
)
def test(request: Request, webhook_id: Id) -> Response:
    """Send something harmless."""
    with _session(request) as connection:
        return json_of(deliveries.test(connection, webhook_id), 202)


@group.post(
    "/webhooks/{webhook_id}/secret/rotate",
    operation_id="rotate_webhook_secret",
    dependencies=MAY,
    summary="A new secret, shown only here; the present one signs beside it for a day.",
    **operation(answer=NewWebhook, problems=(404,)),
)
def rotate(request: Request, webhook_id: Id) -> Response:
    """A new secret."""
    with _session(request) as connection:
        return json_of(subscriptions.rotate(connection, webhook_id), headers=_NO_STORE)


@group.post(
    "/webhooks/{webhook_id}/resume",
    operation_id="resume_webhook",
    dependencies=MAY,
    summary="Go on where it stopped.",
    **operation(answer=Webhook, problems=(404,)),
)
def resume(request: Request, webhook_id: Id) -> Response:
    """Go on."""
    with _session(request) as connection:
        return json_of(subscriptions.resume(connection, webhook_id))


@group.get(
    "/webhooks/{webhook_id}/deliveries",
    operation_id="webhook_deliveries",
    dependencies=MAY,
    summary="The deliveries of a webhook, newest first.",
    **question(Page, problems=(404,)),
)
def list_deliveries(
    request: Request,
    webhook_id: Id,
    status: Annotated[Status | None, Query(description="Only those of this status.")] = None,
    member_id: Annotated[
        str | None,
        Query(pattern=r"^[A-Za-z0-9._:~-]{1,128}$", description="Only those about this member."),
    ] = None,
    after: Annotated[
        str | None,
        Query(
            description="What `next` of the page before said.",
            json_schema_extra={"pattern": CURSOR_PATTERN},
        ),
    ] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
) -> Response:
    """A page of them."""
    with _session(request) as connection:
        page = deliveries.page(
            connection,
            webhook_id,
            status=status,
            member_id=member_id,
            after=after,
            limit=limit,
        )
    return fresh(request, page)


@group.post(
    "/deliveries/{delivery_id}/repeat",
    operation_id="repeat_delivery",
    dependencies=MAY,
    summary="Send a delivery again, under the same id.",
    **operation(answer=Delivery, status=202, problems=(404, 409)),
)
def repeat(request: Request, delivery_id: Id) -> Response:
    """Once more."""
    with _session(request) as connection:
        return json_of(deliveries.repeat(connection, delivery_id), 202)
