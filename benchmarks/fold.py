"""`fold`: the three read models catching up with a log, against reading that log.

Each run folds the log that `append` made (a year of six hundred members) into empty read models,
in a copy of its database, with the runner that `points projections run` uses. Floor: fetching and
decoding the same events without folding them. The balances of all members are then asked for, ahead
of what is folded and behind it; floor: sending as many rows that only have to be read.
"""

from datetime import timedelta

from psycopg import Connection

from benchmarks.append import make_log
from benchmarks.load import SHARDS
from benchmarks.report import Figure, Result, stopwatch
from benchmarks.stage import Stage
from projections.connection import connect
from projections.folding import BATCH_EVENTS
from projections.log import batch, decode
from projections.queries import balances
from projections.runner import Runner

RUNS = 3
"""Odd, so that the median is a run."""

ASKED = 5
"""How often balances are asked for in a run."""

AHEAD_DAYS = 6
"""After the last purchase; points activate and expire meanwhile."""

_SPAN = "SELECT count(*), min(settled_to), max(settled_to), max(opened_at) FROM read.balances"
_ROWS = (
    "SELECT member_id, available, pending, reserved, expired, granted, debt, 'none'"
    " FROM read.balances ORDER BY member_id"
)


def measure(stage: Stage) -> Result:
    """Events per second, and milliseconds of a question."""
    log = make_log(stage)
    rates: dict[str, list[float]] = {"read and decode": [], "fold": []}
    questions: dict[str, list[float]] = {"plain rows": [], "ahead": [], "behind": []}
    events = members = 0
    for run in range(RUNS):
        url = stage.copy(f"{log}_{run}", log)
        with connect(url) as connection:
            with stopwatch() as seconds:
                events = _read(connection)
            rates["read and decode"].append(events / seconds())
            with stopwatch() as seconds:
                folded = Runner(url).run(until_caught_up=True)
            rates["fold"].append(folded / seconds())
            connection.execute("RESET ROLE")
            connection.execute("ANALYZE")
            members = _ask(connection, questions)
    return Result(
        "fold",
        {"events": events, "members": members, "read models": 3},
        (
            Figure("read and decode", "events/s", tuple(rates["read and decode"])),
            Figure("fold", "events/s", tuple(rates["fold"]), "read and decode"),
            Figure("plain rows", "ms", tuple(questions["plain rows"])),
            Figure("all balances, ahead", "ms", tuple(questions["ahead"]), "plain rows"),
            Figure("all balances, behind", "ms", tuple(questions["behind"]), "plain rows"),
        ),
    )


def _read(connection: Connection) -> int:
    """Fetch and decode all events of members; how many."""
    events = 0
    for shard in range(SHARDS):
        position = 0
        while entries := batch(connection, shard, position, BATCH_EVENTS):
            for entry in entries:
                decode(entry)
            position = entries[-1].position
            events += len(entries)
    return events


def _ask(connection: Connection, questions: dict[str, list[float]]) -> int:
    """Note milliseconds; how many members answered."""
    row = connection.execute(_SPAN).fetchone()
    assert row is not None
    members, first, last, opened = row
    ahead = last + timedelta(days=AHEAD_DAYS)
    behind = opened + (first - opened) / 2
    for _ in range(ASKED):
        with stopwatch() as seconds:
            assert len(connection.execute(_ROWS).fetchall()) == members
        questions["plain rows"].append(seconds() * 1_000)
        for name, at in (("ahead", ahead), ("behind", behind)):
            with stopwatch() as seconds:
                assert len(list(balances(connection, at))) == members
            questions[name].append(seconds() * 1_000)
    return int(members)
