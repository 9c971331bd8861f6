"""The cache alone: which accounts leave first, both bounds, never ahead of what is committed."""

from collections.abc import Callable

import pytest

from ledger.cache import AccountCache, Cached
from ledger.core.account import Account
from ledger.core.records import Redemption
from ledger.weight import (
    ACCOUNT_BYTES,
    HELD_BYTES,
    LOT_BYTES,
    MONTH_BYTES,
    ORDER_BYTES,
    RECORD_BYTES,
    UNSPENT_BYTES,
    WAITING_BYTES,
    weight_of,
)
from tests.core.account_tools import MINIMAL, Member, timeline

PLENTY = 1 << 40
ID = bytes(16)


def cached(*members: str) -> dict[str, Cached]:
    return {member: Cached(Account.new(member), ID) for member in members}


def held(cache: AccountCache, *members: str, shard: int = 0) -> list[str]:
    """Those of the members that are here; looking changes no order."""
    return [member for member in members if (shard, member) in cache._entries]


def test_the_least_recently_used_account_leaves_first() -> None:
    cache = AccountCache(3, PLENTY)
    cache.commit(0, 1, cached("a", "b", "c"))
    assert cache.get(0, "a") is not None
    cache.commit(0, 2, cached("b"))
    cache.commit(0, 3, cached("d"))
    assert held(cache, *"abcd") == ["a", "b", "d"]
    cache.commit(0, 4, cached("e"))
    assert held(cache, *"abcde") == ["b", "d", "e"]
    assert len(cache) == 3


def test_the_bound_in_bytes_counts_what_is_here() -> None:
    cache = AccountCache(100, 3 * ACCOUNT_BYTES)
    cache.commit(0, 1, cached("a", "b", "c"))
    assert (len(cache), cache.weight) == (3, 3 * ACCOUNT_BYTES)
    cache.commit(0, 2, cached("a"))
    assert (len(cache), cache.weight) == (3, 3 * ACCOUNT_BYTES)
    cache.commit(0, 3, cached("d"))
    assert held(cache, *"abcd") == ["a", "c", "d"]
    cache.evict(0, ["a", "unknown"])
    assert (len(cache), cache.weight) == (2, 2 * ACCOUNT_BYTES)
    cache.commit(1, 1, cached("x"))
    cache.evict_shard(0)
    assert (len(cache), cache.weight) == (1, ACCOUNT_BYTES)
    assert held(cache, "x", shard=1) == ["x"]


def test_an_account_heavier_than_the_bound_is_not_kept() -> None:
    cache = AccountCache(100, ACCOUNT_BYTES - 1)
    cache.commit(0, 1, cached("a"))
    assert (len(cache), cache.weight) == (0, 0)


def test_members_of_one_name_in_two_shards_are_two() -> None:
    cache = AccountCache(10, PLENTY)
    cache.commit(0, 1, cached("a"))
    assert cache.get(1, "a") is None
    assert cache.get(0, "a") is not None
    assert (cache.hits, cache.misses) == (1, 1)


def test_what_is_committed_behind_the_cache_is_not_kept() -> None:
    """Another append was told of a later position: the account may have changed again."""
    cache = AccountCache(10, PLENTY)
    cache.commit(0, 5, cached("a", "b"))
    cache.commit(0, 4, cached("a"))
    assert held(cache, "a", "b") == ["b"]
    assert cache.seen(0) == 5
    cache.commit(0, 5, cached("c"))
    assert held(cache, "c") == ["c"]


@pytest.mark.parametrize(("touched", "left"), [(["a", "x"], ["b"]), ([], ["a", "b"]), (None, [])])
def test_a_head_that_moved_evicts_what_its_events_name(
    touched: list[str] | None, left: list[str]
) -> None:
    cache = AccountCache(10, PLENTY)
    assert cache.seen(0) is None
    cache.commit(0, 5, cached("a", "b"))
    cache.commit(1, 9, cached("a"))
    cache.advance(0, 7, touched)
    assert held(cache, "a", "b") == left
    assert (cache.seen(0), cache.seen(1)) == (7, 9)
    assert held(cache, "a", shard=1) == ["a"]
    cache.advance(0, 6, [])
    assert cache.seen(0) == 7, "it never goes back"


Change = Callable[[Member], object]

WEIGHTS: list[tuple[Change, int]] = [
    (lambda m: m.account.used.update({"k": (1, 1), "l": (1, 1)}), 2 * RECORD_BYTES),
    (lambda m: m.reserve("2017-01-02", "v", 5), RECORD_BYTES + HELD_BYTES),
    (lambda m: m.account.rewards.update(r=None), RECORD_BYTES),  # type: ignore[call-overload]
    (lambda m: m.account.redemptions.update(r=Redemption(0, ())), RECORD_BYTES),
    (lambda m: m.account.profile.update(a=True, b=False), 2 * RECORD_BYTES),
    (lambda m: m.account.expired_unspent.update({7: 1, 8: 1}), 2 * UNSPENT_BYTES),
    (lambda m: m.account.months.update({1: (0, 0, 0), 2: (0, 0, 0)}), 2 * MONTH_BYTES),
    (lambda m: m.account.orders.update(Y=b"12345", Z=b""), 2 * ORDER_BYTES + 5),
    (lambda m: m.survey("2017-01-02", "s"), RECORD_BYTES + LOT_BYTES),
    (lambda m: m.give_back("2017-01-02", "Y", "r1"), WAITING_BYTES),
]


@pytest.mark.parametrize(("change", "bytes_more"), WEIGHTS, ids=range(len(WEIGHTS)))
def test_everything_that_an_account_keeps_weighs(change: Change, bytes_more: int) -> None:
    member = Member(timeline(MINIMAL + "surveys: [{id: s, award: {fixed: 5}}]\n"))
    assert weight_of(member.account) == ACCOUNT_BYTES
    member.buy("2017-01-02", "X", 1000)
    before = weight_of(member.account)
    change(member)
    assert weight_of(member.account) == before + bytes_more
