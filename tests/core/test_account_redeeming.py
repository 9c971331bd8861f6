"""Spending at once, and the limits that look at the basket and at the day."""

import pytest

from schemas.decisions import AccountEvent, InputRefused, PointsRedeemed, PointsReserved
from schemas.inputs import AccountFreeze, BasketLine
from tests.core.account_tools import Member, merge, refused, timeline

PROGRAM = """
program: test
currency: RUB
time_zone: Europe/Moscow
effective_from: 2017-01-01T00:00:00Z
point_value: 10
activation: immediately
expiry: {after: P1M}
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
surveys:
  - {id: big, award: {fixed: 1000}, expiry: never}
  - {id: short, award: {fixed: 20}, expiry: {after: P5D}}
redemption: REDEMPTION
"""


def member_of(redemption: str = "{minimum: 10, step: 5}") -> Member:
    member = Member(timeline(PROGRAM.replace("REDEMPTION", redemption)))
    member.survey("2017-01-02", "big")
    return member


def basket(*lines: tuple[str | None, int]) -> tuple[BasketLine, ...]:
    return tuple(BasketLine(amount, category) for category, amount in lines)


# --- at once ----------------------------------------------------------------------------------


def test_a_redemption_spends_in_draw_order_and_holds_nothing() -> None:
    member = member_of()
    member.survey("2017-01-02", "short")
    (event,) = member.redeem("2017-01-03", "v", 30)
    assert isinstance(event, PointsRedeemed)
    assert [(p.account, p.points, p.lot) for p in event.postings] == [
        ("available", -20, 2), ("redeemed", 20, 2), ("available", -10, 1), ("redeemed", 10, 1),
    ]  # fmt: skip
    assert event.basket is None
    assert event.counter is None
    assert member.points == (990, 0, 0)


def test_a_redemption_has_the_limits_of_a_reservation() -> None:
    member = member_of()
    assert refused(member.redeem("2017-01-03", "v", 5)) == "below_minimum"
    assert refused(member.redeem("2017-01-03", "v", 12)) == "not_a_step"
    assert refused(member.redeem("2017-01-03", "v", 1005)) == "not_enough_points"
    member.redeem("2017-01-03", "v", 10)
    assert refused(member.redeem("2017-01-03", "v", 10)) == "redemption_exists"
    assert refused(member.reserve("2017-01-03", "v", 10)) == "reservation_exists"
    member.reserve("2017-01-03", "w", 10)
    assert refused(member.redeem("2017-01-03", "w", 10)) == "redemption_exists"
    assert refused(member.cancel("2017-01-03", "v")) == "reservation_closed"


def test_nothing_is_spent_below_zero() -> None:
    member = member_of()
    member.adjust("2017-01-03", -1010, allow_debt=True)
    assert member.points == (-10, 0, 0)
    assert refused(member.redeem("2017-01-03", "v", 10)) == "not_enough_points"


def test_a_confirmation_of_less_meets_no_minimum_and_no_step() -> None:
    member = member_of()
    member.reserve("2017-01-03", "v", 10)
    member.confirm("2017-01-03", "v", 3)
    assert member.points == (997, 0, 0)


@pytest.mark.parametrize("named_by", ["redemption", "purchase"])
def test_a_return_restores_what_was_redeemed_on_the_lines(named_by: str) -> None:
    member = member_of()
    if named_by == "redemption":
        member.buy("2017-01-03", "X", 6000, 3000)
        member.redeem("2017-01-03", "v", 100, order="X")
    else:
        member.redeem("2017-01-03", "v", 100)
        member.buy("2017-01-03", "X", 6000, 3000, redemption_id="v")
    spent = member.points[0]
    member.give_back("2017-01-04", "X", "r1", {"2": 3000})
    assert member.points[0] == spent - 30 + 33  # 33.3 of the 100 paid for line 2
    member.give_back("2017-01-04", "X", "r2")
    assert member.points == (1000, 0, 0)
    assert refused(member.give_back("2017-01-04", "X", "r3")) == "returned_more_than_bought"


# --- share and exclusions ---------------------------------------------------------------------

HALF = "{maximum_share: {percent: 50}, excluded_categories: [TOBACCO, ALCOHOL]}"


def test_points_pay_at_most_their_share_of_what_is_not_excluded() -> None:
    member = member_of(HALF)
    bought = basket(("FOOD", 999), (None, 100), ("TOBACCO", 5000))
    # 50 % of 10.99 are 549.5 minor units: 54 points of 10.
    assert refused(member.redeem("2017-01-03", "v", 55, basket=bought)) == "above_basket_share"
    assert refused(member.reserve("2017-01-03", "v", 55, basket=bought)) == "above_basket_share"
    (event,) = member.reserve("2017-01-03", "v", 54, basket=bought)
    assert isinstance(event, PointsReserved)
    assert event.basket == bought
    member.redeem("2017-01-03", "w", 54, basket=bought)


