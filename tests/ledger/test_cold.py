"""Many more members than the cache holds: every balance is right, and memory does not grow."""

import asyncio
import gc
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import psycopg
import pytest
from msgspec import Struct

from ledger.accounts import account_key_of, load_accounts
from ledger.cache import AccountCache, Cached
from ledger.core.account import Account
from ledger.core.decide import decide
from ledger.core.program.compiled import compile_program
from ledger.core.program.form import Program
from ledger.core.program.timeline import Timeline
from ledger.core.records import Redemption
from ledger.settings import Settings
from ledger.sharding import shard_of
from ledger.weight import weight_of
from schemas.decode import instant_of
from tests.ledger.crowd import Crowd, name_of
from tests.ledger.events import SHARDS, direct, purchase, reserve, returned, survey
from tests.ledger.opened import check_log, instant, opened, run

ROOT = Path(__file__).parents[2]


class Size(Struct, frozen=True):
    """Of a crowd. `again`: visits of known members, in each of the two parts. `more_mb`: what ten
    times the members may take more, at the peak: what the process remembers beside accounts (40 MB
    of members' hashes), and what the allocator does not give back."""

    members: int
    again: int
    cached: int
    more_mb: float
    seconds: float


SMALL = Size(members=5_000, again=2_500, cached=250, more_mb=20, seconds=600)
LARGE = Size(members=1_000_000, again=150_000, cached=50_000, more_mb=100, seconds=10_800)

CHECKED_AT_ONCE = 10_000
"""Accounts in memory while all are checked."""


@pytest.mark.parametrize(
    "size", [SMALL, pytest.param(LARGE, marks=pytest.mark.long)], ids=["small", "large"]
)
def test_all_are_right_and_memory_is_bounded(url: str, settings: Settings, size: Size) -> None:
    arguments = [str(one) for one in (size.members, size.again, size.cached)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.ledger.crowd", url, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=size.seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    sys.stdout.write(done.stdout)  # the figures, for who runs it with -s
    tenth, whole = (json.loads(line) for line in done.stdout.splitlines())
    assert (tenth["members"], whole["members"]) == (size.members // 10, size.members)
    assert whole["cached"] <= size.cached
    assert whole["hits"] > size.again // 4, "those who came back at once were not in the cache"
    assert whole["misses"] > size.members + size.again // 4, "all others were in the cache"
    assert whole["peak_mb"] - tenth["peak_mb"] < size.more_mb

    crowd = Crowd()
    visits = 0
    for arriving in (size.members // 10, size.members - size.members // 10):
        visits += sum(1 for _ in crowd.arrive(arriving))
        visits += sum(1 for _ in crowd.come_again(size.again))

    async def check() -> None:
        async with opened(settings) as ledger:
            assert await ledger.outcome_counts() == {("direct", "applied"): visits}
            program_id = ledger.identity.program_id
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            for first in range(0, size.members, CHECKED_AT_ONCE):
                some = range(first, min(first + CHECKED_AT_ONCE, size.members))
                places = [(shard_of(name_of(member), SHARDS), name_of(member)) for member in some]
                accounts = await load_accounts(connection, program_id, places)
                for member, place in zip(some, places, strict=True):
                    balances = accounts[place].balances()
                    found = balances.available + balances.pending
                    assert found == crowd.points[member], (name_of(member), balances)

    asyncio.run(check())


# --- the bound of the cache -------------------------------------------------------------------


def shopper(member: str, programs: Timeline, purchases: int) -> Account:
    """Who comes once a week, answers the survey, and brings something back now and then."""
    account = Account.new(member)
    inputs: list[Any] = [survey(member)]
    for number in range(purchases):
        inputs.append(purchase(member, f"{member}-{number}", number * 7, 3_000))
        if number % 10 == 9:
            inputs.append(returned(member, f"{member}-{number}", f"r{number}", number * 7 + 1))
    inputs.append(reserve(member, "hold", purchases * 7))
    for event in inputs:
        decide(account, event, instant_of(event), programs)
    return account


@pytest.fixture(scope="module")
def programs(program: Program) -> Timeline:
    """The program of the tests' ledger."""
    compiled = compile_program(program)
    return Timeline([(compiled.effective_from, compiled)])


@pytest.mark.parametrize("purchases", [1, 10, 50])
def test_the_estimate_of_an_account_is_near_what_it_takes(
    programs: Timeline, purchases: int
) -> None:
    cache = AccountCache(1_000, 10**9)
    cache.commit(0, 1, {"warm-up": entry("warm-up", programs, purchases)})
    cache.evict_shard(0)
    gc.collect()  # empties the lists of free tuples, too: tracing misses what is taken from them
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(max(30, 600 // purchases)):  # so that what else is kept does not count
            member = f"m-{number:06}"
            cache.commit(0, number, {member: entry(member, programs, purchases)})
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Python's allocator takes a tenth more than is asked of it.
    assert 0.9 < cache.weight / (after - before) < 1.45


def entry(member: str, programs: Timeline, purchases: int) -> Cached:
    """An account as the cache takes it."""
    return Cached(shopper(member, programs, purchases), account_key_of("tests", member))


def test_the_cache_is_bounded_by_bytes(programs: Timeline) -> None:
    one = weight_of(shopper("m0", programs, 5))
    cache = AccountCache(1_000, 10 * one + one // 2)
    for number in range(30):
        cache.commit(0, number, {f"m{number}": entry(f"m{number}", programs, 5)})
        assert cache.weight <= cache.bytes_max
    assert len(cache) in range(9, 12)
    assert cache.get(0, "m29") is not None
    assert cache.get(0, "m0") is None
    # An account that has become as heavy as three or four takes the place of as many.
    cache.commit(0, 30, {"m29": entry("m29", programs, 50)})
    assert cache.weight <= cache.bytes_max
    assert len(cache) < 9
    assert cache.get(0, "m29") is not None


def test_what_a_redemption_remembers_counts(programs: Timeline) -> None:
    """The lots that it drew on have left the account's open lots, and stay with it for a return."""
    account = shopper("m0", programs, 5)
    before = weight_of(account)
    lot = next(iter(account.holdings.lots.values()))
    account.redemptions["r-1"] = Redemption(0, tuple((lot, 1) for _ in range(100)))
    assert weight_of(account) > before + 100 * 200


def test_the_weight_of_the_cache_is_that_of_what_is_in_it(programs: Timeline) -> None:
    cache = AccountCache(3, 10**9)
    for number in range(5):
        cache.commit(number % 2, number, {f"m{number}": entry(f"m{number}", programs, number)})
    cache.commit(0, 5, {"m4": entry("m4", programs, 9)})
    cache.evict(1, ["m3", "nobody"])
    left = [one.weight for one in cache._entries.values()]
    assert len(left) == 2
    assert cache.weight == sum(left)
    assert left[-1] == weight_of(shopper("m4", programs, 9))
    cache.evict_shard(0)
    assert (len(cache), cache.weight) == (0, 0)


def test_an_account_beyond_the_bound_is_not_kept_and_still_right(settings: Settings) -> None:
    """Heavier than the whole cache: it is loaded for every batch."""

    async def test() -> None:
        async with opened(settings) as ledger:
            ledger.cache.bytes_max = 3_000
            for number in range(5):
                events = [purchase("m1", f"o{number}-{n}", number) for n in range(10)]
                await ledger.handle(direct(*events))
                assert len(ledger.cache) == 0
            assert (await ledger.account("m1")).purchases == 50
            assert (await ledger.account("m1")).settled_to == instant(4)
            await check_log(ledger)

    run(test())
