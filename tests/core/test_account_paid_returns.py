"""Returns of a purchase that points paid a part of, whatever became of what it earned."""

from collections.abc import Callable

import pytest

from schemas.decisions import PurchaseReturned
from tests.core.account_tools import Member, refused, timeline

PROGRAM = """
program: test
currency: RUB
time_zone: UTC
effective_from: 2017-01-01T00:00:00Z
point_value: 100
activation: immediately
expiry: {after: P10D}
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
surveys:
  - {id: gift, award: {fixed: 100}, expiry: never}
charities: [{id: shelter}]
rewards: [{id: cup, points: 140, kind: gift}]
returns: {policy: POLICY}
"""

FATES: dict[str, Callable[[Member], object]] = {
    "kept": lambda member: None,
    "spent": lambda member: member.redeem("2017-01-04", "other", 140),
    "held": lambda member: member.reserve("2017-01-19", "other", 50, ttl=86_400),
    "expired": lambda member: member.tick("2017-01-15"),
    "donated": lambda member: member.donate("2017-01-04", "shelter", 140),
    "claimed": lambda member: member.claim("2017-01-04", "cup"),
    "taken by hand": lambda member: member.adjust("2017-01-04", -140),
}

# What is available after line 2 came back, and after all did. Line 2 earned 30 of the 90 points
# and was paid with 17 of the 50 that the redemption spent.
KEPT = {"debt": (127, 100), "within_balance": (127, 100), "only_pending": (157, 190)}
GONE = {"debt": (-13, -40), "within_balance": (17, 33), "only_pending": (17, 50)}
EXPIRED = {"debt": (67, 100), "within_balance": (67, 100), "only_pending": (67, 100)}
HELD = {policy: (first - 50, last - 50) for policy, (first, last) in EXPIRED.items()}
LEFT = {"kept": KEPT, "expired": EXPIRED, "held": HELD}


@pytest.mark.parametrize("policy", ["debt", "within_balance", "only_pending"])
@pytest.mark.parametrize("fate", FATES)
@pytest.mark.parametrize("paid", ["before", "after", "held before"])
def test_what_was_earned_is_taken_and_what_was_paid_is_restored(
    policy: str, fate: str, paid: str
) -> None:
    member = Member(timeline(PROGRAM.replace("POLICY", policy)))
    member.survey("2017-01-02", "gift")
    if paid == "before":
        member.redeem("2017-01-03", "v", 50, order="X")
    elif paid == "held before":
        member.reserve("2017-01-03", "v", 60)
    member.buy("2017-01-03", "X", 6000, 3000, redemption_id="v")
    if paid == "after":
        # The points just earned expire first, and would be drawn: they are held elsewhere.
        member.reserve("2017-01-03", "aside", 90)
        member.redeem("2017-01-03", "v", 50)
        member.cancel("2017-01-03", "aside")
    elif paid == "held before":
        member.confirm("2017-01-03", "v", 50, order="X")
    assert member.points == (140, 0, 0)
    FATES[fate](member)
    when = "2017-01-05" if fate == "kept" else "2017-01-19"
    first, last = LEFT.get(fate, GONE)[policy]
    member.give_back(when, "X", "r1", {"2": 3000})
    assert member.points[0] == first
    member.give_back(when, "X", "r2")
    assert member.points[0] == last
    assert refused(member.give_back(when, "X", "r3")) == "returned_more_than_bought"
    (spent,) = [one for one in member.account.redemptions.values() if one.order_id == "X"]
    assert spent.restored == 50


def test_lines_that_points_paid_wholly_come_back_by_naming_them() -> None:
    member = Member(timeline(PROGRAM.replace("POLICY", "debt")))
    member.survey("2017-01-02", "gift")
    member.redeem("2017-01-03", "v", 50, order="X")
    member.buy("2017-01-03", "X", 0, 0)
    member.give_back("2017-01-04", "X", "r1", {"2": 0})
    assert member.points == (50, 0, 0)  # what no amount shares goes to the first line
    member.give_back("2017-01-04", "X", "r2", {"1": 0})
    assert member.points == (100, 0, 0)


