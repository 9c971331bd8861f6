"""What can be done for a member, each with its reason."""

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from nicegui import ui

from console.asking import Refused
from console.forms import asks
from console.frame import Screen

Show = Callable[[], Awaitable[None]]


def acts(screen: Screen, member_id: str, status: str, show: Show) -> None:
    """The buttons that the person may press."""
    say, ask = screen.say, screen.asking
    reason = ("reason", say("Reason"), "text")

    async def changed(what: str, body: dict[str, Any], key: str) -> None:
        answer = await ask.change(f"/members/{quote(member_id, safe='')}/{what}", body, key=key)
        waits = isinstance(answer, dict) and answer.get("event") is None
        ui.notify(
            say("It waits for the approval of another person.") if waits else say("Done."),
            type="info" if waits else "positive",
        )
        await show()

    async def adjust(form: dict[str, str], key: str) -> None:
        body = {"points": _whole(screen, form["points"]), "reason": form["reason"]}
        await changed("adjustments", body, key)

    async def transfer(form: dict[str, str], key: str) -> None:
        body = {"points": _whole(screen, form["points"]), "to": form["to"]}
        await changed("transfers", body, key)

    def standing(what: str) -> Callable[[dict[str, str], str], Awaitable[None]]:
        async def act(form: dict[str, str], key: str) -> None:
            await changed(what, {"reason": form["reason"]}, key)

        return act

    with ui.row().classes("gap-2"):
        if ask.may("adjust") and status in ("open", "frozen"):
            points = ("points", say("Points (below 0 takes)"), "number")
            ui.button(
                say("Adjust"),
                icon="exposure",
                on_click=asks(screen, say("Adjust points"), [points, reason], adjust),
            ).props("outline")
        if ask.may("transfer") and status == "open":
            fields = [("points", say("Points"), "number"), ("to", say("To member"), "text")]
            ui.button(
                say("Transfer"),
                icon="swap_horiz",
                on_click=asks(screen, say("Give points to another member"), fields, transfer),
            ).props("outline")
        if ask.may("members:standing") and status == "open":
            ui.button(
                say("Freeze"),
                icon="ac_unit",
                on_click=asks(
                    screen, say("Freeze the account"), [reason], standing("freeze"), danger=True
                ),
            ).props("outline")
        if ask.may("members:standing") and status == "frozen":
            ui.button(
                say("Unfreeze"),
                icon="wb_sunny",
                on_click=asks(screen, say("Unfreeze the account"), [reason], standing("unfreeze")),
            ).props("outline")


def _whole(screen: Screen, text: str) -> int:
    """A whole number that was typed. Raises Refused."""
    try:
        return int(text)
    except ValueError:
        raise Refused(
            422, "invalid_field", screen.say("Write points as a whole number."), "points"
        ) from None
