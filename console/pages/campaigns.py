"""Campaigns, rewards and promo codes."""

from typing import Any
from urllib.parse import quote

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from console.asking import Refused
from console.frame import Console, Screen, framed, shown
from console.parts import heading, moment, table


def register(console: Console) -> None:
    """Add the screen."""

    @ui.page("/campaigns")
    async def campaigns(request: Request) -> Response | None:
        screen = console.screen(request)
        if isinstance(screen, Response):
            return screen
        say = screen.say
        with framed(screen, say("Campaigns and codes"), "/campaigns"):
            try:
                series = await screen.asking.get("/promo-codes", limit=200)
                rewards = await screen.asking.get("/rewards", limit=200)
                figures = None
                if screen.asking.may("reports:read"):
                    figures = await screen.asking.get("/kpis/campaigns", grain="all")
            except Refused as refused:
                ui.label(refused.detail).props("role=alert")
                return None
            heading(say("Series of promo codes"))
            _series(screen, series["items"])
            if screen.asking.may("preview"):
                _one_code(screen)
            heading(say("Rewards"))
            _rewards(screen, rewards["items"])
            if figures is not None:
                heading(say("What campaigns cost and brought"))
                _figures(screen, figures)
        return None


def _series(screen: Screen, items: list[dict[str, Any]]) -> None:
    say = screen.say
    if not items:
        ui.label(say("The program has no promo codes."))
        return
    table(
        say("Series of promo codes"),
        [
            ("series", say("Series")),
            ("code", say("Code")),
            ("codes", say("Codes")),
            ("uses", say("Uses")),
            ("left", say("Uses left")),
            ("to", say("Valid until")),
        ],
        [
            {
                "series": each["series"],
                "code": each["code"] or say("generated"),
                "codes": each["codes"],
                "uses": say("any number") if each["uses"] is None else each["uses"],
                "left": say("any number") if each["uses_left"] is None else each["uses_left"],
                "to": moment(screen, each["valid_to"]),
            }
            for each in items
        ],
    )


def _one_code(screen: Screen) -> None:
    say = screen.say
    with ui.row().classes("items-center gap-2"):
        box = ui.input(say("A promo code")).props("outlined dense autocomplete=off")
        told = ui.label().props("role=status")

        async def look() -> None:
            async def work() -> None:
                found = await screen.asking.get(f"/promo-codes/{quote(box.value or '', safe='')}")
                whose = found["member_id"] or say("everybody")
                left = found["uses_left"]
                told.set_text(
                    say(
                        "Of the series {series}, for {whose}, uses left: {left}.",
                        series=found["series"],
                        whose=whose,
                        left=say("any number") if left is None else left,
                    )
                )

            await shown(work)

        ui.button(say("Look it up"), on_click=look).props("outline")


def _rewards(screen: Screen, items: list[dict[str, Any]]) -> None:
    say = screen.say
    if not items:
        ui.label(say("The program has no rewards."))
        return
    table(
        say("Rewards"),
        [
            ("reward", say("Reward")),
            ("kind", say("Kind")),
            ("points", say("Points")),
            ("given", say("Given")),
            ("left", say("Left")),
        ],
        [
            {
                "reward": each["reward_id"],
                "kind": each["kind"],
                "points": each["points"],
                "given": each["given"] or 0,
                "left": say("any number") if each["left"] is None else each["left"],
            }
            for each in items
        ],
    )


def _figures(screen: Screen, told: dict[str, Any]) -> None:
    rows = [dict(zip(told["columns"], row, strict=True)) for row in told["rows"]]
    if not rows:
        ui.label(screen.say("Nothing was given in this time."))
        return
    columns = [(name, name.replace("_", " ")) for name in told["columns"]]
    table(screen.say("What campaigns cost and brought"), columns, rows)
