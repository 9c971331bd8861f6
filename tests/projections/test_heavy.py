"""One member with very many events: folded, refolded when not in memory, shown and asked for."""

import asyncio
import json
import resource
import time
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from ledger.application import Ledger
from ledger.received import received
from ledger.settings import load_settings
from projections.cache import MemberCache
from projections.folding import Folder
from projections.runner import read_models
from tests.projections.conftest import Shop
from tests.projections.history import catch_up, dump, folded_anew
from tests.projections.log_writer import SHARDS, day, purchase
from tests.projections.test_commands import Points, points

__all__ = ["points"]  # a fixture

HEAVY = "anna"
PER_DAY = 6
BATCH = 50

MANY = [
    pytest.param(1_000, id="some"),
    pytest.param(10_300, id="many", marks=pytest.mark.long),
]
"""Purchases: 1,900 and 20,600 events."""

EVENT_SECONDS = 0.002
"""CPU of an event folded into three read models: twenty times what it takes. Whoever looks at all
of the past at each event is beyond it."""

MORE_MB = 150
"""What folding one member with all of these events may take at the peak."""


def buy(shop: Shop, first: int, last: int) -> int:
    """The member buys through the ledger's door; how many events the account has."""
    settings = load_settings({}, database_url=shop.url, shards=SHARDS, partitions=2)

    async def handle() -> int:
        ledger = await Ledger.open(settings)
        try:
            for start in range(first, last, BATCH):
                some = [
                    replace(
                        purchase(f"o{n}", day(n / PER_DAY), [100 + n % 50], "FRESH"), subject=HEAVY
                    )
                    for n in range(start, min(start + BATCH, last))
                ]
                outcomes = await ledger.handle([received(event) for event in some])
                assert all(outcome.kind == "applied" for outcome in outcomes)
            return (await ledger.account(HEAVY)).version
        finally:
            await ledger.close()

    return asyncio.run(handle())


def cpu_seconds(work: Callable[[], object]) -> float:
    """Of this process."""
    begun = time.process_time()
    work()
    return time.process_time() - begun


@pytest.mark.parametrize("purchases", MANY)
def test_a_member_with_many_events(shop: Shop, points: Points, purchases: int) -> None:
    events = buy(shop, 0, purchases)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    folder = Folder(read_models())
    seconds = cpu_seconds(lambda: catch_up(shop.session, folder))
    assert seconds < EVENT_SECONDS * events
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MORE_MB * 1_000

    # One more event, found by who has the member in memory, and by who must fold all of it again.
    for process in (folder, Folder(read_models(), MemberCache(1))):
        purchases += 1
        assert buy(shop, purchases - 1, purchases) > events
        seconds = cpu_seconds(lambda process=process: catch_up(shop.session, process))  # type: ignore[misc]
        assert seconds < EVENT_SECONDS * events
    found = dump(shop.session)
    assert found["member_purchases"].count("\n") + 1 == purchases
    assert found == folded_anew(shop)

    at = day(purchases / PER_DAY + 400).isoformat().replace("+00:00", "Z")
    balance = json.loads(points("balance", HEAVY, "--at", at, "--json").stdout)
    assert (balance["available"], balance["pending"]) == (0, 0), "all has expired by then"
    assert balance["granted"] == balance["expired"] >= 2 * purchases
    shown = json.loads(points("history", HEAVY, "--limit", "3", "--json").stdout)
    assert shown["earlier"] + 3 == buy(shop, 0, 0)
    whole = points("history", HEAVY, "--limit", "1000000").stdout
    assert whole.count("bought for") == purchases
    early = json.loads(points("history", HEAVY, "--at", "2017-01-02T01:00:00Z", "--json").stdout)
    assert [entry["type"] for entry in early["entries"]] == ["PurchaseRewarded"] * (PER_DAY + 1)
