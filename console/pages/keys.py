"""API keys: made (the secret shown once), exchanged, withdrawn."""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from api.routes.keys import NOT_BY_HTTP
from api.scopes import ROLES, Scope
from console.forms import Field, Values, form, moment_typed, whole
from console.frame import Screen
from console.pages.webhooks import told_once
from console.parts import DO, heading, moment

HOUR_SECONDS = 3_600

GRACE_HOURS = 48
"""Offered for an exchange: two days to reach every till."""

Show = Callable[[], Awaitable[None]]


async def keys(screen: Screen) -> None:
    """The keys, with what can be done about them. Raises Refused."""
    say, ask = screen.say, screen.asking
    if not ask.may("access:admin"):
        return
    body = ui.column().classes("w-full gap-1")
    ended = False

    async def show() -> None:
        told = await ask.get("/keys", ended="true" if ended else "false")
        body.clear()
        with body:
            heading(say("API keys"))
            also = ui.switch(say("Also those that ended"), value=ended)
            also.on_value_change(turned)
            if not told["items"]:
                ui.label(say("There are none."))
            for each in told["items"]:
                _key(screen, each, body, show)
            _making(screen, body, show)

    async def turned(event: Any) -> None:
        nonlocal ended
        ended = event.value
        await show()

    await show()


def _making(screen: Screen, place: ui.element, show: Show) -> None:
    say = screen.say

    async def make(values: Values, key: str) -> None:
        body = {
            "client": str(values["client"] or "").strip(),
            "roles": values["roles"],
            "scopes": values["scopes"],
            "expires_at": moment_typed(screen, values["expires"], "expires_at"),
        }
        if values["rate"]:
            body["requests_per_second"] = whole(screen, values["rate"], "requests_per_second")
        made = await screen.asking.change("/keys", body, key=key)
        await show()
        with place:
            told_once(screen, say("The key of {client}", client=body["client"]), made["secret"])

    roles = [name for name, scopes in sorted(ROLES.items()) if not scopes & NOT_BY_HTTP]
    scopes = [str(scope) for scope in Scope if scope not in NOT_BY_HTTP]
    fields = [
        Field("client", say("System that will use it"), hint=say("For instance till-7 or crm.")),
        Field("roles", say("Roles"), "choices", options={name: name for name in roles}),
        Field("scopes", say("Single scopes"), "choices", options={name: name for name in scopes}),
        Field("expires", say("Valid until"), "moment", hint=say("Left out: for ever.")),
        Field("rate", say("Requests a second"), "number", hint=say("Left out: as set for all.")),
    ]
    note = say("Keys that approve, make keys or belong to a person: at the command line only.")
    opened = form(screen, say("A new API key"), fields, make, note=note)
    ui.button(say("Make a key"), icon="add", color=None, on_click=opened).classes(DO)


def _key(screen: Screen, each: dict[str, Any], place: ui.element, show: Show) -> None:
    say = screen.say
    states = {"valid": say("valid"), "expired": say("expired"), "revoked": say("revoked")}
    title = f"{each['client']} · {each['id']} ({states.get(each['state'], each['state'])})"
    with ui.expansion(title).classes("w-full"):
        ui.label(", ".join([*each["roles"], *each["scopes"]]))
        for line in _said(screen, each):
            ui.label(line)
        if each["state"] == "valid":
            _buttons(screen, each, place, show)


def _said(screen: Screen, each: dict[str, Any]) -> list[str]:
    """What a key is, line by line."""
    say = screen.say
    lines = [
        say(
            "Made {when} by {who}", when=moment(screen, each["created_at"]), who=each["created_by"]
        ),
        say("Valid until: {when}", when=moment(screen, each["expires_at"])),
        say("Last used: {when}", when=moment(screen, each.get("last_used_at"))),
    ]
    if each.get("person"):
        lines.append(say("It is the key of {person}.", person=each["person"]))
    if each.get("requests_per_second"):
        lines.append(say("{n} requests a second", n=each["requests_per_second"]))
    if each.get("revoked_at"):
        lines.append(
            say(
                "Revoked {when} by {who}",
                when=moment(screen, each["revoked_at"]),
                who=each.get("revoked_by", ""),
            )
        )
    if each.get("rotated_to"):
        lines.append(say("Exchanged for {key}", key=each["rotated_to"]))
    return lines


def _buttons(screen: Screen, each: dict[str, Any], place: ui.element, show: Show) -> None:
    say, ask, path = screen.say, screen.asking, f"/keys/{each['id']}"

    async def rotate(values: Values, key: str) -> None:
        body = {
            "grace_seconds": whole(screen, values["grace"], "grace_seconds") * HOUR_SECONDS,
            "expires_at": moment_typed(screen, values["expires"], "expires_at"),
        }
        made = await ask.change(f"{path}/rotation", body, key=key)
        await show()
        with place:
            told_once(screen, say("The key of {client}", client=each["client"]), made["secret"])

    async def revoke(_: Values, key: str) -> None:
        await ask.change(f"{path}/revocation", {}, key=key)
        await show()

    fields = [
        Field("grace", say("Hours for which the old one goes on"), "number", GRACE_HOURS),
        Field("expires", say("Valid until"), "moment", hint=say("Left out: for ever.")),
    ]
    note = say("Every process refuses it within five seconds.")
    with ui.row().classes("gap-2"):
        exchanged = form(screen, say("Exchange the key"), fields, rotate)
        ui.button(say("Exchange"), on_click=exchanged).props("outline dense")
        ended = form(screen, say("Revoke the key"), [], revoke, note=note, danger=True)
        ui.button(say("Revoke"), on_click=ended).props("outline dense color=negative")
