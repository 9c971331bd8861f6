"""Calls that are given up at any moment and made again: each input counts once, and no connection
is spoilt for the next."""

import asyncio
import time
from collections import Counter
from random import Random

import pytest

from ledger.application import Ledger
from ledger.settings import Settings, load_settings
from schemas.inputs import InputEvent
from tests.ledger.events import PARTITIONS, SHARDS, direct, purchase
from tests.ledger.opened import opened, run

TASKS = 6
CALLS = 8
"""Of each task."""

CONNECTIONS = 3
"""Fewer than tasks: each connection is used by a call after one that was given up."""

MEASURED = 5
"""Appends that are made alone first; the shortest counts, the others may have waited."""

GIVEN_UP_MAX = 8
"""Then a call may take as long as it takes."""


@pytest.mark.usefixtures("under_lock_max")
@pytest.mark.parametrize("members", [4, 120], ids=["inserted", "copied"])
def test_calls_that_are_given_up(url: str, members: int) -> None:
    settings: Settings = load_settings(
        {}, database_url=url, shards=SHARDS, partitions=PARTITIONS, database_connections=CONNECTIONS
    )
    given_up = Counter[str]()

    async def longest(ledger: Ledger) -> float:
        """As long as an append takes here, in seconds: the moment lies anywhere in it."""
        took = []
        for call in range(MEASURED):
            inputs = [purchase(f"first-{call}-{n}", "o", 1, 100) for n in range(members)]
            begun = time.monotonic()
            await ledger.handle(direct(*inputs))
            took.append(time.monotonic() - begun)
        return min(took)

    async def buys(ledger: Ledger, task: int, longest_seconds: float) -> None:
        random = Random(task)
        for call in range(CALLS):
            inputs: list[InputEvent] = [
                purchase(f"m{(task + n) % (members + 3)}", f"o{task}-{call}-{n}", call / 100, 100)
                for n in range(members)
            ]
            for _ in range(GIVEN_UP_MAX):
                try:
                    async with asyncio.timeout(random.random() * longest_seconds):
                        await ledger.handle(direct(*inputs))
                except TimeoutError:
                    given_up["calls"] += 1
                else:
                    break
            outcomes = await ledger.handle(direct(*inputs))
            assert {outcome.kind for outcome in outcomes} <= {"applied", "duplicate"}

    async def test() -> None:
        async with opened(settings) as ledger:
            seconds = await longest(ledger)
            await asyncio.gather(*(buys(ledger, task, seconds) for task in range(TASKS)))
            bought = Counter(
                (task + n) % (members + 3) for task in range(TASKS) for n in range(members)
            )
            for member, times in bought.items():
                assert (await ledger.account(f"m{member}")).granted == times * CALLS

    run(test())
    assert given_up["calls"] > TASKS
