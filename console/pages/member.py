"""A member's card: balances, lots in time, tier, segments, every entry explained, and acting."""

from typing import Any
from urllib.parse import quote

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from console.asking import Refused
from console.frame import Console, Screen, framed, named, shown
from console.pages.member_acts import acts
from console.parts import DO, figure, heading, moment, table

PAGE = 30


def register(console: Console) -> None:
    """Add the screen."""

    @ui.page("/members/{member_id}")
    async def member(request: Request, member_id: str) -> Response | None:
        screen = console.screen(request)
        if isinstance(screen, Response):
            return screen
        with framed(screen, screen.say("Member {id}", id=member_id), "/members"):
            body = ui.column().classes("w-full gap-4")

            async def show() -> None:
                body.clear()
                with body:
                    await _card(screen, member_id, show)

            await show()
        return None


async def _card(screen: Screen, member_id: str, show: Any) -> None:
    say, ask = screen.say, screen.asking
    try:
        card = await ask.get(f"/members/{quote(member_id, safe='')}")
        lots = await ask.get(f"/members/{quote(member_id, safe='')}/lots", limit=200)
    except Refused as refused:
        ui.label(refused.detail).props("role=alert")
        return
    _standing(screen, card)
    acts(screen, member_id, card["balance"]["status"], show)
    _progress(screen, card)
    heading(say("Lots"))
    _lots(screen, lots["items"])
    heading(say("History"))
    await _history(screen, member_id)


def _standing(screen: Screen, card: dict[str, Any]) -> None:
    say, balance = screen.say, card["balance"]
    if balance["merged_into"]:
        ui.link(
            say("Merged into {id}", id=balance["merged_into"]),
            f"/members/{balance['merged_into']}",
        )
    with ui.row().classes("w-full gap-2 items-stretch"):
        number = screen.texts.number
        figure(
            say("Available"),
            number(balance["available"]),
            screen.texts.money(balance["available"] * balance["point_value"]),
        )
        figure(say("Pending"), number(balance["pending"]))
        figure(say("Reserved"), number(balance["reserved"]))
        figure(say("Granted in all"), number(balance["granted"]))
        figure(say("Expired in all"), number(balance["expired"]))
        figure(say("Tier"), balance["tier"], balance["status"])
    if card["segments"]:
        with ui.row().classes("gap-1 items-center"):
            ui.label(say("Segments:"))
            for segment in card["segments"]:
                ui.badge(segment).props("outline")


def _progress(screen: Screen, card: dict[str, Any]) -> None:
    progress = card["progress"]
    if progress is None or progress["next_tier"] is None:
        return
    share = min(progress["reached"] / progress["next_at_least"], 1.0)
    text = screen.say(
        "{reached} of {all} {measure} to {tier}",
        reached=screen.texts.number(progress["reached"]),
        all=screen.texts.number(progress["next_at_least"]),
        measure=progress["measure"],
        tier=progress["next_tier"],
    )
    ui.label(text)
    named(ui.linear_progress(share, show_value=False), text)


def _lots(screen: Screen, lots: list[dict[str, Any]]) -> None:
    say = screen.say
    if not lots:
        ui.label(say("No lot holds points."))
        return
    _time_line(screen, lots)
    table(
        say("Lots"),
        [
            ("lot", say("Lot")),
            ("rules", say("Rules")),
            ("available", say("Available")),
            ("pending", say("Pending")),
            ("reserved", say("Reserved")),
            ("from", say("Spendable from")),
            ("until", say("Expires")),
        ],
        [
            {
                **{name: lot[name] for name in ("lot", "available", "pending", "reserved")},
                "rules": ", ".join(lot["rules"]),
                "from": moment(screen, lot["activates_at"]),
                "until": moment(screen, lot["expires_at"]),
            }
            for lot in lots
        ],
    )


def _time_line(screen: Screen, lots: list[dict[str, Any]]) -> None:
    """Points by the day on which they expire."""
    days: dict[str, int] = {}
    for lot in lots:
        day = (lot["expires_at"] or screen.say("never"))[:10]
        days[day] = days.get(day, 0) + lot["available"] + lot["pending"] + lot["reserved"]
    chart = ui.echart(
        {
            "aria": {"enabled": True},
            "grid": {"left": 50, "right": 10, "top": 20, "bottom": 30},
            "xAxis": {"type": "category", "data": sorted(days)},
            "yAxis": {"type": "value"},
            "series": [{"type": "bar", "data": [days[day] for day in sorted(days)]}],
            "tooltip": {},
        }
    )
    label = screen.say("Points by the day on which they expire")
    named(chart.classes("w-full h-48").props("role=img"), label)


async def _history(screen: Screen, member_id: str) -> None:
    entries = ui.column().classes("w-full gap-0")

    async def page(cursor: str | None = None) -> None:
        told = await screen.asking.get(
            f"/members/{quote(member_id, safe='')}/history",
            limit=PAGE,
            cursor=cursor,
            lang=screen.session.language,
        )
        with entries:
            for entry in told["items"]:
                _entry(screen, entry)
            if told["next"]:
                button = ui.button(screen.say("More"), color=None).classes(DO)

                async def more() -> None:
                    button.delete()
                    await shown(lambda: page(told["next"]))

                button.on_click(more)

    await shown(page)


def _entry(screen: Screen, entry: dict[str, Any]) -> None:
    moved = entry["moved"]["available"]
    sign = "" if not moved else f" ({moved:+d})"
    when = moment(screen, entry["occurred_at"])
    with ui.expansion(f"{when}: {entry['headline']}{sign}").classes("w-full").props("dense"):
        for line in entry.get("details", ()):
            ui.label(line)
        if entry.get("position") is not None:
            ui.label(
                screen.say(
                    "{event}, shard {shard}, position {position}",
                    event=entry["event"],
                    shard=entry["shard"],
                    position=entry["position"],
                )
            ).classes("text-caption")
