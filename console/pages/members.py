"""Finding a member."""

from typing import Any

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from console.frame import Console, framed, shown
from console.parts import DO, moment

PAGE = 50


def register(console: Console) -> None:
    """Add the screen."""

    @ui.page("/members")
    async def members(request: Request) -> Response | None:
        screen = console.screen(request)
        if isinstance(screen, Response):
            return screen
        say = screen.say
        with framed(screen, say("Members"), "/members"):
            box = (
                ui.input(say("Member id, or how it begins"))
                .props("outlined clearable autofocus")
                .classes("w-full max-w-lg")
            )
            found = ui.column().classes("w-full")

            async def listed(cursor: str | None = None) -> None:
                async def work() -> None:
                    told = await screen.asking.get(
                        "/members", prefix=box.value, limit=PAGE, cursor=cursor
                    )
                    if cursor is None:
                        found.clear()
                    _rows(told)

                await shown(work)

            def _rows(told: dict[str, Any]) -> None:
                with found:
                    if not told["items"]:
                        ui.label(say("No member begins so."))
                    with ui.list().props("bordered separator").classes("w-full"):
                        for each in told["items"]:
                            path = f"/console/members/{each['member_id']}"
                            item = ui.item().props("tag=a")
                            item.props["href"] = path
                            with item:
                                with ui.item_section():
                                    ui.item_label(each["member_id"])
                                    ui.item_label(
                                        say(
                                            "{tier}, {status}, since {since}",
                                            tier=each["tier"],
                                            status=each["status"],
                                            since=moment(screen, each["opened_at"]),
                                        )
                                    ).props("caption")
                                with ui.item_section().props("side"):
                                    ui.item_label(screen.texts.points(each["available"]))
                    if told["next"]:
                        button = ui.button(say("More"), color=None).classes(DO)

                        async def more() -> None:
                            button.delete()
                            await listed(told["next"])

                        button.on_click(more)

            box.on("keydown.enter", lambda: listed())
            box.on("clear", lambda: listed())
            ui.button(say("Search"), icon="search", color=None, on_click=lambda: listed()).classes(
                DO
            )
            await listed()
        return None
