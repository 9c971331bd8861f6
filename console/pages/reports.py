"""Figures and the liability, of a time, by what the person chooses, and as files."""

from typing import Any

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from api.fresh import CSV
from console.frame import Console, Screen, framed, shown
from console.pages.liability import liability
from console.parts import DO, heading, table

FIGURES = ("sales", "points", "campaigns", "retention", "churn", "referrals", "rfm")
GRAINS = ("month", "week", "day", "all")
DIMENSIONS = ("all", "store", "region", "channel", "segment", "campaign")

ROWS_SHOWN = 500
"""Of a figure on the screen; the file has all."""


def register(console: Console) -> None:
    """Add the screen."""

    @ui.page("/reports")
    async def reports(request: Request) -> Response | None:
        screen = console.screen(request)
        if isinstance(screen, Response):
            return screen
        with framed(screen, screen.say("Reports"), "/reports"):
            heading(screen.say("What the program owes"))
            await liability(screen)
            heading(screen.say("Figures"))
            await _figures(screen)
        return None


async def _figures(screen: Screen) -> None:
    say = screen.say
    with ui.row().classes("gap-2 items-end w-full"):
        name = ui.select(list(FIGURES), value="sales", label=say("Figure")).classes("min-w-[8rem]")
        grain = ui.select(list(GRAINS), value="month", label=say("By")).classes("min-w-[8rem]")
        by = ui.select(list(DIMENSIONS), value="all", label=say("And by")).classes("min-w-[8rem]")
        since = ui.input(say("From (2026-01-31)")).props("outlined dense")
        until = ui.input(say("Before (2026-12-31)")).props("outlined dense")
    result = ui.column().classes("w-full")

    def asked() -> dict[str, Any]:
        found: dict[str, Any] = {
            "from": f"{since.value}T00:00:00Z" if since.value else None,
            "to": f"{until.value}T00:00:00Z" if until.value else None,
        }
        if name.value != "rfm":
            found["grain"] = grain.value
        if name.value not in ("campaigns", "referrals", "rfm"):
            found["by"] = by.value
        return found

    async def show() -> None:
        async def work() -> None:
            told = await screen.asking.get(f"/kpis/{name.value}", **asked())
            result.clear()
            with result:
                rows = [dict(zip(told["columns"], row, strict=True)) for row in told["rows"]]
                if not rows:
                    ui.label(say("There is nothing in this time."))
                    return
                columns = [(each, each.replace("_", " ")) for each in told["columns"]]
                table(name.value, columns, rows[:ROWS_SHOWN])
                if len(rows) > ROWS_SHOWN:
                    ui.label(say("The file has all {n} rows.", n=len(rows)))

        await shown(work)

    async def download() -> None:
        async def work() -> None:
            content = await screen.asking.text(f"/kpis/{name.value}", CSV, **asked())
            ui.download.content(content, f"{name.value}.csv", CSV)

        await shown(work)

    with ui.row().classes("gap-2"):
        ui.button(say("Show"), color=None, on_click=show).classes(DO)
        ui.button(say("As a CSV file"), icon="download", on_click=download).props("outline")
    await show()
