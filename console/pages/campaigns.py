"""Campaigns, rewards and promo codes."""

from typing import Any

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from console.asking import Refused
from console.frame import Console, Screen, framed
from console.pages.codes import codes
from console.parts import heading, table


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
                await codes(screen)
                rewards = await screen.asking.get("/rewards", limit=200)
                figures = None
                if screen.asking.may("reports:read"):
                    figures = await screen.asking.get("/kpis/campaigns", grain="all")
            except Refused as refused:
                ui.label(refused.detail).props("role=alert")
                return None
            heading(say("Rewards"))
            _rewards(screen, rewards["items"])
            if figures is not None:
                heading(say("What campaigns cost and brought"))
                _figures(screen, figures)
        return None


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
