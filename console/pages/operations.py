"""Operations: shards, lag, dead letters, read models; and audits, webhooks, keys."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from console.asking import Refused
from console.forms import asks
from console.frame import Console, Screen, framed, shown
from console.pages.audit import audit, when_opened
from console.pages.keys import keys
from console.pages.webhooks import webhooks
from console.parts import heading, moment, plain, table
from console.watching import watched

LETTERS = 50
VALUE_CHARACTERS_SHOWN = 20_000
"""Of a dead letter's bytes on the screen: a large basket; the rest is in the API."""

Show = Callable[[], Awaitable[None]]


def register(console: Console) -> None:
    """Add the screen."""

    @ui.page("/operations")
    async def operations(request: Request) -> Response | None:
        screen = console.screen(request)
        if isinstance(screen, Response):
            return screen
        with framed(screen, screen.say("Operations"), "/operations"):
            for part in (_shards, _letters, _models, audit, webhooks, keys):
                try:
                    await part(screen)
                except Refused as refused:
                    ui.label(refused.detail).props("role=alert")
        return None


async def _shards(screen: Screen) -> None:
    say = screen.say
    heading(say("Shards and topics"))
    shards = await screen.asking.get("/shards")
    with ui.expansion(say("Shards")).classes("w-full"):
        table(
            say("Shards"),
            [
                ("shard", say("Shard")),
                ("position", say("Position")),
                ("behind", say("Read models behind")),
                ("recorded", say("Last recorded")),
            ],
            [{**each, "recorded": moment(screen, each["recorded_at"])} for each in shards["items"]],
        )
    streams = await screen.asking.get("/streams", limit=500)
    with ui.expansion(say("Lag of the topics")).classes("w-full"):
        table(
            say("Lag of the topics"),
            [
                ("topic", say("Topic")),
                ("partition", say("Partition")),
                ("next_offset", say("Next offset")),
                ("lag", say("Lag")),
            ],
            streams["items"],
        )


async def _letters(screen: Screen) -> None:
    body = ui.column().classes("w-full gap-1")

    async def show() -> None:
        body.clear()
        with body:
            heading(screen.say("Dead letters"))
            told = await screen.asking.get("/dead-letters", status="open", limit=LETTERS)
            ui.label(screen.say("{n} are open.", n=screen.texts.number(told["total"])))
            for each in told["items"]:
                _letter(screen, each, show)

    await show()


def _letter(screen: Screen, row: dict[str, Any], show: Show) -> None:
    say, ask = screen.say, screen.asking
    with ui.expansion(f"{row['id']}: {row['type']}, {row['code']}").classes("w-full") as opened:
        ui.label(f"{row['path']}: {row['message']}")
        content = ui.column().classes("w-full")

        async def load() -> None:
            async def work() -> None:
                told = await ask.get(f"/dead-letters/{row['id']}")
                content.clear()
                with content:
                    value = base64.b64decode(told["value"] or "").decode(errors="backslashreplace")
                    plain(value[:VALUE_CHARACTERS_SHOWN])

            await shown(work)

        opened.on_value_change(when_opened(load))
        if not ask.may("operations:write"):
            return

        async def retry() -> None:
            async def work() -> None:
                told = await ask.change(f"/dead-letters/{row['id']}/retry", {})
                ui.notify(f"{told['outcome']} {told['message'] or ''}")
                await show()

            await shown(work)

        async def discard(form: dict[str, str], key: str) -> None:
            path = f"/dead-letters/{row['id']}/discard"
            await ask.change(path, {"reason": form["reason"]}, key=key)
            await show()

        with ui.row().classes("gap-2"):
            ui.button(say("Try again"), on_click=retry).props("outline dense")
            reason = [("reason", say("Reason"), "text")]
            ui.button(
                say("Discard"),
                on_click=asks(screen, say("Discard the letter"), reason, discard, danger=True),
            ).props("outline dense color=negative")


async def _models(screen: Screen) -> None:
    say, ask = screen.say, screen.asking
    heading(say("Read models"))
    told = await ask.get("/projections")
    progress = ui.column().classes("w-full")

    def rebuild(name: str) -> Callable[[], Awaitable[None]]:
        async def begin() -> None:
            async def work() -> None:
                job = await ask.change(f"/projections/{name}/rebuilds", {})
                progress.clear()
                with progress:
                    await watched(screen, job["id"], lambda _: ui.label(say("Rebuilt.")))

            await shown(work)

        return begin

    for each in told["items"]:
        with ui.row().classes("items-center gap-2"):
            ui.label(
                say(
                    "{name}: {folded} events folded, {behind} behind",
                    name=each["projection"],
                    folded=screen.texts.number(each["folded"]),
                    behind=screen.texts.number(each["behind"]),
                )
            )
            if ask.may("operations:write"):
                ui.button(say("Rebuild"), on_click=rebuild(each["projection"])).props(
                    "outline dense"
                )
