"""What is measured at each size of the log, and with which command.

At every size: growing the log, verifying and deciding again a sixteenth of its shards, and members
as of a past moment. At the smallest and at the largest also all of it: the read models built from
the first event on, the whole audit, the replay, every decision made again, the back-test.
"""

import random
import statistics
import time
from pathlib import Path

from msgspec import Struct

from audit.as_of import as_of
from audit.member_log import ledger_facts, member_log
from benchmarks.scale.histories import member_of
from benchmarks.scale.writer import number
from benchmarks.stage import SHARDS
from ledger.core.program.timeline import Timeline
from projections.connection import connect
from projections.rebuild import ALL
from projections.system import System

JOBS = 2
"""Processes of each command: as many as the machine that the bound of time is of has cores."""

PART = 16
"""At every size one of so many shards is looked at."""

SOME = tuple(range(0, SHARDS, PART))
"""Those shards."""

ASKED = 100
"""Members asked for as of a past moment."""

PAST = 1_498_867_200_000_000
"""The moment: 1 July 2017, in the middle of the histories."""

GROW, AS_OF, REBUILD = "grow", "as-of", "rebuild"
"""Steps of which more is to be said: the first of each size, the one that is no command, and the
one that fills the read models."""

OTHER_PROGRAM = "other.yaml"
"""The back-test's program, beside the data: the demo's with twice the points."""


class Step(Struct, frozen=True):
    """A command. `name`: under which its figures are told; `part`: it goes over one in so many
    events; `micros`: what it may take for an event, before anything was measured."""

    name: str
    arguments: tuple[str, ...]
    micros: float
    part: int = 1


def of_every_size(folder: Path) -> list[Step]:
    """A sixteenth of the shards, or (back-test) of the members."""
    shards = tuple(text for shard in SOME for text in ("--shard", str(shard)))
    jobs = ("--json", "--jobs", str(JOBS))
    program = str(folder / OTHER_PROGRAM)
    sample = str(100 / PART)
    return [
        Step("verify-part", ("audit", "verify", "--no-read-models", *jobs, *shards), 60, PART),
        Step("decide-part", ("audit", "redecide", *jobs, *shards), 80, PART),
        Step(
            "back-test-part", ("program", "backtest", program, "--sample", sample, *jobs), 80, PART
        ),
    ]


def whole(folder: Path) -> list[Step]:
    """All of the log, at the smallest and the largest size."""
    jobs = ("--json", "--jobs", str(JOBS))
    return [
        Step(REBUILD, ("projections", "rebuild", ALL, "--accept-differences", *jobs), 100),
        Step("verify", ("audit", "verify", *jobs), 120),
        Step("replay", ("audit", "replay", "--no-decide", *jobs), 100),
        Step("decide", ("audit", "redecide", *jobs), 80),
        Step("back-test", ("program", "backtest", str(folder / OTHER_PROGRAM), *jobs), 90),
    ]


NAMES = (*(step.name for step in of_every_size(Path()) + whole(Path())), AS_OF)
"""Of all steps that can be left out."""


def ask_as_of(url: str, members: int) -> tuple[float, float]:
    """Milliseconds to tell what one member had at a past moment, from the log: the middle and the
    slowest of a hundred members picked at random, after one that warms the session up."""
    picked = random.Random(members).choices(range(members), k=ASKED + 1)
    taken = []
    with connect(url) as connection:
        ledger = ledger_facts(connection)
        programs = _programs(url)
        for index in picked:
            member = member_of(number(index))
            began = time.perf_counter()
            log = member_log(connection, ledger, member)
            as_of(member, (one.event for one in log), programs, PAST)
            taken.append((time.perf_counter() - began) * 1000)
    return statistics.median(taken[1:]), max(taken[1:])


def _programs(url: str) -> Timeline:
    with connect(url) as connection:
        system = System()
        system.catch_up(connection)
        return system.programs
