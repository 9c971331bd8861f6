"""Forms in a dialog: what is asked for, checked by the API, and refused in its words."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from nicegui import ui

from console.asking import Refused
from console.frame import Screen, named, shown
from console.parts import DO

Values = dict[str, Any]
Act = Callable[[Values, str], Awaitable[None]]
"""Gets what was written and the key under which it is sent: the same when the person tries again
after a failure."""


@dataclass(frozen=True)
class Field:
    """Something to fill in. `kind`: text, number, moment (by the program's clocks), lines (of a
    text), choice or choices (of `options`: value and how it is called). `hint`: stands below."""

    name: str
    label: str
    kind: str = "text"
    value: Any = ""
    hint: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


def form(
    screen: Screen,
    title: str,
    fields: Sequence[Field],
    act: Act,
    *,
    note: str = "",
    danger: bool = False,
) -> Callable[[], None]:
    """Opens a form; it closes when `act` was not refused."""

    def opened() -> None:
        key = uuid4().hex
        with dialog_of(title) as dialog:
            if note:
                ui.label(note)
            inputs = {each.name: _input(each) for each in fields}

            async def carry_out() -> None:
                async def work() -> None:
                    await act({name: box.value for name, box in inputs.items()}, key)
                    dialog.close()

                await shown(work)

            with ui.row().classes("w-full justify-end"):
                ui.button(screen.say("Cancel"), on_click=dialog.close).props("flat")
                ui.button(
                    screen.say("Do it"),
                    on_click=carry_out,
                    color="negative" if danger else None,
                ).classes("" if danger else DO)

    return opened


def asks(
    screen: Screen,
    title: str,
    fields: Sequence[tuple[str, str, str]],
    act: Callable[[dict[str, str], str], Awaitable[None]],
    *,
    danger: bool = False,
) -> Callable[[], None]:
    """A form of plain fields: (name, label, `text` or `number`)."""

    async def told(values: Values, key: str) -> None:
        await act({name: str(value or "") for name, value in values.items()}, key)

    return form(screen, title, [Field(*each) for each in fields], told, danger=danger)


@contextmanager
def dialog_of(title: str) -> Iterator[ui.dialog]:
    """An open dialog with its title, to be filled."""
    with named(ui.dialog(value=True), title) as dialog, ui.card().classes("w-[28rem] max-w-full"):
        ui.label(title).classes("text-h6").props("role=heading aria-level=2")
        yield dialog


def _input(asked: Field) -> Any:
    box: Any
    if asked.kind in ("choice", "choices"):
        several = asked.kind == "choices"
        value = asked.value or ([] if several else next(iter(asked.options), None))
        box = ui.select(dict(asked.options), label=asked.label, value=value, multiple=several)
        box.props("outlined dense" + (" use-chips" if several else ""))
    elif asked.kind == "lines":
        box = ui.textarea(asked.label, value=asked.value).props("outlined dense autocomplete=off")
    else:
        kind = "datetime-local stack-label" if asked.kind == "moment" else asked.kind
        box = ui.input(asked.label, value=asked.value)
        box.props(f"outlined dense autocomplete=off type={kind}")
    if asked.hint:
        box.props["hint"] = asked.hint
    return box.classes("w-full")


def whole(screen: Screen, value: object, name: str) -> int:
    """A whole number that was typed. Raises Refused."""
    try:
        return int(str(value))
    except ValueError:
        raise Refused(422, "invalid_field", screen.say("Write a whole number."), name) from None


def moment_typed(screen: Screen, value: object, name: str) -> str | None:
    """A moment that was typed by the program's clocks, for the API; None: none. Raises Refused."""
    if not value:
        return None
    try:
        return screen.texts.by_clock(datetime.fromisoformat(str(value))).isoformat()
    except ValueError:
        raise Refused(
            422, "invalid_field", screen.say("Write a moment as 2026-01-31T09:00."), name
        ) from None
