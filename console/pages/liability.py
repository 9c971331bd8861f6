"""What the program owes: now, by month, and by the month in which it expires or was granted."""

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui

from api.fresh import CSV, csv_of
from console.asking import Refused
from console.forms import Field, Values, form
from console.frame import Screen, named, shown
from console.parts import DO, figure, table
from console.watching import watched

Rows = list[dict[str, Any]]

MONTH_PATTERN = "2026-01"

GREY = "#76808a"
"""Of a chart's words: read on light and on dark ground."""


async def liability(screen: Screen) -> None:
    """The figures of now, and the reports that fold the log."""
    say = screen.say
    try:
        told = await screen.asking.get("/liability")
    except Refused as refused:
        ui.label(refused.detail).props("role=alert")
        return
    with ui.row().classes("w-full gap-2 items-stretch"):
        figure(say("Points outstanding"), screen.texts.number(told["points"]))
        figure(say("Liability"), screen.texts.money(told["liability"]))
        figure(say("Value of a point"), screen.texts.money(told["point_value"]))
        figure(say("Owed by members"), screen.texts.number(told["debt"]))
    _reports(screen)


def _reports(screen: Screen) -> None:
    """The buttons that begin a report, and the place where it is shown."""
    say = screen.say

    async def begin(asked: dict[str, Any], show: Callable[[Any], object]) -> None:
        job = await screen.asking.change("/liability/reports", asked)
        place.clear()
        with place:
            await watched(screen, job["id"], show)

    async def by_month(values: Values, _: str) -> None:
        asked = {name: values[name] or None for name in ("since", "until")}
        await begin({"report": "movement", **asked}, lambda told: _movement(screen, told))

    def by(dimension: str) -> Callable[[], Any]:
        async def pressed() -> None:
            async def work() -> None:
                asked = {"report": "outstanding", "by": dimension}
                await begin(asked, lambda told: _outstanding(screen, told, dimension))

            await shown(work)

        return pressed

    fields = [
        Field("since", say("First month"), hint=MONTH_PATTERN),
        Field("until", say("Last month"), hint=MONTH_PATTERN),
    ]
    with ui.row().classes("gap-2 q-mt-sm"):
        opened = form(
            screen, say("Liability by month"), fields, by_month, note=say("Left out: all months.")
        )
        ui.button(say("By month"), color=None, on_click=opened).classes(DO)
        ui.button(say("By month of expiry"), on_click=by("expiry")).props("outline")
        ui.button(say("By age in months"), on_click=by("age")).props("outline")
    place = ui.column().classes("w-full")


def _movement(screen: Screen, months: Rows) -> None:
    """The liability at the end of each month, and what moved it."""
    say = screen.say
    kinds = sorted({kind for month in months for kind in month["points"]})
    names = {"month": say("Month"), "opening_points": say("Points at its beginning")}
    names |= {kind: _kind(screen, kind) for kind in kinds}
    names |= {
        "closing_points": say("Points at its end"),
        "revaluation": say("Revaluation"),
        "closing_money": say("Liability at its end"),
        "debt": say("Owed by members"),
    }
    rows = [
        {
            **{name: month.get(name) for name in names},
            **{kind: month["points"].get(kind, 0) for kind in kinds},
        }
        for month in months
    ]
    title = say("Liability at the end of each month")
    _chart(screen, title, [row["month"] for row in rows], [row["closing_money"] for row in rows])
    _table(screen, title, "liability-by-month", names, rows, ("revaluation", "closing_money"))


def _kind(screen: Screen, kind: str) -> str:
    """What a kind of movement is called."""
    say = screen.say
    known = {
        "granted": say("Granted"),
        "redeemed": say("Redeemed"),
        "expired": say("Expired"),
        "revoked": say("Revoked"),
        "restored": say("Restored"),
        "adjusted": say("Adjusted"),
        "transferred": say("Transferred"),
        "debt_paid": say("Paid debts"),
    }
    return known.get(kind, kind.replace("_", " "))


def _outstanding(screen: Screen, told: dict[str, Any], dimension: str) -> None:
    """What is owed, by the month in which it expires or by how long ago it was granted."""
    say = screen.say
    title = (
        say("Liability by month of expiry")
        if dimension == "expiry"
        else say("Liability by age in months")
    )
    names = {
        "bucket": say("Expires in") if dimension == "expiry" else say("Months old"),
        "lots": say("Lots"),
        "members": say("Members"),
        "points": say("Points"),
        "pending": say("Pending"),
        "available": say("Available"),
        "reserved": say("Reserved"),
        "liability": say("Liability"),
    }
    called = {"never": say("never"), "total": say("All")}
    buckets = [
        {**each, "bucket": called.get(each["bucket"], each["bucket"])}
        for each in (*told["buckets"], told["total"])
    ]
    ends = [each["bucket"] for each in buckets[:-1]]
    _chart(screen, title, ends, [each["liability"] for each in buckets[:-1]])
    _table(screen, title, f"liability-by-{dimension}", names, buckets, ("liability",))


def _table(
    screen: Screen, title: str, file: str, names: dict[str, str], rows: Rows, money: Sequence[str]
) -> None:
    """The rows, and the same as a file: there money is in minor units, as everywhere outside."""
    texts = screen.texts
    table(
        title,
        list(names.items()),
        [{**row, **{name: texts.money(row[name]) for name in money}} for row in rows],
    )

    def download() -> None:
        content = csv_of(list(names), [[row[name] for name in names] for row in rows])
        ui.download.content(content, f"{file}.csv", CSV)

    label = screen.say("As a CSV file")
    ui.button(label, icon="download", on_click=download).props("outline")


def _chart(screen: Screen, title: str, labels: Sequence[str], minor: Sequence[int]) -> None:
    """Bars of money; the browser writes minor units as money."""
    language, unit = screen.session.language, 10**screen.texts.currency_digits
    written = f"value => (value / {unit}).toLocaleString('{language}')"
    chart = ui.echart(
        {
            "aria": {"enabled": True},
            "animation": False,
            "tooltip": {"trigger": "axis", ":valueFormatter": written},
            "grid": {"left": 10, "right": 10, "top": 20, "bottom": 10, "containLabel": True},
            "xAxis": {"type": "category", "data": list(labels), "axisLabel": {"color": GREY}},
            "yAxis": {"type": "value", "axisLabel": {":formatter": written, "color": GREY}},
            "series": [{"name": title, "type": "bar", "data": list(minor)}],
        }
    )
    named(chart.classes("w-full h-64").props("role=img"), title)
