"""PostgreSQL goes away for a while: how soon the ledger notices that it is back."""

import asyncio
import time

from ledger.database import RECONNECT_SECONDS
from tests.ledger.events import direct, purchase, survey
from tests.ledger.opened import run
from tests.ledger.test_crash import opened_over_a_wire, until_answered

AWAY_SECONDS = 8.0
"""With pauses that double from one second, as the pool has them, the next attempt would come after
15 seconds; after an outage of a minute, a minute later."""

NOTICED_SECONDS = 2 * RECONNECT_SECONDS + 1.0
"""An attempt may just have failed, and a machine with other work is slow."""


def test_its_return_is_noticed_soon_however_long_it_was_away(url: str) -> None:
    async def test() -> None:
        async with opened_over_a_wire(url) as (ledger, wired):
            await ledger.handle(direct(survey("m1")))
            wired.leave()
            inputs = direct(purchase("m1", "o1"))
            waiting = asyncio.create_task(until_answered(ledger, inputs))
            done, _ = await asyncio.wait({waiting}, timeout=AWAY_SECONDS)
            assert not done
            wired.come_back()
            came_back_at = time.monotonic()
            assert [outcome.kind for outcome in await waiting] == ["applied"]
            assert time.monotonic() - came_back_at < NOTICED_SECONDS

    run(test())
