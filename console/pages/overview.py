"""The first screen."""

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from console.frame import PLACES, Console, framed


def register(console: Console) -> None:
    """Add the screen."""

    @ui.page("/")
    async def overview(request: Request) -> Response | None:
        screen = console.screen(request)
        if isinstance(screen, Response):
            return screen
        with framed(screen, screen.say("Overview"), "/"), ui.row().classes("gap-2"):
            for place in PLACES[1:]:
                if screen.asking.may(place.scope):
                    ui.link(screen.say(place.label), f"/console{place.path}")
        return None
