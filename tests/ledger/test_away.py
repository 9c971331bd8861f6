"""PostgreSQL goes away for a while: how often the ledger looks whether it is back."""

import asyncio
import time

from tests.ledger.events import direct, purchase, survey
from tests.ledger.opened import run
from tests.ledger.test_crash import opened_over_a_wire, until_answered

LOOKS = 6
"""Attempts to connect while it is away. With pauses that double from one second, as the pool has
them, so many take more than half a minute, and the next one as long again."""

LOOKS_SECONDS = 20.0
"""Within which they come: twice what they take."""


def test_it_is_looked_for_as_often_however_long_it_is_away(url: str) -> None:
    async def test() -> None:
        async with opened_over_a_wire(url) as (ledger, wired):
            await ledger.handle(direct(survey("m1")))
            wired.leave()
            inputs = direct(purchase("m1", "o1"))
            left_at = time.monotonic()
            waiting = asyncio.create_task(until_answered(ledger, inputs))
            while wired.refused < LOOKS:  # noqa: ASYNC110 (it is a count)
                await asyncio.sleep(0.02)
            assert time.monotonic() - left_at < LOOKS_SECONDS
            assert not waiting.done()
            wired.come_back()
            assert [outcome.kind for outcome in await waiting] == ["applied"]

    run(test())
