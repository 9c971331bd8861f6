"""Programs: versions, checking while typing, what a change would do, and its publication."""

import difflib
import json
from typing import Any

from fastapi import Request
from nicegui import ui
from starlette.responses import Response

from console.asking import Refused
from console.frame import Console, Screen, framed, named, shown
from console.pages.proposals import proposals
from console.parts import DO, figure, heading, moment, plain, table
from console.watching import watched

CHECK_SECONDS = 0.6
"""After the last key: a program is checked when the person pauses."""

VERSION_CHARACTERS = 12
"""Of a version's name on the screen; all versions of a program differ in fewer."""

YAML = "application/yaml"


def register(console: Console) -> None:
    """Add the screen."""

    @ui.page("/programs")
    async def programs(request: Request) -> Response | None:
        screen = console.screen(request)
        if isinstance(screen, Response):
            return screen
        with framed(screen, screen.say("Programs"), "/programs"):
            try:
                told = await screen.asking.get("/programs", limit=100)
            except Refused as refused:
                ui.label(refused.detail).props("role=alert")
                return None
            _versions(screen, told["items"])
            await _editor(screen, told["items"])
            await proposals(screen, "program")
        return None


def _versions(screen: Screen, versions: list[dict[str, Any]]) -> None:
    say = screen.say
    table(
        say("Versions"),
        [
            ("version", say("Version")),
            ("from", say("In force from")),
            ("rules", say("Rules")),
            ("point_value", say("Value of a point")),
            ("state", say("State")),
        ],
        [
            {
                "version": each["version"][:VERSION_CHARACTERS],
                "from": moment(screen, each["effective_from"]),
                "rules": each["rules"],
                "point_value": screen.texts.money(each["point_value"]),
                "state": say("in force") if each["in_force"] else "",
            }
            for each in versions
        ],
    )


async def _editor(screen: Screen, versions: list[dict[str, Any]]) -> None:
    say, ask = screen.say, screen.asking
    published = ""
    for each in versions:
        if each["in_force"]:
            published = (await ask.text(f"/programs/{each['version']}", YAML)).decode()
    heading(say("A new version"))
    may = ask.may("programs:write")
    editor = ui.codemirror(published, language="YAML", theme="githubLight", line_wrapping=True)
    name = json.dumps(say("The program as YAML"))
    editor.classes("w-full h-96")
    # The editor's own elements have no names and no way in for a keyboard.
    ui.run_javascript(
        f"const each = setInterval(() => {{ const text = document.querySelector('.cm-content');"
        f" if (!text) return; clearInterval(each); text.setAttribute('aria-label', {name});"
        f" document.querySelector('.cm-scroller').setAttribute('tabindex', '0'); }}, 50)"
    )
    problems = ui.column().classes("w-full").props("role=status")
    with ui.expansion(say("Difference to the version in force")).classes("w-full"):
        difference = plain("")

    async def check() -> None:
        async def work() -> None:
            told = await ask.change("/program-checks", {"text": editor.value})
            problems.clear()
            with problems:
                if told["ok"]:
                    ui.label(say("This is a program that can be used."))
                for each in told["problems"]:
                    ui.label(
                        say(
                            "Line {line}, {path}: {message}",
                            line=each["line"],
                            path=each["path"],
                            message=each["message"],
                        )
                    ).classes("text-negative")
            lines = difflib.unified_diff(
                published.splitlines(), str(editor.value).splitlines(), lineterm="", n=2
            )
            difference.set_text("\n".join(lines) or say("No difference."))

        await shown(work)

    if not may:
        editor.disable()
        return
    timer = ui.timer(CHECK_SECONDS, check, once=True, active=False)

    def typed() -> None:
        nonlocal timer
        timer.cancel()
        timer = ui.timer(CHECK_SECONDS, check, once=True)

    editor.on_value_change(typed)
    result = ui.column().classes("w-full")

    async def backtest() -> None:
        async def work() -> None:
            job = await ask.change("/backtests", {"text": editor.value})
            result.clear()
            with result:
                await watched(screen, job["id"], lambda told: _changes(screen, told))

        await shown(work)

    async def publish() -> None:
        async def work() -> None:
            told = await ask.change("/programs", {"text": editor.value})
            waits = "state" in told
            ui.notify(
                say("It waits for the approval of another person.") if waits else say("Published."),
                type="info" if waits else "positive",
            )

        await shown(work)

    with ui.row().classes("gap-2"):
        ui.button(say("Back-test"), icon="history", on_click=backtest).props("outline")
        ui.button(say("Publish"), icon="publish", color=None, on_click=publish).classes(DO)


def _changes(screen: Screen, told: dict[str, Any]) -> None:
    """What the history would have been: rule by rule, and whom it changes most."""
    say, number = screen.say, screen.texts.number
    if told["identical"]:
        ui.label(say("It gives exactly what was recorded."))
    with ui.row().classes("w-full gap-2 items-stretch"):
        figure(say("Points granted"), _signed(told["change"]["granted"]))
        figure(say("Cost"), screen.texts.money(told["change"]["cost"]))
        figure(say("Liability"), screen.texts.money(told["change"]["liability"]))
        figure(say("Members who win"), number(told["winners"]["members"]))
        figure(say("Members who lose"), number(told["losers"]["members"]))
    for warning in told["warnings"]:
        ui.label(warning)
    rules = told["groups"].get("rule", {})
    names = sorted(rules)
    before = [rules[name]["points"]["before"] for name in names]
    after = [rules[name]["points"]["after"] for name in names]
    table(
        say("Points by rule"),
        [
            ("rule", say("Rule")),
            ("before", say("As recorded")),
            ("after", say("As tested")),
            ("change", say("Change")),
        ],
        [
            {"rule": name, "before": was, "after": now, "change": now - was}
            for name, was, now in zip(names, before, after, strict=True)
        ],
    )
    label = say("Points by rule, as recorded and as tested")
    chart = ui.echart(
        {
            "aria": {"enabled": True},
            "legend": {"top": 0},
            "tooltip": {"trigger": "axis"},
            "grid": {"left": 60, "right": 10, "top": 40, "bottom": 30},
            "xAxis": {"type": "category", "data": names},
            "yAxis": {"type": "value"},
            "series": [
                {"name": say("As recorded"), "type": "bar", "data": before},
                {"name": say("As tested"), "type": "bar", "data": after},
            ],
        }
    )
    named(chart.classes("w-full h-64").props("role=img"), label)
    table(
        say("Members most changed"),
        [("member", say("Member")), ("change", say("Change"))],
        [{"member": each["member_id"], "change": each["change"]} for each in told["most_changed"]],
    )


def _signed(points: int) -> str:
    return f"{points:+,}"
