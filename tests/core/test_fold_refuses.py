"""Folding refuses what cannot have been decided, and names the invariant: nothing may be stored
after it, and a log that says so was tampered with."""

from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from ledger.core.account import Account, check_invariants
from ledger.core.errors import InvariantBroken
from ledger.core.fold import evolve
from schemas.decisions import AccountEvent, Clawback, LineReturned, Posting
from schemas.inputs import RevokeEffectData, RewardEffectData
from tests.core.account_tools import Member, timeline

PROGRAM = """
program: test
currency: RUB
time_zone: UTC
effective_from: 2017-01-01T00:00:00Z
point_value: 1
activation: immediately
expiry: {after: P1M}
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
  - {id: more, award: {fixed: 5}}
surveys:
  - {id: s, award: {fixed: 20}}
  - {id: later, award: {fixed: 20}, activation: {after: P9D}}
returns: {policy: debt}
"""


def member_of() -> Member:
    return Member(timeline(PROGRAM))


def refuses(account: Account, event: AccountEvent, number: int) -> None:
    """Folding `event` breaks invariant `number`."""
    with pytest.raises(InvariantBroken) as broken:
        evolve(account, event)
    assert broken.value.number == number
    assert str(broken.value) == f"invariant {number} is broken: {broken.value.message}"


def last(member: Member) -> tuple[Account, Any]:
    """The account before the member's last event, and that event."""
    account = Account.new(member.id)
    for event in member.events[:-1]:
        evolve(account, event)
    return account, member.events[-1]


def test_both_sides_of_every_entry() -> None:
    member = member_of()
    member.survey("2017-01-02", "s")
    member.reserve("2017-01-03", "v", 10)
    account, event = last(member)
    source, target = event.postings
    refuses(account.fork(), replace(event, postings=(source,)), 1)
    uneven = replace(event, postings=(source, replace(target, points=9)))
    refuses(account.fork(), uneven, 1)
    evolve(account, event)
    assert account == member.account


@pytest.mark.parametrize(
    "wrong",
    [
        # Something else than what the awards say is issued.
        {0: Posting("issued", -19, 1, 0), 1: Posting("available", 19, 1, 0)},
        {0: Posting("issued", -20, 2, 0), 1: Posting("available", 20, 2, 0)},
        {0: Posting("issued", -20, 1, 0), 1: Posting("available", 20, 2, 0)},
        {0: Posting("issued", -20, 1, 0), 1: Posting("available", 19, 1, 0)},
        {0: Posting("expired", -20, 1, 0), 1: Posting("available", 20, 1, 0)},
    ],
)
def test_awards_and_what_is_issued_agree(wrong: dict[int, Posting]) -> None:
    member = member_of()
    event: Any = member.survey("2017-01-02", "s")[-1]
    refuses(Account.new("m1"), replace(event, postings=(wrong[0], wrong[1])), 4)


def test_nothing_is_issued_without_an_award() -> None:
    member = member_of()
    event: Any = member.survey("2017-01-02", "s")[-1]
    refuses(Account.new("m1"), replace(event, postings=()), 4)
    again = (Posting("issued", -5, 1, 0), Posting("available", 5, 1, 0))
    member.reserve("2017-01-03", "v", 10)
    member.confirm("2017-01-03", "v")
    account, spent = last(member)
    refuses(account, replace(spent, postings=(*spent.postings, *again)), 4)


@pytest.mark.parametrize(("lots", "number"), [((2, 2), 3), ((1, 3), 3), ((0, 1), 3)])
def test_lots_are_numbered_one_after_the_other(lots: tuple[int, int], number: int) -> None:
    member = member_of()
    event: Any = member.buy("2017-01-02", "X", 1000)[-1]
    awards = tuple(replace(a, lot=lot) for a, lot in zip(event.awards, lots, strict=True))
    refuses(Account.new("m1"), replace(event, awards=awards), number)


@pytest.mark.parametrize(
    ("source", "target", "points", "lot", "number"),
    [
        ("available", "reserved", 21, 1, 3),  # more than is there
        ("reserved", "available", 1, 1, 3),
        ("pending", "available", 1, 1, 3),
        ("redeemed", "available", 1, 1, 3),  # more than was granted
        ("redeemed", "pending", 1, 1, 3),
        ("available", "redeemed", 1, 2, 3),  # no such lot
        ("redeemed", "available", 1, 0, 2),  # no such debt
        ("available", "revoked", 1, 0, 2),  # a debt beside points
    ],
)
def test_no_lot_holds_less_than_nothing_or_more_than_it_was_granted(
    source: str, target: str, points: int, lot: int, number: int
) -> None:
    member = member_of()
    event: Any = member.survey("2017-01-02", "s")[-1]
    more = (Posting(source, -points, lot, 0), Posting(target, points, lot, 0))
    refuses(Account.new("m1"), replace(event, postings=event.postings + more), number)


