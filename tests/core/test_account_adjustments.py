"""Points given and taken by hand."""

import pytest

from ledger.core.errors import Undecidable
from schemas.decisions import PointsAdjusted
from tests.core.account_tools import Member, at, refused, timeline

PROGRAM = """
program: test
currency: RUB
time_zone: UTC
effective_from: 2017-01-01T00:00:00Z
point_value: 1
activation: {after: P14D}
expiry: {after: P1M}
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
surveys:
  - {id: short, award: {fixed: 20}, activation: immediately, expiry: {after: P5D}}
  - {id: later, award: {fixed: 20}}
tiers:
  qualify_by: {points_earned: {window: lifetime}}
  levels: [{id: gold, at_least: 10}]
returns: {policy: debt, debt_limit: 5}
redemption: {minimum: 10, step: 5, per_day: 10}
"""


def member_of() -> Member:
    return Member(timeline(PROGRAM))


def test_given_points_are_a_lot_of_their_own_spendable_at_once() -> None:
    member = member_of()
    (event,) = member.adjust("2017-01-03", 7)
    assert isinstance(event, PointsAdjusted)
    assert (event.points, event.reason, event.actor) == (7, "goodwill", "clerk-7")
    assert [(p.account, p.points, p.lot) for p in event.postings] == [
        ("adjusted", -7, 1), ("available", 7, 1),
    ]  # fmt: skip
    assert member.points == (7, 0, 0)
    lot = member.account.holdings.lots[1]
    assert (lot.expires_at, lot.source) == (at("2017-02-03"), "")
    assert member.account.granted == 0
    assert member.account.tier == "none"


def test_given_points_may_have_an_expiry_of_their_own() -> None:
    member = member_of()
    member.adjust("2017-01-03", 7, expires_at="2017-01-04")
    member.tick("2017-01-04")
    assert member.points == (0, 0, 0)
    assert member.account.expired == 7
    assert refused(member.adjust("2017-01-05", 7, expires_at="2017-01-05")) == "already_expired"


def test_given_points_pay_a_debt_first() -> None:
    member = member_of()
    member.adjust("2017-01-03", -5, allow_debt=True)
    assert member.account.balances().debt == 5
    member.adjust("2017-01-03", 7)
    assert member.points == (2, 0, 0)
    assert member.account.balances().debt == 0


def test_points_given_late_that_would_have_expired_are_given_and_expire() -> None:
    member = member_of()
    member.survey("2017-01-10", "short")
    member.adjust("2017-01-03", 7, expires_at="2017-01-05")
    assert member.points == (20, 0, 0)
    assert member.account.expired == 7


def test_points_are_taken_in_draw_order_and_no_more_than_there_are() -> None:
    member = member_of()
    member.adjust("2017-01-03", 10)
    member.survey("2017-01-03", "short")
    member.survey("2017-01-03", "later")
    assert refused(member.adjust("2017-01-03", -31)) == "not_enough_points"
    (event,) = member.adjust("2017-01-03", -23)
    assert [(p.account, p.points, p.lot) for p in event.postings] == [
        ("available", -20, 2), ("adjusted", 20, 2), ("available", -3, 1), ("adjusted", 3, 1),
    ]  # fmt: skip
    assert member.points == (7, 20, 0)


def test_a_debt_by_hand_is_not_bounded_by_that_of_returns() -> None:
    member = member_of()
    member.adjust("2017-01-03", 10)
    (event,) = member.adjust("2017-01-03", -31, allow_debt=True)
    assert [(p.account, p.points, p.lot) for p in event.postings] == [
        ("available", -10, 1), ("adjusted", 10, 1), ("available", -21, 0), ("adjusted", 21, 0),
    ]  # fmt: skip
    assert member.points == (-21, 0, 0)
    assert refused(member.adjust("2017-01-03", -1)) == "not_enough_points"
    member.adjust("2017-01-03", -1, allow_debt=True)
    assert member.points == (-22, 0, 0)


def test_reserved_points_are_not_taken_and_no_limit_of_spending_counts() -> None:
    member = member_of()
    member.adjust("2017-01-03", 20)
    member.reserve("2017-01-03", "v", 10)
    assert refused(member.adjust("2017-01-03", -11)) == "not_enough_points"
    member.adjust("2017-01-03", -7)
    assert member.points == (3, 0, 10)


def test_an_adjustment_of_nothing_is_impossible() -> None:
    member = member_of()
    member.survey("2017-01-03", "later")
    with pytest.raises(Undecidable) as refusal:
        member.adjust("2017-01-20", 0)
    assert refusal.value.code == "no_points"
