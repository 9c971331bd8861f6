"""Watching a job of the API: its progress while it runs, its result at its end."""

from collections.abc import Callable
from typing import Any

from nicegui import ui

from console.asking import Refused
from console.frame import Screen, named

LOOK_SECONDS = 1.0
"""Between two looks at a job that runs."""

ENDED = ("done", "failed", "stopped")


async def watched(screen: Screen, job_id: str, show: Callable[[Any], object]) -> None:
    """Shows the job's progress here, and `show` of its result."""
    say, ask = screen.say, screen.asking
    said = ui.label(say("It begins …")).props("role=status")
    label = say("Progress")
    bar = named(ui.linear_progress(0.0, show_value=False), label)
    place = ui.column().classes("w-full")

    async def stop() -> None:
        try:
            await ask.change(f"/jobs/{job_id}/stop", {})
        except Refused as refused:
            ui.notify(refused.detail, type="negative")

    button = ui.button(say("Stop"), on_click=stop).props("outline dense")

    async def look() -> None:
        try:
            job = await ask.look(f"/jobs/{job_id}")
        except Refused as refused:
            said.set_text(refused.detail)
            timer.deactivate()
            return
        total = job["total"] or 0
        bar.set_value(job["done"] / total if total else 0.0)
        said.set_text(f"{job['step']} {job['done']}/{total}" if total else job["state"])
        if job["state"] not in ENDED:
            return
        timer.deactivate()
        button.delete()
        bar.delete()
        with place:
            if job["state"] == "done":
                said.set_text(say("Done."))
                show(job["result"])
            elif job["error"]:
                said.set_text(f"{job['error']['message']} [{job['error']['code']}]")

    timer = ui.timer(LOOK_SECONDS, look)
