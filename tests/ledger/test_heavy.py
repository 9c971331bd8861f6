"""One account with very many events: it costs what is still open in it, not what it has behind it.

A shop assistant's card, say, that is used six times a day for years. What a purchase, a load from
the log and a snapshot cost follows from the lots that are open and the orders that can be returned.
"""

import time
from collections.abc import Sequence

import psycopg
import pytest

from ledger import numbering
from ledger.application import Ledger
from ledger.core import snapshot
from ledger.settings import Settings
from tests.ledger.events import direct, purchase, returned
from tests.ledger.opened import TEST_SECONDS, opened, run

PER_DAY = 6

SETTLED = 1_400
"""Purchases after which the account has as many open lots and orders as it will ever have: points
live for half a year, orders for thirty days and as many to be late."""

BATCH = 50
"""Purchases of one call: as many as of a busy member may wait in Kafka."""

WINDOW = 500
"""Purchases over which the time is taken: tenths of a second."""

GROWTH_MAX = 4.0
"""Of the CPU time of a purchase, which other work may double; between the windows of the long test
there are six times the events, and what grew with them would grow as much."""

SECONDS_EACH = 0.05
"""For each purchase a hundred times what it needs: a busy machine is no failure."""

MANY = [
    pytest.param(2_500, id="some"),
    pytest.param(10_500, id="many", marks=pytest.mark.long),
]
"""Purchases: 4,700 and 20,700 events."""


def amount_of(number: int) -> int:
    """Minor units of a purchase."""
    return 100 + number * 37 % 9_000


async def buy(ledger: Ledger, numbers: Sequence[int]) -> float:
    """The member buys; CPU seconds of this process for each purchase."""
    begun = time.process_time()
    for start in range(0, len(numbers), BATCH):
        some = numbers[start : start + BATCH]
        events = [purchase("m1", f"o{n}", n / PER_DAY, amount_of(n)) for n in some]
        for outcome in await ledger.handle(direct(*events)):
            assert outcome.kind == "applied", outcome
    return (time.process_time() - begun) / len(numbers)


@pytest.mark.parametrize("purchases", MANY)
def test_what_lies_behind_costs_nothing(
    settings: Settings, owner: psycopg.Connection, purchases: int
) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await buy(ledger, range(SETTLED))
            early = await buy(ledger, range(SETTLED, SETTLED + WINDOW))
            await buy(ledger, range(SETTLED + WINDOW, purchases - WINDOW))
            late = await buy(ledger, range(purchases - WINDOW, purchases))
            assert late < GROWTH_MAX * early, (early, late)

            account = await ledger.account("m1")
            assert account.purchases == purchases
            assert account.version > 1.8 * purchases
            assert len(account.holdings.lots) < SETTLED
            assert len(account.orders) < SETTLED

            # What is loaded is the snapshot and at most as many events as lie between two of them.
            found = owner.execute("SELECT version, length(state) FROM ledger.snapshots").fetchall()
            ((version, size),) = found
            assert account.version - version < numbering.SNAPSHOT_EVERY + 2 * BATCH
            assert size == pytest.approx(len(snapshot.encode(account)), rel=0.05)

            # A return of the oldest order that can be, decided on the account as it is loaded.
            ledger.cache.evict_shard(ledger_shard(ledger))
            oldest = next(iter(account.orders))
            number = int(oldest[1:])
            (back,) = await ledger.handle(
                direct(returned("m1", oldest, "r1", number / PER_DAY + 29))
            )
            assert back.kind == "applied"
            after = await ledger.account("m1")
            assert sum(map(len, (after.orders, account.orders))) == 2 * len(account.orders)

            # Of an older software's snapshot nothing is used: the same account, from all events.
            owner.execute("UPDATE ledger.snapshots SET schema_hash = 'older', state = 'nonsense'")
            assert await ledger.account("m1") == after

    run(test(), TEST_SECONDS + SECONDS_EACH * purchases)


def ledger_shard(ledger: Ledger) -> int:
    """The shard of the member."""
    return next(shard for shard, _ in ledger.cache._entries)
