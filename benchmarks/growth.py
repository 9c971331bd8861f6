"""`growth`: whether appending gets dearer as the log grows: at 1, 2, 5 and 10 million events.

At each size the log is filled by `benchmarks.past`, then purchases of two lines go through the
ledger's door: first by members picked at random from all, who are not in the cache and have ten
events each to fold, then the next purchase of the same members, who now are. The indexes, and not
the accounts, are what grows between the sizes.
"""

import asyncio
import gc
import time
from collections.abc import Callable, Sequence
from random import Random

import psycopg
from msgspec import Struct
from pydantic import SecretStr

from benchmarks.past import EVERY_DAYS, LINES, Past, fill_log, past
from benchmarks.report import Figure, Result
from benchmarks.shoppers import DAY, members, record
from benchmarks.stage import Stage, collecting_as_the_worker
from ledger.application import Ledger
from ledger.received import INPUTS_MAX, Received, received
from ledger.settings import Settings
from schemas.decode import decode_record

DATABASE = "benchmarks_growth"

SIZES = (1_000_000, 2_000_000, 5_000_000, 10_000_000)
"""Events in the log. The last takes fifteen gigabytes of disk."""

PURCHASES_BEFORE = 6
"""Of each member: ten events."""

ROUNDS = 3
"""Odd, so that the median is a run."""

VISITORS = 5_000
"""Members of a round: ten batches, twice."""

_EVENTS = "SELECT sum(position)::bigint FROM ledger.heads WHERE shard >= 0"
_WAL = "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"


class Cost(Struct, frozen=True):
    """What appending took, for each event. `read`: microseconds of dedupe rows and accounts."""

    micros: float
    cpu_micros: float
    read_micros: float
    wal_bytes: float


def measure(stage: Stage) -> list[Result]:
    """Microseconds and bytes of WAL for each event, at each size."""
    with collecting_as_the_worker():
        return [_measure(stage)]


def _measure(stage: Stage) -> Result:
    url = stage.ledger(DATABASE)
    of_each = past(PURCHASES_BEFORE)
    everyone = members(stage.sized(SIZES[-1]) // len(of_each.events))
    known = 0
    visited: set[str] = set()
    costs: dict[str, list[Cost]] = {}
    try:
        for size in SIZES:
            name = f"{size // 1_000_000} M"
            wanted = min(stage.sized(size) // len(of_each.events), len(everyone))
            begun = time.perf_counter()
            fill_log(url, everyone[known:wanted], of_each)
            stage.checkpoint()
            stage.progress(f"  filled to {name} in {time.perf_counter() - begun:,.0f} s")
            known = wanted
            fresh = [member for member in everyone[:known] if member not in visited]
            visitors = Random(size).sample(fresh, ROUNDS * stage.sized(VISITORS, 50))
            visited.update(visitors)
            rounds = asyncio.run(_rounds(url, visitors, of_each))
            costs[f"{name}, cold"] = [cold for cold, _ in rounds]
            costs[f"{name}, warm"] = [warm for _, warm in rounds]
            warm = costs[f"{name}, warm"][ROUNDS // 2]
            stage.progress(f"  {name}: {warm.micros:,.0f} µs/event, {warm.wal_bytes:,.0f} B of WAL")
    finally:
        stage.drop(DATABASE)
    return Result(
        "growth",
        {
            "events at most": known * len(of_each.events),
            "members at most": known,
            "lines": LINES,
            "purchases a round": 2 * stage.sized(VISITORS, 50),
        },
        tuple(_figures(costs)),
    )


def _figures(costs: dict[str, list[Cost]]) -> list[Figure]:
    """Each cost of each size, beside that of the smallest log."""
    parts: tuple[tuple[str, str, Callable[[Cost], float]], ...] = (
        ("", "µs/event", lambda cost: cost.micros),
        (", CPU", "µs/event", lambda cost: cost.cpu_micros),
        (", reading", "µs/event", lambda cost: cost.read_micros),
        (", WAL", "bytes/event", lambda cost: cost.wal_bytes),
    )
    figures = []
    for kind in ("warm", "cold"):
        names = [name for name in costs if name.endswith(kind)]
        for part, unit, of in parts:
            for name in names:
                floor = None if name == names[0] else names[0] + part
                runs = tuple(of(cost) for cost in costs[name])
                figures.append(Figure(name + part, unit, runs, floor))
    return figures


async def _rounds(url: str, visitors: Sequence[str], of_each: Past) -> list[tuple[Cost, Cost]]:
    """Of each round what the cold and the warm purchases cost."""
    found = []
    ledger = await Ledger.open(Settings(database_url=SecretStr(url)))
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            for number in range(ROUNDS):
                visits = [_purchases(visitors[number::ROUNDS], of_each, turn) for turn in range(2)]
                cold = await _cost(ledger, connection, visits[0])
                warm = await _cost(ledger, connection, visits[1])
                found.append((cold, warm))
    finally:
        await ledger.close()
    return found


def _purchases(picked: Sequence[str], of_each: Past, turn: int) -> list[list[Received]]:
    """The next purchase of each of them, or the one after it, in batches."""
    at = of_each.end + (turn + 1) * EVERY_DAYS * DAY
    inputs = [
        received(decode_record(record(member, PURCHASES_BEFORE + turn, at, LINES)))
        for member in picked
    ]
    return [inputs[start : start + INPUTS_MAX] for start in range(0, len(inputs), INPUTS_MAX)]


async def _cost(
    ledger: Ledger, connection: psycopg.Connection, batches: Sequence[Sequence[Received]]
) -> Cost:
    gc.collect()
    events, wal = _told(connection, _EVENTS), _told(connection, _WAL)
    read, begun, cpu = ledger.stats.reading.seconds, time.perf_counter(), time.process_time()
    for batch in batches:
        outcomes = await ledger.handle(batch)
        assert all(outcome.kind == "applied" for outcome in outcomes), outcomes
    micros, cpu_micros = time.perf_counter() - begun, time.process_time() - cpu
    read_micros = ledger.stats.reading.seconds - read
    events, wal = _told(connection, _EVENTS) - events, _told(connection, _WAL) - wal
    return Cost(
        micros / events * 1e6, cpu_micros / events * 1e6, read_micros / events * 1e6, wal / events
    )


def _told(connection: psycopg.Connection, question: str) -> int:
    row = connection.execute(question).fetchone()
    assert row is not None
    return int(row[0])