def test_a_waiting_return_restores_too_once_its_purchase_came() -> None:
    member = Member(timeline(PROGRAM.replace("POLICY", "debt")))
    member.survey("2017-01-02", "gift")
    member.redeem("2017-01-03", "v", 50, order="X")
    member.give_back("2017-01-04", "X", "r1", {"2": 3000})
    assert member.points == (50, 0, 0)
    member.buy("2017-01-03", "X", 6000, 3000)
    assert member.points == (50 + 60 + 17, 0, 0)


def paid_by(*redemptions: tuple[str, int], policy: str = "only_pending") -> Member:
    """A member with 100 points, of whom these redemptions paid for order X."""
    member = Member(timeline(PROGRAM.replace("POLICY", policy)))
    member.survey("2017-01-02", "gift")
    for name, points in redemptions:
        member.redeem("2017-01-03", name, points, order="X")
    return member


@pytest.mark.parametrize("named", [None, "v", "w"])
def test_all_that_paid_for_an_order_comes_back_with_it(named: str | None) -> None:
    member = paid_by(("v", 30), ("w", 50))
    member.buy("2017-01-03", "X", 6000, 3000, redemption_id=named)
    member.give_back("2017-01-03", "X", "r1", {"2": 3000})
    assert member.points == (20 + 90 + 10 + 17, 0, 0)  # a third of 30, and of 50
    member.give_back("2017-01-03", "X", "r2")
    assert member.points == (100 + 90, 0, 0)
    assert [spent.restored for spent in member.account.redemptions.values()] == [30, 50]


def test_what_several_redemptions_got_back_is_on_the_event_where_it_is_not_clear() -> None:
    member = paid_by(("v", 30), ("w", 50))
    member.buy("2017-01-03", "X", 6000)
    (event,) = member.give_back("2017-01-03", "X", "r1")
    assert isinstance(event, PurchaseReturned)
    assert event.restored == (("v", 30), ("w", 50))
    alone = paid_by(("v", 30))
    alone.buy("2017-01-03", "X", 6000)
    (event,) = alone.give_back("2017-01-03", "X", "r1")
    assert isinstance(event, PurchaseReturned)
    assert event.restored == ()


@pytest.mark.parametrize("named_by", ["confirmation", "purchase"])
def test_points_confirmed_after_the_order_came_back_are_given_back(named_by: str) -> None:
    """The till was offline: its confirmation comes after the return of what it paid for."""
    member = paid_by()
    member.reserve("2017-01-03", "v", 50, ttl=86_400)
    member.buy("2017-01-03", "X", 6000, 3000, redemption_id="v" if named_by == "purchase" else None)
    member.give_back("2017-01-03T10:00:00Z", "X", "r1", {"2": 3000})
    order = "X" if named_by == "confirmation" else None
    (event,) = member.confirm("2017-01-03T11:00:00Z", "v", order=order)
    assert member.points == (50 + 90 + 17, 0, 0)
    assert sum(p.points for p in event.postings if p.account == "redeemed") == 50 - 17
    member.give_back("2017-01-03T12:00:00Z", "X", "r2")
    assert member.points == (190, 0, 0)


def test_points_redeemed_after_the_order_came_back_are_given_back() -> None:
    member = paid_by()
    member.buy("2017-01-03", "X", 6000)
    member.give_back("2017-01-03", "X", "r1")
    member.redeem("2017-01-04", "v", 50, order="X")
    assert member.points == (160, 0, 0)
    assert member.account.redemptions["v"].restored == 50


def test_a_late_confirmation_restores_to_a_lot_that_expired_meanwhile_for_the_grace() -> None:
    program = PROGRAM.replace("POLICY", "only_pending") + "redemption: {restore_grace: P3D}\n"
    member = Member(timeline(program))
    member.buy("2017-01-02", "earlier", 5000)  # 50 points, which expire on 12 January
    member.reserve("2017-01-11", "v", 50, ttl=10 * 86_400)
    member.buy("2017-01-11", "X", 0)
    member.give_back("2017-01-12", "X", "r1", {"1": 0})
    member.confirm("2017-01-13", "v", order="X")
    assert member.points == (50, 0, 0)
    member.tick("2017-01-15T23:59:59Z")
    assert member.points == (50, 0, 0)
    member.tick("2017-01-16")
    assert member.points == (0, 0, 0)
