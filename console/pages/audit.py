"""The audit: verifications of the log, its checkpoints, refused and privileged calls."""

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from console.frame import Screen, shown
from console.parts import heading, moment, table
from console.watching import watched

RUNS = 10
CHECKPOINTS = 20
CALLS = 30
"""Shown of each, the newest; the rest is in the API."""

HASH_CHARACTERS = 16
"""Of a hash on the screen: enough to compare by eye with a published one."""

KIND = "verify"
"""Of the jobs that are audit runs."""


async def audit(screen: Screen) -> None:
    """What auditors look at. Raises Refused."""
    if not screen.asking.may("audit:read"):
        return
    heading(screen.say("Audit"))
    await _runs(screen)
    await _checkpoints(screen)
    await _trail(screen)


async def _runs(screen: Screen) -> None:
    say, ask = screen.say, screen.asking
    progress = ui.column().classes("w-full")
    runs = ui.column().classes("w-full gap-1")

    async def show() -> None:
        told = await ask.get("/jobs", limit=100)
        found = [each for each in told["items"] if each["kind"] == KIND][:RUNS]
        runs.clear()
        with runs:
            for each in found:
                _run(screen, each)

    async def verify() -> None:
        async def work() -> None:
            job = await ask.change("/audit/verifications", {})
            progress.clear()
            with progress:
                await watched(screen, job["id"], lambda told: _verified(screen, told))

        await shown(work)

    with ui.row().classes("gap-2"):
        ui.button(say("Verify the whole log"), on_click=verify).props("outline")
    await show()


def _run(screen: Screen, run: dict[str, Any]) -> None:
    """An audit run that ended or goes on; opened, what it found."""
    say, ask = screen.say, screen.asking
    state = states(screen).get(run["state"], run["state"])
    title = say(
        "Verification of {when}, by {who}: {state}",
        when=moment(screen, run["created_at"]),
        who=run["by"],
        state=state,
    )
    with ui.expansion(title).classes("w-full") as opened:
        place = ui.column().classes("w-full")

    async def load() -> None:
        async def work() -> None:
            job = await ask.get(f"/jobs/{run['id']}")
            place.clear()
            with place:
                if job["result"] is not None:
                    _verified(screen, job["result"])
                elif job["error"]:
                    ui.label(f"{job['error']['message']} [{job['error']['code']}]")
                else:
                    await watched(screen, run["id"], lambda told: _verified(screen, told))

        await shown(work)

    opened.on_value_change(when_opened(load))


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


async def _checkpoints(screen: Screen) -> None:
    say = screen.say
    told = await screen.asking.get("/audit/checkpoints", limit=CHECKPOINTS)
    with ui.expansion(say("Checkpoints")).classes("w-full"):
        if not told["configured"]:
            ui.label(say("POINTS_CHECKPOINT_DIR does not say where they are."))
        elif not told["items"]:
            ui.label(say("There is none: `points audit checkpoint` makes one, on a schedule."))
        for each in told["items"]:
            _checkpoint(screen, each)


def _checkpoint(screen: Screen, each: dict[str, Any]) -> None:
    """When it was made, whether the log still holds it, and its heads."""
    say, number = screen.say, screen.texts.number
    title = say(
        "{number}: {when}, {events} events, {held}",
        number=each["number"],
        when=moment(screen, each["at"]),
        events=number(each["events"]),
        held=say("the log does not hold it") if each["not_held"] else say("the log holds it"),
    )
    with ui.expansion(title).classes("w-full"):
        ui.label(say("Hash {hash}", hash=each["hash"])).classes("w-full points-plain")
        ui.label(say("Signed with the key {key}", key=each["key"]))
        lost = set(each["not_held"])
        table(
            say("Heads of checkpoint {number}", number=each["number"]),
            [
                ("shard", say("Shard")),
                ("position", say("Position")),
                ("hash", say("Hash")),
                ("held", say("In the log")),
            ],
            [
                {
                    **head,
                    "hash": head["hash"][:HASH_CHARACTERS],
                    "held": say("no") if head["shard"] in lost else say("yes"),
                }
                for head in each["heads"]
            ],
        )


async def _trail(screen: Screen) -> None:
    say = screen.say
    trail = await screen.asking.get("/audit-trail", limit=CALLS)
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


def states(screen: Screen) -> dict[str, str]:
    """The states of jobs and of deliveries, as they are called."""
    say = screen.say
    return {
        "queued": say("waits"),
        "running": say("runs"),
        "done": say("done"),
        "failed": say("failed"),
        "stopped": say("stopped"),
        "waiting": say("waits"),
    }


def when_opened(load: Callable[[], Awaitable[None]]) -> Callable[[Any], Awaitable[None] | None]:
    """What an expansion does when it is opened."""
    return lambda event: load() if event.value else None
