"""Webhooks: who is told of what, made and changed, and what became of each delivery."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from api.webhooks.matching import EVERYTHING, TYPES
from console.forms import Field, Values, dialog_of, form
from console.frame import Screen, shown
from console.pages.audit import states, when_opened
from console.parts import DO, heading, moment, plain

DELIVERIES = 20
"""Of a webhook on the screen, the newest; the rest is in the API."""

Show = Callable[[], Awaitable[None]]


async def webhooks(screen: Screen) -> None:
    """The webhooks, with what can be done about them. Raises Refused."""
    say, ask = screen.say, screen.asking
    if not ask.may("webhooks"):
        return
    body = ui.column().classes("w-full gap-1")

    async def show() -> None:
        told = await ask.get("/webhooks")
        body.clear()
        with body:
            heading(say("Webhooks"))
            if not told["items"]:
                ui.label(say("Nobody subscribed."))
            for each in told["items"]:
                _webhook(screen, each, body, show)
            _adding(screen, body, show)

    await show()


def _fields(screen: Screen, present: dict[str, Any]) -> list[Field]:
    groups = sorted({f"{name.partition('.')[0]}.*" for name in TYPES})
    options = {name: name for name in (EVERYTHING, *groups, *TYPES)}
    say = screen.say
    return [
        Field("url", say("Address"), value=present.get("url", ""), hint="https://…"),
        Field(
            "types",
            say("Events"),
            "choices",
            value=list(present.get("types", [EVERYTHING])),
            options=options,
            hint=say("* is everything, points.* all of a group."),
        ),
        Field("description", say("What it is for"), value=present.get("description", "")),
    ]


def _adding(screen: Screen, place: ui.element, show: Show) -> None:
    say = screen.say

    async def add(values: Values, key: str) -> None:
        made = await screen.asking.change("/webhooks", values, key=key)
        await show()
        with place:
            told_once(screen, say("The webhook's secret"), made["secret"])

    opened = form(screen, say("A new webhook"), _fields(screen, {}), add)
    ui.button(say("Add a webhook"), icon="add", color=None, on_click=opened).classes(DO)


def told_once(screen: Screen, title: str, secret: str) -> None:
    """A secret, in a dialog that says that it is told this once."""
    with dialog_of(title) as dialog:
        ui.label(screen.say("It is shown only now: keep it where it is needed.")).props(
            "role=status"
        )
        plain(secret)

        def copy() -> None:
            ui.clipboard.write(secret)

        with ui.row().classes("w-full justify-end"):
            ui.button(screen.say("Copy"), icon="content_copy", on_click=copy).props("outline")
            ui.button(screen.say("Close"), color=None, on_click=dialog.close).classes(DO)


def _webhook(screen: Screen, each: dict[str, Any], place: ui.element, show: Show) -> None:
    say = screen.say
    active = each["status"] == "active"
    state = say("active") if active else say("paused")
    title = f"{each['url']} ({state})"
    with ui.expansion(title).classes("w-full") as opened:
        for line in _said(screen, each):
            ui.label(line)
        _buttons(screen, each, place, show)
        deliveries = ui.column().classes("w-full gap-0")

    async def load() -> None:
        async def work() -> None:
            path = f"/webhooks/{each['id']}/deliveries"
            told = await screen.asking.get(path, limit=DELIVERIES)
            deliveries.clear()
            with deliveries:
                with ui.row().classes("items-center gap-2"):
                    ui.label(say("Deliveries")).classes("text-bold")
                    ui.button(say("Look again"), icon="refresh", on_click=load).props("flat dense")
                if not told["items"]:
                    ui.label(say("Nothing was sent yet."))
                for delivery in told["items"]:
                    _delivery(screen, delivery, load)

        await shown(work)

    opened.on_value_change(when_opened(load))


def _said(screen: Screen, each: dict[str, Any]) -> list[str]:
    """What a webhook is, line by line."""
    say, number = screen.say, screen.texts.number
    because = {
        "by hand": say("by hand"),
        "gone": say("the receiver says that it is gone"),
        "dead": say("nothing was taken for a day and a half"),
    }
    lines = [", ".join(each["types"])]
    if each["description"]:
        lines.append(each["description"])
    lines.append(
        say(
            "{waiting} deliveries wait, {behind} events are not looked at yet.",
            waiting=number(each["waiting"]),
            behind=number(each["behind"]),
        )
    )
    if each["status"] != "active":
        reason = because.get(each["paused_because"], each["paused_because"])
        lines.append(
            say("Paused {when}: {reason}", when=moment(screen, each["paused_at"]), reason=reason)
        )
    if each["failing_since"]:
        lines.append(
            say(
                "It fails since {when}: {n} attempts.",
                when=moment(screen, each["failing_since"]),
                n=number(each["failures"]),
            )
        )
    return lines


def _buttons(screen: Screen, each: dict[str, Any], place: ui.element, show: Show) -> None:
    say, ask = screen.say, screen.asking
    path, active = f"/webhooks/{each['id']}", each["status"] == "active"

    async def edit(values: Values, key: str) -> None:
        await ask.change(path, values, method="PATCH", key=key)
        await show()

    async def remove(_: Values, key: str) -> None:
        await ask.change(path, {}, method="DELETE", key=key)
        await show()

    async def rotate(_: Values, key: str) -> None:
        made = await ask.change(f"{path}/secret/rotate", {}, key=key)
        with place:
            told_once(screen, say("The webhook's secret"), made["secret"])

    async def turn() -> None:
        async def work() -> None:
            status = "paused" if active else "active"
            await ask.change(path, {"status": status}, method="PATCH")
            await show()

        await shown(work)

    async def test() -> None:
        async def work() -> None:
            await ask.change(f"{path}/test", {})
            ui.notify(say("It is sent."), type="positive")

        await shown(work)

    ending = form(
        screen,
        say("Delete the webhook"),
        [],
        remove,
        note=say("Its deliveries are deleted with it."),
        danger=True,
    )
    note = say("The present one signs beside the new one for a day.")
    with ui.row().classes("gap-2"):
        opened = form(screen, say("Edit the webhook"), _fields(screen, each), edit)
        ui.button(say("Edit"), on_click=opened).props("outline dense")
        ui.button(say("Pause") if active else say("Resume"), on_click=turn).props("outline dense")
        if active:
            ui.button(say("Send a test"), on_click=test).props("outline dense")
        renewed = form(screen, say("Make a new secret"), [], rotate, note=note)
        ui.button(say("New secret"), on_click=renewed).props("outline dense")
        ui.button(say("Delete"), on_click=ending).props("outline dense color=negative")


def _delivery(screen: Screen, delivery: dict[str, Any], load: Show) -> None:
    say, ask = screen.say, screen.asking
    state = states(screen).get(delivery["status"], delivery["status"])
    at = moment(screen, delivery["created_at"])
    with ui.expansion(f"{delivery['type']}: {state}, {at}").classes("w-full"):
        plain("\n".join(_attempts(screen, delivery)))
        plain(json.dumps(delivery["payload"], indent=2, ensure_ascii=False))

        async def repeat() -> None:
            async def work() -> None:
                await ask.change(f"/deliveries/{delivery['id']}/repeat", {})
                ui.notify(say("It is sent again."), type="positive")
                await load()

            await shown(work)

        ui.button(say("Send again"), on_click=repeat).props("outline dense")


def _attempts(screen: Screen, delivery: dict[str, Any]) -> list[str]:
    """What became of it so far."""
    say = screen.say
    lines = [delivery["id"], say("Attempts: {n}", n=delivery["attempts"])]
    if delivery["attempted_at"]:
        lines.append(say("The last one: {when}", when=moment(screen, delivery["attempted_at"])))
    if delivery["answer_status"] is not None:
        lines.append(
            say(
                "Answer: {status}, after {ms} ms",
                status=delivery["answer_status"],
                ms=delivery["milliseconds"],
            )
        )
    lines += [text for text in (delivery["answer"], delivery["error"]) if text]
    if delivery["status"] == "waiting" and delivery["due_at"]:
        lines.append(say("Next attempt: {when}", when=moment(screen, delivery["due_at"])))
    return lines