def test_a_limit_of_the_basket_needs_the_basket() -> None:
    member = member_of(HALF)
    assert refused(member.redeem("2017-01-03", "v", 10)) == "basket_required"
    assert refused(member.reserve("2017-01-03", "v", 10)) == "basket_required"


def test_excluded_categories_alone_leave_the_rest_to_be_paid_wholly() -> None:
    member = member_of("{excluded_categories: TOBACCO}")
    assert refused(member.redeem("2017-01-03", "v", 1)) == "basket_required"
    bought = basket(("TOBACCO", 1000), ("FOOD", 100))
    assert refused(member.redeem("2017-01-03", "v", 11, basket=bought)) == "above_basket_share"
    member.redeem("2017-01-03", "v", 10, basket=bought)
    only = basket(("TOBACCO", 1000))
    assert refused(member.redeem("2017-01-03", "w", 1, basket=only)) == "above_basket_share"


def test_a_basket_that_no_limit_asks_for_is_not_recorded() -> None:
    member = member_of()
    (event,) = member.redeem("2017-01-03", "v", 10, basket=basket(("FOOD", 1)))
    assert isinstance(event, PointsRedeemed)
    assert event.basket is None


def test_the_share_holds_over_all_that_pays_for_an_order() -> None:
    member = member_of("{maximum_share: {percent: 50}}")
    bought = basket(("FOOD", 1000))  # 50 points may pay
    member.redeem("2017-01-03", "v", 30, order="X", basket=bought)
    assert refused(member.redeem("2017-01-03", "w", 21, order="X", basket=bought)) == (
        "above_basket_share"
    )
    member.redeem("2017-01-03", "other", 50, order="Y", basket=bought)
    member.redeem("2017-01-03", "w", 20, order="X", basket=bought)
    assert refused(member.redeem("2017-01-03", "u", 1, order="X", basket=bought)) == (
        "above_basket_share"
    )
    smaller = basket(("FOOD", 100))
    assert "at most 0 " in said(member.redeem("2017-01-03", "u", 1, order="X", basket=smaller))


def test_what_was_confirmed_for_the_order_counts_and_what_was_restored_no_more() -> None:
    member = member_of("{maximum_share: {percent: 50}}")
    bought = basket(("FOOD", 1000))
    member.reserve("2017-01-03", "v", 40, basket=bought)
    member.confirm("2017-01-03", "v", order="X")
    assert refused(member.redeem("2017-01-03", "w", 11, order="X", basket=bought)) == (
        "above_basket_share"
    )
    member.buy("2017-01-03", "X", 500, 500)
    member.give_back("2017-01-03", "X", "r", {"2": 500})  # 20 of the 40 points are back
    member.redeem("2017-01-03", "w", 30, order="X", basket=bought)


def said(events: list[AccountEvent]) -> str:
    """The sentence of a refusal."""
    (refusal,) = events
    assert isinstance(refusal, InputRefused)
    return refusal.message


# --- the cap of a day -------------------------------------------------------------------------

CAPPED = "{per_day: 100, reservation_ttl: PT30M}"


def test_the_cap_is_over_the_local_day() -> None:
    member = member_of(CAPPED)
    member.redeem("2017-01-03T10:00:00Z", "a", 60)
    assert refused(member.redeem("2017-01-03T20:59:59Z", "b", 41)) == "above_day_limit"
    member.redeem("2017-01-03T20:59:59Z", "c", 40)
    assert refused(member.redeem("2017-01-03T20:59:59Z", "d", 1)) == "above_day_limit"
    member.redeem("2017-01-03T21:00:00Z", "e", 100)  # midnight in Moscow


def test_a_reservation_counts_while_it_is_held_and_what_it_gives_back_no_more() -> None:
    member = member_of(CAPPED)
    member.reserve("2017-01-03T10:00:00Z", "a", 100)
    assert refused(member.reserve("2017-01-03T10:00:00Z", "b", 1)) == "above_day_limit"
    member.cancel("2017-01-03T10:01:00Z", "a")
    member.reserve("2017-01-03T10:02:00Z", "c", 100)
    member.confirm("2017-01-03T10:03:00Z", "c", 70)
    assert refused(member.redeem("2017-01-03T10:04:00Z", "d", 31)) == "above_day_limit"
    member.reserve("2017-01-03T10:05:00Z", "e", 30)
    assert refused(member.redeem("2017-01-03T10:34:59Z", "f", 1)) == "above_day_limit"
    member.redeem("2017-01-03T10:35:00Z", "g", 30)  # "e" has lapsed


