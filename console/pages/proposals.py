"""What waits for a second person."""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from console.asking import Refused
from console.frame import Screen
from console.parts import asks, heading, moment


async def proposals(screen: Screen, kind: str | None = None) -> None:
    """The open proposals, with what the person may do about them."""
    say, ask = screen.say, screen.asking
    if not ask.may("approve") and not ask.may("programs:write"):
        return
    body = ui.column().classes("w-full gap-1")

    async def show() -> None:
        body.clear()
        with body:
            heading(say("Waiting for approval"))
            try:
                told = await ask.get("/proposals", state="open", kind=kind)
            except Refused as refused:
                ui.label(refused.detail)
                return
            if not told["items"]:
                ui.label(say("Nothing waits."))
            for each in told["items"]:
                _row(screen, each, show)

    await show()


def _row(screen: Screen, each: dict[str, Any], show: Callable[[], Awaitable[None]]) -> None:
    say, ask = screen.say, screen.asking

    def decide(what: str) -> Callable[[dict[str, str], str], Awaitable[None]]:
        async def act(form: dict[str, str], key: str) -> None:
            body = {name: text for name, text in form.items() if text}
            await ask.change(f"/proposals/{each['id']}/{what}", body, key=key)
            ui.notify(say("Done."), type="positive")
            await show()

        return act

    with ui.row().classes("items-center gap-2"):
        ui.label(
            say(
                "{kind} of {subject}, by {who}, {when}",
                kind=each["kind"],
                subject=each["subject"][:40],
                who=each["proposed_by"],
                when=moment(screen, each["proposed_at"]),
            )
        )
        if ask.may("approve"):
            ui.button(
                say("Approve"), on_click=asks(screen, say("Approve"), [], decide("approve"))
            ).props("outline dense")
            reason = [("reason", say("Reason"), "text")]
            ui.button(
                say("Turn down"), on_click=asks(screen, say("Turn down"), reason, decide("reject"))
            ).props("outline dense color=negative")
