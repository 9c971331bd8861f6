"""What waits for a second person, for whoever may decide it or look at it."""

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from console.frame import Console, framed
from console.pages.proposals import proposals


def register(console: Console) -> None:
    """Add the screen."""

    @ui.page("/approvals")
    async def approvals(request: Request) -> Response | None:
        screen = console.screen(request)
        if isinstance(screen, Response):
            return screen
        with framed(screen, screen.say("Approvals"), "/approvals"):
            await proposals(screen)
        return None