def test_a_reservation_counts_in_the_day_in_which_it_was_made() -> None:
    member = member_of(CAPPED)
    member.reserve("2017-01-03T20:50:00Z", "a", 100)
    member.confirm("2017-01-03T21:10:00Z", "a")
    member.redeem("2017-01-03T21:10:00Z", "b", 100)
    assert refused(member.redeem("2017-01-03T21:10:00Z", "c", 1)) == "above_day_limit"


def test_a_return_does_not_open_the_day_again() -> None:
    member = member_of(CAPPED)
    member.redeem("2017-01-03T10:00:00Z", "a", 100, order="X")
    member.buy("2017-01-03T10:00:00Z", "X", 5000, redemption_id="a")
    member.give_back("2017-01-03T11:00:00Z", "X", "r")
    assert member.points == (1000, 0, 0)
    assert refused(member.redeem("2017-01-03T12:00:00Z", "b", 1)) == "above_day_limit"


def test_counters_of_days_are_kept_no_longer_than_an_input_may_be_late() -> None:
    member = member_of(CAPPED)
    for day in range(3, 29):
        member.redeem(f"2017-01-{day:02}T10:00:00Z", f"a{day}", 10)
    assert len(member.account.used) == 26
    member.redeem("2017-02-20T10:00:00Z", "late", 10)
    assert len(member.account.used) == 14  # from 16 January on, and this one
    assert refused(member.redeem("2017-01-20T10:00:00Z", "b", 91)) == "above_day_limit"


def test_a_command_so_late_that_its_day_is_forgotten_spends_nothing_where_days_are_capped() -> None:
    member = member_of(CAPPED)
    member.redeem("2017-02-01T10:00:00Z", "then", 100)
    member.redeem("2017-03-06T10:00:00Z", "now", 10)
    assert refused(member.redeem("2017-02-01T10:00:00Z", "a", 1)) == "above_day_limit"
    member.redeem("2017-03-20T10:00:00Z", "forgets", 10)
    for how in (member.redeem, member.reserve):
        assert refused(how("2017-02-01T10:00:00Z", "b", 10)) == "day_limit_unknown"
    # As late as can be: 34 days less an hour. The use of its day's first instant still counts.
    latest = "2017-02-14T11:00:00Z"
    assert refused(member.redeem("2017-02-14T10:59:59Z", "c", 1)) == "day_limit_unknown"
    member.redeem(latest, "d", 100)
    assert refused(member.redeem(latest, "e", 1)) == "above_day_limit"
    free = member_of()
    free.redeem("2017-03-20T10:00:00Z", "now", 10)
    free.redeem("2017-02-01T10:00:00Z", "late", 10)  # without a cap nothing is to be known


def test_a_merge_adds_up_the_day() -> None:
    ends, stays = member_of(CAPPED), Member(timeline(PROGRAM.replace("REDEMPTION", CAPPED)), "m2")
    stays.survey("2017-01-02", "big")
    ends.redeem("2017-01-03T10:00:00Z", "a", 20)
    ends.reserve("2017-01-03T10:00:00Z", "both", 30)
    ends.reserve("2017-01-03T10:00:00Z", "b", 10)
    stays.reserve("2017-01-03T10:00:00Z", "both", 5)
    merge(ends, stays, "2017-01-03T10:01:00Z")
    assert refused(stays.redeem("2017-01-03T10:02:00Z", "c", 36)) == "above_day_limit"
    stays.redeem("2017-01-03T10:02:00Z", "c", 35)
    stays.cancel("2017-01-03T10:03:00Z", "b")
    stays.redeem("2017-01-03T10:04:00Z", "d", 10)
    assert refused(stays.redeem("2017-01-03T10:04:00Z", "e", 1)) == "above_day_limit"


def test_a_frozen_account_confirms_and_spends_nothing_new() -> None:
    member = member_of()
    member.reserve("2017-01-03", "v", 10)
    member.standing("2017-01-03", AccountFreeze)
    assert refused(member.redeem("2017-01-03", "w", 10)) == "account_frozen"
    assert refused(member.donate("2017-01-03", "shelter", 10)) == "account_frozen"
    assert refused(member.claim("2017-01-03", "cup")) == "account_frozen"
    member.confirm("2017-01-03", "v")
    member.adjust("2017-01-03", -10)
    assert member.points == (980, 0, 0)
