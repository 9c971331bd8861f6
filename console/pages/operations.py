"""Operations: shards, lag, dead letters, read models, audits, webhooks."""

import base64
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from console.asking import Refused
from console.forms import asks
from console.frame import Console, Screen, framed, shown
from console.pages.proposals import proposals
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
            for part in (_shards, _letters, _models, _audit, _webhooks, proposals):
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

        opened.on_value_change(lambda event: load() if event.value else None)
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


async def _audit(screen: Screen) -> None:
    say, ask = screen.say, screen.asking
    if not ask.may("audit:read"):
        return
    heading(say("Audit"))
    result = ui.column().classes("w-full")

    async def verify() -> None:
        async def work() -> None:
            job = await ask.change("/audit/verifications", {})
            result.clear()
            with result:
                await watched(screen, job["id"], lambda told: _verified(screen, told))

        await shown(work)

    ui.button(say("Verify the whole log"), on_click=verify).props("outline")
    trail = await ask.get("/audit-trail", limit=30)
    with ui.expansion(say("Refused and privileged calls")).classes("w-full"):
        rows = [
            {
                "at": moment(screen, each["at"]),
                "kind": each["kind"],
                "who": each.get("who") or "",
                "what": each.get("operation") or each.get("path") or "",
                "status": each.get("status") or "",
            }
            for each in trail["items"]
        ]
        table(
            say("Refused and privileged calls"),
            [
                ("at", say("When")),
                ("kind", say("Kind")),
                ("who", say("Who")),
                ("what", say("What")),
                ("status", say("Status")),
            ],
            rows,
        )


def _verified(screen: Screen, told: dict[str, Any]) -> None:
    if told["ok"]:
        events = sum(shard["events"] for shard in told["shards"])
        ui.label(
            screen.say(
                "Everything is as it was written: {events} events.",
                events=screen.texts.number(events),
            )
        )
    for shard in told["shards"]:
        for finding in shard["findings"]:
            ui.label(f"{shard['shard']}: {finding['what']} {finding['do']}").classes(
                "text-negative"
            )


async def _webhooks(screen: Screen) -> None:
    say, ask = screen.say, screen.asking
    if not ask.may("webhooks"):
        return
    heading(say("Webhooks"))
    told = await ask.get("/webhooks")
    if not told["items"]:
        ui.label(say("Nobody subscribed."))
    for each in told["items"]:
        with ui.expansion(f"{each['url']} ({each['status']})").classes("w-full"):
            ui.label(", ".join(each["types"]))
            if each.get("reason"):
                ui.label(str(each["reason"]))
            deliveries = await ask.get(f"/webhooks/{each['id']}/deliveries", limit=20)
            for delivery in deliveries["items"]:
                _delivery(screen, delivery)


def _delivery(screen: Screen, delivery: dict[str, Any]) -> None:
    ask = screen.asking
    with ui.row().classes("items-center gap-2"):
        ui.label(f"{delivery.get('type', '')} {delivery['status']}")

        async def repeat() -> None:
            async def work() -> None:
                await ask.change(f"/deliveries/{delivery['id']}/repeat", {})
                ui.notify(screen.say("Done."), type="positive")

            await shown(work)

        ui.button(screen.say("Send again"), on_click=repeat).props("outline dense")
