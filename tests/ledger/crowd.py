"""Many members who come to the door of a ledger: who does what, and what each must then have.

A crowd is the same in every process that knows its seed. What a member must have is one integer,
moved by arithmetic that knows nothing of lots, forks or caches: the program of these tests gives a
point for each 100 minor units, and a return of a whole order takes all of its points back.

`python -m tests.ledger.crowd URL MEMBERS AGAIN CACHED` lets a crowd come and prints a line of JSON
for each of its two parts: first a tenth of the members, then the others.
"""

import asyncio
import json
import sys
from array import array
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from ledger.application import Ledger
from ledger.received import INPUTS_MAX
from ledger.settings import load_settings
from schemas.inputs import InputEvent
from tests.ledger.events import PARTITIONS, SHARDS, direct, purchase, returned

SEED = 4

AMOUNT_MAX = 5_000
"""Of a purchase, minor units: far too little for a tier, which would multiply points."""

RECENT = 200
"""Members who come again soon: they are certainly still in the cache."""

VISITS_A_DAY = 200_000
"""All visits lie within the thirty days in which an order can be returned."""


class Visit(NamedTuple):
    """The `number`th visit of the crowd: `member` buys order `order`, or returns it."""

    number: int
    member: int
    order: int
    amount: int
    back: bool = False


class Crowd:
    """The members and what they must have. `points`: of each member, by number."""

    def __init__(self, seed: int = SEED) -> None:
        self.points = array("q")
        self._random = Random(seed)
        self._orders = array("l")
        self._amounts = array("l")
        self._recent: deque[int] = deque(maxlen=RECENT)
        self._visits = 0

    def arrive(self, members: int) -> Iterator[Visit]:
        """So many new members buy for the first time."""
        for member in range(len(self.points), len(self.points) + members):
            self.points.append(0)
            self._orders.append(0)
            self._amounts.append(0)
            yield self._buys(member)

    def come_again(self, visits: int) -> Iterator[Visit]:
        """So many visits by those who are known: half of them by anyone, half by some who were
        there a moment ago. A third brings the last order back, unless that was done before."""
        for _ in range(visits):
            if self._recent and self._random.random() < 0.5:
                member = self._random.choice(self._recent)
            else:
                member = self._random.randrange(len(self.points))
                self._recent.append(member)
            if self._amounts[member] and self._random.random() < 1 / 3:
                yield self._returns(member)
            else:
                yield self._buys(member)

    def _buys(self, member: int) -> Visit:
        amount = self._random.randint(1, AMOUNT_MAX)
        self._orders[member] += 1
        self._amounts[member] = amount
        self.points[member] += amount // 100
        return self._visit(member, amount, back=False)

    def _returns(self, member: int) -> Visit:
        amount, self._amounts[member] = self._amounts[member], 0
        self.points[member] -= amount // 100
        return self._visit(member, amount, back=True)

    def _visit(self, member: int, amount: int, *, back: bool) -> Visit:
        self._visits += 1
        return Visit(self._visits, member, self._orders[member], amount, back)


def name_of(member: int) -> str:
    """The id of a member."""
    return f"m{member}"


def event_of(visit: Visit) -> InputEvent:
    """What the till sends."""
    member, at = name_of(visit.member), visit.number / VISITS_A_DAY
    if visit.back:
        return returned(member, f"o{visit.order}", f"r{visit.order}", at)
    return purchase(member, f"o{visit.order}", at, visit.amount)


async def let_in(ledger: Ledger, visits: Iterable[Visit]) -> None:
    """Bring the visits through the door. Raises AssertionError when one is not applied."""
    coming = iter(visits)
    while some := list(islice(coming, INPUTS_MAX)):
        outcomes = await ledger.handle(direct(*map(event_of, some)))
        assert all(outcome.kind == "applied" for outcome in outcomes), outcomes


def peak_megabytes() -> float:
    """The most memory that this process ever had."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1]) / 1_000


async def _come(url: str, members: int, again: int, cached: int) -> None:
    settings = load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)
    ledger = await Ledger.open(settings)
    ledger.cache.accounts_max = cached
    crowd = Crowd()
    try:
        for arriving in (members // 10, members - members // 10):
            await let_in(ledger, crowd.arrive(arriving))
            await let_in(ledger, crowd.come_again(again))
            cache = ledger.cache
            told: dict[str, Any] = {
                "members": len(crowd.points),
                "cached": len(cache),
                "weight_mb": round(cache.weight / 1e6, 1),
                "hits": cache.hits,
                "misses": cache.misses,
                "peak_mb": round(peak_megabytes(), 1),
            }
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
    finally:
        await ledger.close()


if __name__ == "__main__":
    asyncio.run(_come(sys.argv[1], *map(int, sys.argv[2:])))
