"""Pieces that several screens show."""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

from nicegui import ui

from console.frame import Screen, named

DO = "points-do"
"""The class of a button that does what a screen is for: readable on light and on dark ground."""

Work = Callable[[], Awaitable[None]]


def figure(label: str, value: str, hint: str = "") -> None:
    """One number with its name."""
    with ui.card().classes("min-w-[9rem] flex-1 q-pa-sm").props("flat bordered"):
        ui.label(label).classes("text-caption")
        ui.label(value).classes("points-number")
        if hint:
            ui.label(hint).classes("text-caption")


def table(
    caption: str, columns: Sequence[tuple[str, str]], rows: Sequence[dict[str, Any]]
) -> ui.table:
    """Rows under named columns: (name of the field, heading)."""
    shown_columns = [
        {
            "name": name,
            "label": label,
            "field": name,
            "align": "right" if rows and isinstance(rows[0].get(name), int) else "left",
        }
        for name, label in columns
    ]
    # What scrolls is a region of its own, so that a keyboard gets there.
    region = ui.element("div").classes("points-table")
    with named(region.props("tabindex=0 role=region"), caption):
        found = ui.table(columns=shown_columns, rows=list(rows), row_key=columns[0][0])
        found.props('flat bordered dense hide-bottom :rows-per-page-options="[0]"')
        named(found, caption)
    return found


def plain(text: str) -> ui.label:
    """What others wrote, line by line and as they wrote it: no markup, whatever is in it."""
    return ui.label(text).classes("w-full points-plain")


def moment(screen: Screen, text: str | None) -> str:
    """A moment of the API in the program's zone and the person's language."""
    return screen.say("never") if text is None else screen.texts.when(datetime.fromisoformat(text))


def heading(text: str) -> None:
    """The title of a part of a screen."""
    with ui.element("h2").classes("points-part"):
        ui.label(text)
