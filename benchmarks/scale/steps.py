"""What is measured at each size of the log, and with which command.

At every size: growing the log, verifying and deciding again an eighth of its shards, and members as
of a past moment. At the smallest and at the largest also all of it: the read models built from the
first event on, the whole audit, the replay, every decision made again, the back-test.
"""

import random
import statistics
import time
from pathlib import Path

from msgspec import Struct

from audit.as_of import as_of
from audit.member_log import ledger_facts, member_log
from benchmarks.scale.writer import number
from benchmarks.scale.histories import member_of
from benchmarks.stage import SHARDS
from ledger.core.program.timeline import Timeline
from projections.connection import connect
from projections.runner import read_models
from projections.system import System

JOBS = 2
"""Processes of each command: as many as the machine that the bound of time is of has cores."""

PART = 8
"""At every size one of so many shards is looked at."""

SOME = tuple(range(0, SHARDS, PART))
"""Those shards."""

ASKED = 100
"""Members asked for as of a past moment."""

PAST = 1_498_867_200_000_000
"""The moment: 1 July 2017, in the middle of the histories."""

OTHER_PROGRAM = "other.yaml"
"""The back-test's program, beside the data: the demo's with twice the points."""


class Step(Struct, frozen=True):
    """A command. `name`: under which its figures are told; `part`: it goes over one in so many
    events; `micros`: what it may take for an event, before anything was measured."""

    name: str
    arguments: tuple[str, ...]
    micros: float
    part: int = 1


def every(folder: Path) -> list[Step]:
    """Of every size."""
    shards = tuple(text for shard in SOME for text in ("--shard", str(shard)))
    jobs = ("--jobs", str(JOBS))
    del folder
    return [
        Step(
            "verify the log, 1/8",
            ("audit", "verify", "--no-read-models", "--json", *jobs, *shards),
            60,
            PART,
        ),
        Step("decide again, 1/8", ("audit", "redecide", "--json", *jobs, *shards), 80, PART),
    ]


def whole(folder: Path) -> list[Step]:
    """Of the smallest and the largest size."""
    jobs = ("--jobs", str(JOBS))
    models = [model.name for model in read_models()]
    return [
        *(
            Step(
                f"rebuild {name}",
                ("projections", "rebuild", name, "--accept-differences", *jobs),
                50,
            )
            for name in models
        ),
        Step("verify", ("audit", "verify", "--json", *jobs), 120),
        Step("replay", ("audit", "replay", "--no-decide", "--json", *jobs), 120),
        Step("decide again", ("audit", "redecide", "--json", *jobs), 80),
        Step(
            "back-test",
            ("program", "backtest", str(folder / OTHER_PROGRAM), "--json", *jobs),
            80,
        ),
    ]


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