def test_points_granted_go_where_they_can_be_held() -> None:
    event: Any = member_of().survey("2017-01-02", "s")[-1]
    issued, target = event.postings
    for account in ("reserved", "revoked", "issued"):
        wrong = replace(event, postings=(issued, replace(target, account=account)))
        refuses(Account.new("m1"), wrong, 3)


def test_an_order_is_bought_once() -> None:
    member = member_of()
    member.buy("2017-01-02", "X", 1000)
    refuses(member.account.fork(), member.events[-1], 5)


def test_a_return_takes_no_more_than_there_was() -> None:
    member = member_of()
    member.buy("2017-01-02", "X", 1000)
    member.tick("2017-02-02")
    member.give_back("2017-02-03", "X", "r", {"1": 600})
    account, event = last(member)
    evolve(account.fork(), event)
    (base, more) = event.clawbacks
    assert (base.expired, more.expired) == (6, 3)
    refuses(account.fork(), replace(event, lines=(LineReturned(0, 1001),)), 10)
    wrong: Clawback = replace(base, points=11)
    refuses(account.fork(), replace(event, clawbacks=(wrong, more)), 10)
    # 15 expired in all: 6 and 10 are more.
    refuses(account.fork(), replace(event, clawbacks=(base, replace(more, expired=10))), 10)
    elsewhere = replace(event, returned=replace(event.returned, order_id="Y"))
    refuses(account.fork(), elsewhere, 10)
    restored = (Posting("redeemed", -1, 1, 0), Posting("available", 1, 1, 0))
    refuses(account.fork(), replace(event, postings=event.postings + restored), 10)


def test_no_more_is_restored_than_was_spent() -> None:
    member = member_of()
    member.survey("2017-01-02", "s")
    for name in ("v", "w"):
        member.reserve("2017-01-02", name, 10)
        member.confirm("2017-01-02", name)
    member.buy("2017-01-03", "X", 1000, redemption_id="v")
    member.give_back("2017-01-04", "X", "r", {"1": 500})
    account, event = last(member)
    assert sum(p.points for p in event.postings if p.account == "redeemed") == -5
    again = (Posting("redeemed", -6, 1, 0), Posting("available", 6, 1, 0))
    refuses(account, replace(event, postings=event.postings + again), 10)


def test_a_reward_is_taken_back_once() -> None:
    member = Member(timeline(PROGRAM), "old")
    reward = RewardEffectData("referral", "m2", "X", 50, "v")
    revoke = RevokeEffectData("referral", "m2", "X")
    member.effect("2017-01-02", "effect.reward.v1", msgspec.json.encode(reward))
    member.effect("2017-01-03", "effect.revoke.v1", msgspec.json.encode(revoke))
    account, event = last(member)
    (clawback,) = event.clawbacks
    refuses(account.fork(), replace(event, clawbacks=(replace(clawback, points=51),)), 10)
    evolve(account, event)
    assert account == member.account


def test_a_recount_finds_totals_that_are_wrong() -> None:
    member = member_of()
    member.survey("2017-01-02", "s")
    member.survey("2017-01-02", "later")
    member.reserve("2017-01-02", "v", 5)
    check_invariants(member.account)
    for name, by, number in (
        ("available", 1, 2), ("pending", 1, 2), ("reserved", 1, 2), ("debt", 1, 2), ("debt", -1, 2),
    ):  # fmt: skip
        account = member.account.fork()
        setattr(account.holdings, name, getattr(account.holdings, name) + by)
        with pytest.raises(InvariantBroken) as broken:
            check_invariants(account)
        assert broken.value.number == number
    for change in ("due", "draw"):
        account = member.account.fork()
        getattr(account.holdings, change).clear()
        with pytest.raises(InvariantBroken, match=r"invariant 3.* order"):
            check_invariants(account)
    account = member.account.fork()
    account.reservations = {}
    with pytest.raises(InvariantBroken, match=r"invariant 2.* reservations hold 0"):
        check_invariants(account)
    account = member.account.fork()
    lots = account.holdings.lots
    lots[1] = replace(lots[1], granted=lots[1].left - 1)
    with pytest.raises(InvariantBroken, match="invariant 3"):
        check_invariants(account)


def test_points_given_by_hand_are_the_lot_that_the_event_names() -> None:
    member = member_of()
    member.adjust("2017-01-02", 10)
    account, event = last(member)
    given, lot = event.postings
    refuses(account.fork(), replace(event, postings=()), 4)
    issued = (replace(given, account="issued"), lot)
    refuses(account.fork(), replace(event, postings=issued), 4)
    more = (replace(given, points=-11), replace(lot, points=11))
    refuses(account.fork(), replace(event, postings=more), 4)
    (award,) = event.awards
    other = replace(award, lot=2)
    moved = tuple(replace(posting, lot=2) for posting in event.postings)
    refuses(account.fork(), replace(event, awards=(other,), postings=moved), 3)
    evolve(account, event)
    assert account == member.account
