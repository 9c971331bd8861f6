"""`handle`: single commands at the ledger's one door, one by one and grouped.

Members who have points reserve some of them. Each call of `Ledger.handle()` is one transaction with
its fsync; grouped, a call takes many commands, and at once, several tasks call with one each.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from itertools import count, islice

from pydantic import SecretStr

from benchmarks.report import Figure, Result
from benchmarks.shoppers import DAY, program, record
from benchmarks.stage import Stage, collecting_as_the_worker
from ledger.application import Ledger
from ledger.core.calendar import format_instant, to_instant
from ledger.received import INPUTS_MAX, Received, received
from ledger.settings import Settings
from schemas.decode import decode_record

ROUNDS = 3
MEMBERS = 500
SINGLES = 400
"""Commands of a round given one by one, and so many of it at once."""

AT_ONCE = 8
"""Tasks: as many as the pool has connections to spare."""

GROUPS = (10, 100, INPUTS_MAX)
GROUPED = 5_000
"""Commands of a round in each size of groups."""

POINTS = 100
"""Of a reservation: the program's least."""


def measure(stage: Stage) -> list[Result]:
    """Commands per second, and milliseconds of a call."""
    with collecting_as_the_worker():
        return [asyncio.run(_measure(stage))]


async def _measure(stage: Stage) -> Result:
    url = stage.ledger("commands")
    ledger = await Ledger.open(Settings(database_url=SecretStr(url)))
    figures: dict[str, list[float]] = {}
    try:
        await _earn(ledger)
        commands = _commands()
        for _ in range(ROUNDS):
            singles = list(islice(commands, stage.sized(SINGLES, 20)))
            waits = [await _timed(ledger, [command]) for command in singles]
            figures.setdefault("one by one", []).append(len(waits) / sum(waits))
            waits.sort()
            figures.setdefault("a single call", []).append(waits[len(waits) // 2] * 1_000)
            figures.setdefault("a slow single call (p99)", []).append(
                waits[len(waits) * 99 // 100] * 1_000
            )
            singles = list(islice(commands, stage.sized(SINGLES, 20)))
            begun = time.perf_counter()
            await asyncio.gather(
                *(_all(ledger, [[c] for c in singles[n::AT_ONCE]]) for n in range(AT_ONCE))
            )
            rate = len(singles) / (time.perf_counter() - begun)
            figures.setdefault(f"{AT_ONCE} at once", []).append(rate)
            for size in GROUPS:
                calls = max(1, stage.sized(GROUPED) // size)
                groups = [list(islice(commands, size)) for _ in range(calls)]
                begun = time.perf_counter()
                await _all(ledger, groups)
                rate = calls * size / (time.perf_counter() - begun)
                figures.setdefault(f"groups of {size}", []).append(rate)
    finally:
        await ledger.close()
        stage.drop("commands")
    return Result(
        "handle",
        {"members": MEMBERS, "rounds": ROUNDS},
        tuple(
            Figure(
                name,
                "ms" if "call" in name else "commands/s",
                tuple(values),
                None if "call" in name or name == "one by one" else "one by one",
            )
            for name, values in figures.items()
        ),
    )


async def _earn(ledger: Ledger) -> None:
    """Every member has thousands of points, active for weeks."""
    start = to_instant(program().effective_from)
    values = [record(f"m-{n:04}", 1, start, amount=5_000_000) for n in range(MEMBERS)]
    await ledger.handle([received(decode_record(value)) for value in values])


def _commands() -> Iterator[Received]:
    at = format_instant(to_instant(program().effective_from) + 30 * DAY)
    for number in count():
        value = (
            f'{{"specversion":"1.0","id":"c-{number}","source":"/benchmarks","type":'
            f'"command.reserve.v1","subject":"m-{number % MEMBERS:04}","time":"{at}","data":'
            f'{{"reservation_id":"r-{number}","points":{POINTS}}}}}'
        )
        yield received(decode_record(value.encode()))


async def _timed(ledger: Ledger, inputs: Sequence[Received]) -> float:
    begun = time.perf_counter()
    await _all(ledger, [inputs])
    return time.perf_counter() - begun


async def _all(ledger: Ledger, groups: Sequence[Sequence[Received]]) -> None:
    for group in groups:
        for outcome in await ledger.handle(group):
            assert outcome.kind == "applied", outcome
