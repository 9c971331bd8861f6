"""The first screen: what the ledger does now, and how the program goes."""

from collections import deque
from datetime import UTC, datetime
from typing import Any

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from console.asking import Refused
from console.frame import Console, Screen, framed, named
from console.parts import figure, heading

LOOK_SECONDS = 2.0
"""Between two looks at the log's end; each is one small question."""

POINTS_KEPT = 150
"""Of the moving charts: five minutes."""


MONTHS = 12
"""Of the chart of purchases."""


def register(console: Console) -> None:
    """Add the screen."""

    @ui.page("/")
    async def overview(request: Request) -> Response | None:
        screen = console.screen(request)
        if isinstance(screen, Response):
            return screen
        with framed(screen, screen.say("Overview"), "/"):
            if screen.asking.may("operations:read"):
                heading(screen.say("Now"))
                await _moving(screen)
            if screen.asking.may("reports:read"):
                heading(screen.say("Month by month"))
                await _months(screen)
        return None


async def _moving(screen: Screen) -> None:
    """Events a second and how far the read models are behind, as they change."""
    say = screen.say
    times: deque[str] = deque(maxlen=POINTS_KEPT)
    rates: deque[float] = deque(maxlen=POINTS_KEPT)
    lags: deque[int] = deque(maxlen=POINTS_KEPT)
    before: list[tuple[float, int]] = []
    said = ui.label().props("role=status")
    chart = ui.echart(
        {
            "aria": {"enabled": True},
            "animation": False,
            "legend": {"top": 0, "data": [say("Events a second"), say("Read models behind")]},
            "grid": {"left": 50, "right": 50, "top": 40, "bottom": 30},
            "xAxis": {"type": "category", "data": []},
            "yAxis": [{"type": "value", "min": 0}, {"type": "value", "min": 0}],
            "series": [
                {"name": say("Events a second"), "type": "line", "data": [], "showSymbol": False},
                {
                    "name": say("Read models behind"),
                    "type": "line",
                    "yAxisIndex": 1,
                    "data": [],
                    "showSymbol": False,
                },
            ],
        }
    )
    label = say("Events a second and events not yet in the read models, of the last minutes")
    named(chart.classes("w-full h-56").props("role=img"), label)

    async def look() -> None:
        try:
            shards = await screen.asking.look("/shards")
            models = await screen.asking.look("/projections")
        except Refused as refused:
            said.set_text(refused.detail)
            return
        now = datetime.now(UTC)
        position = sum(row["position"] for row in shards["items"])
        behind = max((row["behind"] for row in models["items"]), default=0)
        rate = 0.0
        if before:
            since, last = before.pop()
            rate = max(position - last, 0) / max(now.timestamp() - since, 0.001)
        before.append((now.timestamp(), position))
        times.append(now.strftime("%H:%M:%S"))
        rates.append(round(rate, 1))
        lags.append(behind)
        number = screen.texts.number
        said.set_text(
            say(
                "{events} events in the log, {rate} a second, read models {behind} behind.",
                events=number(position),
                rate=number(round(rate)),
                behind=number(behind),
            )
        )
        chart.options["xAxis"]["data"] = list(times)
        chart.options["series"][0]["data"] = list(rates)
        chart.options["series"][1]["data"] = list(lags)
        chart.update()

    await look()
    ui.timer(LOOK_SECONDS, look)


async def _months(screen: Screen) -> None:
    say = screen.say
    try:
        sales = await screen.asking.get("/kpis/sales", grain="month")
        liability = await screen.asking.get("/liability")
    except Refused as refused:
        ui.label(refused.detail).props("role=alert")
        return
    rows = [dict(zip(sales["columns"], row, strict=True)) for row in sales["rows"]]
    rows = rows[-MONTHS:]
    with ui.row().classes("w-full gap-2 items-stretch"):
        figure(say("Points outstanding"), screen.texts.number(liability["points"]))
        figure(say("Liability"), screen.texts.money(liability["liability"]))
        for name, text in _latest(screen, rows):
            figure(name, text)
    _chart(screen, rows)


def _latest(screen: Screen, rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The figures of the last month that has any."""
    if not rows:
        return []
    last, say, texts = rows[-1], screen.say, screen.texts
    found = [(say("Active members"), texts.number(last["active_members"]))]
    if last["participation_purchases"] is not None:
        share = f"{last['participation_purchases']:.1%}"
        found.append((say("Participation"), share))
    if last["frequency"] is not None:
        found.append((say("Purchases a member"), f"{last['frequency']:.2f}"))
    if last["average_check_members"] is not None:
        check = texts.money(round(last["average_check_members"]))
        found.append((say("Average check"), check))
    return found


def _chart(screen: Screen, rows: list[dict[str, Any]]) -> None:
    """Purchases by month, of members and of others."""
    say = screen.say
    if not rows:
        ui.label(say("Nothing was bought yet."))
        return
    members = [row["member_purchases"] for row in rows]
    others = [row["purchases"] - row["member_purchases"] for row in rows]
    label = say("Purchases by month")
    chart = ui.echart(
        {
            "aria": {"enabled": True},
            "legend": {"top": 0},
            "tooltip": {"trigger": "axis"},
            "grid": {"left": 60, "right": 10, "top": 40, "bottom": 30},
            "xAxis": {"type": "category", "data": [str(row["period"])[:7] for row in rows]},
            "yAxis": {"type": "value"},
            "series": [
                {"name": say("Of members"), "type": "bar", "stack": "all", "data": members},
                {"name": say("Of others"), "type": "bar", "stack": "all", "data": others},
            ],
        }
    )
    named(chart.classes("w-full h-64").props("role=img"), label)
