"""Donations and rewards of the catalogue."""

from schemas.decisions import Facts, InputRefused, PointsDonated, RewardClaimed
from schemas.inputs import ClaimData, RewardClaim
from tests.core.account_tools import Member, refused, timeline

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
charities:
  - {id: shelter}
  - {id: winter, valid: {from: 2017-12-01T00:00:00Z}}
rewards:
  - {id: cup, points: 30, kind: gift, stock: 2}
  - {id: pen, points: 7, kind: gift}
  - {id: cinema, points: 40, kind: voucher}
  - {id: theatre, points: 40, kind: voucher, stock: 1}
  - {id: summer, points: 1, kind: gift, valid: {to: 2017-01-02T00:00:00Z}}
redemption: {minimum: 10, step: 5, per_day: 80}
"""


def member_of(points: int = 200) -> Member:
    member = Member(timeline(PROGRAM))
    member.buy("2017-01-02", "X", points * 100)
    return member


def test_a_donation_spends_within_the_limits() -> None:
    member = member_of()
    (event,) = member.donate("2017-01-03", "shelter", 50)
    assert isinstance(event, PointsDonated)
    assert [(p.account, p.points) for p in event.postings] == [
        ("available", -50), ("redeemed", 50),
    ]  # fmt: skip
    assert member.points == (150, 0, 0)
    assert refused(member.donate("2017-01-03", "shelter", 5)) == "below_minimum"
    assert refused(member.donate("2017-01-03", "shelter", 11)) == "not_a_step"
    assert refused(member.donate("2017-01-03", "shelter", 35)) == "above_day_limit"
    assert refused(member.donate("2017-01-03", "shelter", 155)) == "not_enough_points"
    assert refused(member.donate("2017-01-03", "museum", 10)) == "unknown_charity"
    assert refused(member.donate("2017-01-03", "winter", 10)) == "outside_window"


def test_a_return_restores_nothing_of_a_donation() -> None:
    member = member_of()
    member.donate("2017-01-03", "shelter", 50)
    member.give_back("2017-01-04", "X", "r")
    assert member.points == (-50, 0, 0)


def test_a_gift_is_given_as_often_as_there_is_stock() -> None:
    member = member_of()
    (event,) = member.claim("2017-01-03", "cup", given=1)
    assert isinstance(event, RewardClaimed)
    assert (event.kind, event.points, event.number) == ("gift", 30, 2)
    assert event.facts == Facts(reward_given=1, codes_loaded=0)
    assert member.points == (170, 0, 0)
    assert refused(member.claim("2017-01-03", "cup", given=2)) == "sold_out"


def test_a_gift_without_stock_is_not_counted() -> None:
    (event,) = member_of().claim("2017-01-03", "pen")
    assert isinstance(event, RewardClaimed)
    assert (event.number, event.facts) == (None, None)


def test_a_voucher_needs_a_code_and_its_stock_may_be_smaller() -> None:
    member = member_of()
    assert refused(member.claim("2017-01-03", "cinema")) == "sold_out"
    (event,) = member.claim("2017-01-03", "cinema", given=4, loaded=5)
    assert isinstance(event, RewardClaimed)
    assert event.number == 5
    assert refused(member.claim("2017-01-03", "cinema", given=5, loaded=5)) == "sold_out"
    assert refused(member.claim("2017-01-03", "theatre", given=1, loaded=5)) == "sold_out"
    member.claim("2017-01-03", "theatre", given=0, loaded=5)


def test_a_refusal_says_what_it_rests_on_so_that_deciding_again_refuses_too() -> None:
    member = member_of()
    (refusal,) = member.claim("2017-01-03", "theatre", given=1, loaded=5)
    assert isinstance(refusal, InputRefused)
    assert refusal.facts == Facts(reward_given=1, codes_loaded=5)
    again = RewardClaim(**member.head("2017-01-03"), data=ClaimData("theatre"))
    assert refused(member_of().send(again, refusal.facts)) == refusal.code


def test_what_a_refusal_cannot_rest_on_is_not_recorded() -> None:
    member = member_of()
    event = RewardClaim(**member.head("2017-01-03"), data=ClaimData("car"))
    (refusal,) = member.send(event, Facts(tags=("vip",), segments=("best",)))
    assert isinstance(refusal, InputRefused)
    assert refusal.facts is None


def test_a_claim_is_refused_for_what_is_not_offered_or_cannot_be_paid() -> None:
    member = member_of(points=29)
    assert refused(member.claim("2017-01-03", "car")) == "not_in_catalogue"
    assert refused(member.claim("2017-01-03", "summer")) == "outside_window"
    assert refused(member.claim("2017-01-03", "cup")) == "not_enough_points"


def test_a_claim_counts_in_its_day_whatever_its_price() -> None:
    member = member_of()
    member.claim("2017-01-03", "cup")
    member.claim("2017-01-03", "cup", given=1)
    assert refused(member.claim("2017-01-03", "cinema", loaded=9)) == "above_day_limit"
    member.claim("2017-01-03", "pen")  # 7 points: below the minimum of redemptions, and no step
