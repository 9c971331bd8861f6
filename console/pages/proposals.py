"""What waits for a second person."""

import difflib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from console.asking import Refused
from console.forms import asks
from console.frame import Screen, shown
from console.parts import heading, moment, plain

LOOKED_THROUGH = 500
"""Open proposals: a page of the API, which does not choose by kind."""


async def proposals(screen: Screen, kind: str | None = None) -> None:
    """The open proposals, with what the person may do about them."""
    say, ask = screen.say, screen.asking
    if not ask.may("proposals:read"):
        return
    body = ui.column().classes("w-full gap-1")

    async def show() -> None:
        body.clear()
        with body:
            heading(say("Waiting for approval"))
            try:
                told = await ask.get("/proposals", state="open", limit=LOOKED_THROUGH)
            except Refused as refused:
                ui.label(refused.detail)
                return
            items = [each for each in told["items"] if kind in (None, each["kind"])]
            if not items:
                ui.label(say("Nothing waits."))
            for each in items:
                _row(screen, each, show)

    await show()


def _row(screen: Screen, each: dict[str, Any], show: Callable[[], Awaitable[None]]) -> None:
    say, ask = screen.say, screen.asking

    def decide(what: str) -> Callable[[dict[str, str], str], Awaitable[None]]:
        async def act(form: dict[str, str], key: str) -> None:
            body = {name: text for name, text in form.items() if text}
            told = await ask.change(f"/proposals/{each['id']}/{what}", body, key=key)
            await show()
            if told["state"] == "failed":
                result = told["result"]
                raise Refused(422, result["code"], f"{result['message']} [{result['code']}]")
            ui.notify(say("Done."), type="positive")

        return act

    title = say(
        "{kind} of {subject}, by {who}, {when}",
        kind=each["kind"],
        subject=each["subject"][:40],
        who=each["proposed_by"],
        when=moment(screen, each["proposed_at"]),
    )
    with ui.expansion(title).classes("w-full") as opened:
        place = ui.column().classes("w-full")

    def buttons() -> None:
        with ui.row().classes("gap-2"):
            ui.button(
                say("Approve"), on_click=asks(screen, say("Approve"), [], decide("approve"))
            ).props("outline dense")
            reason = [("reason", say("Reason"), "text")]
            ui.button(
                say("Turn down"), on_click=asks(screen, say("Turn down"), reason, decide("reject"))
            ).props("outline dense color=negative")

    async def load() -> None:
        async def work() -> None:
            told = await ask.get(f"/proposals/{each['id']}")
            present = await _in_force(screen) if told["kind"] == "program" else {}
            place.clear()
            with place:
                for line in said(told, present):
                    plain(line)
                if ask.may("approve"):  # only who saw what it is may let it be
                    buttons()

        await shown(work)

    opened.on_value_change(lambda event: load() if event.value else None)


async def _in_force(screen: Screen) -> dict[str, Any]:
    """The program that a proposed one would follow. Raises Refused."""
    versions = await screen.asking.get("/programs", limit=100)
    for each in versions["items"]:
        if each["in_force"]:
            told = await screen.asking.get(f"/programs/{each['version']}")
            found: dict[str, Any] = told["content"]
            return found
    return {}


def said(proposal: dict[str, Any], present: dict[str, Any]) -> list[str]:
    """What a proposal would change: every field of an adjustment, the difference of a program."""
    content = proposal["content"]
    if proposal["kind"] != "program":
        return [f"{name}: {value}" for name, value in content.items()]
    lines = difflib.unified_diff(_lines(present), _lines(content), lineterm="", n=2)
    return ["\n".join(lines)]


def _lines(form: dict[str, Any]) -> list[str]:
    return json.dumps(form, indent=2, ensure_ascii=False, sort_keys=True).splitlines()
