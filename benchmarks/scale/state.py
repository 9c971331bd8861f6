"""How far a run came: a file beside the data, written after each step; none is done twice."""

import os
from pathlib import Path

import msgspec
from msgspec import Struct, field

from benchmarks.scale.watch import Took
from ledger.errors import LedgerError

FILE = "state.json"


class Size(Struct):
    """A size of the log. `took`: by step; `as_of_ms`: of one member, the middle and the slowest of
    a hundred; `bytes`: of the database."""

    events: int
    members: int
    took: dict[str, Took] = field(default_factory=dict)
    as_of_ms: tuple[float, float] | None = None
    bytes: int = 0


class State(Struct):
    """`events`, `members`: what was asked for. `seconds`: worked so far."""

    events: int
    members: int
    sizes: list[Size] = field(default_factory=list)
    seconds: float = 0.0


def load(folder: Path, events: int, members: int) -> State:
    """Of the run in the folder, or a new one. Raises LedgerError (`other_run`)."""
    path = folder / FILE
    if not path.exists():
        return State(events, members)
    state = msgspec.json.decode(path.read_bytes(), type=State)
    if (state.events, state.members) != (events, members):
        raise LedgerError(
            f"{folder} holds a run of {state.events:,} events over {state.members:,} members: ask"
            " for the same to go on with it, name another folder with --data-dir, or begin anew"
            " with --fresh.",
            "other_run",
        )
    return state


def store(folder: Path, state: State) -> None:
    """Write it down, whole or not at all."""
    path = folder / FILE
    part = path.with_suffix(".part")
    part.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    os.replace(part, path)
