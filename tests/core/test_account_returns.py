"""Returns: what is taken back, from where, and what is given back with it."""

import pytest

from schemas.decisions import (
    WHOLE_AWARD,
    AccountSettled,
    Facts,
    PurchaseReturned,
    ReturnWaiting,
)
from tests.core.account_tools import Member, at, refused, timeline

PROGRAM = """
program: test
currency: RUB
time_zone: UTC
effective_from: 2017-01-01T00:00:00Z
point_value: 1
activation: {after: P7D}
expiry: {after: P1M}
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
  - {id: soon, award: {fixed: 10}, activation: immediately}
surveys:
  - {id: s, award: {fixed: 20}, activation: immediately}
tiers:
  qualify_by: {amount_spent: {window: calendar_month}}
  levels: [{id: silver, at_least: 1000}]
returns: {RETURNS}
redemption: {restore_grace: P2D}
"""


def member_of(returns: str = "policy: debt") -> Member:
    return Member(timeline(PROGRAM.replace("RETURNS", returns)))


def returned(member: Member) -> PurchaseReturned:
    return [e for e in member.events if isinstance(e, PurchaseReturned)][-1]


def taken(member: Member) -> tuple[int, int, int]:
    """(taken, expired, let go) of the last return."""
    clawbacks = returned(member).clawbacks
    return (
        sum(c.taken for c in clawbacks),
        sum(c.expired for c in clawbacks),
        sum(c.let_go for c in clawbacks),
    )


def test_partial_returns_favour_the_member_and_the_last_one_settles() -> None:
    member = member_of()
    member.buy("2017-01-02", "X", 333, 667)
    assert member.points == (10, 10, 0)
    takes = []
    for n in range(3):
        member.give_back("2017-01-03", "X", f"r{n}", {"1": 111})
        takes.append(taken(member)[0])
    # Line 1 has 3 of base and 3 of soon: a third each, rounded down, then the rest.
    assert takes == [2, 2, 2]
    member.give_back("2017-01-03", "X", "all")
    assert member.points == (0, 0, 0)
    assert refused(member.give_back("2017-01-03", "X", "more")) == "returned_more_than_bought"


def test_a_line_of_amount_0_is_returned_by_naming_it() -> None:
    member = member_of()
    member.buy("2017-01-02", "X", 0)
    assert member.points == (10, 0, 0)
    member.give_back("2017-01-03", "X", "r", {"1": 0})
    assert member.points == (0, 0, 0)
    again = member.give_back("2017-01-03", "X", "r2", {"1": 0})
    assert refused(again) == "returned_more_than_bought"


def test_points_are_taken_from_the_own_lot_then_the_order_then_others() -> None:
    member = member_of()
    member.survey("2017-01-01", "s")
    member.buy("2017-01-02", "X", 1000)
    # The award `soon` is spent; the survey expires sooner but is no lot of the order.
    member.reserve("2017-01-02", "v", 30)
    member.confirm("2017-01-02", "v")
    member.buy("2017-01-02", "Y", 1000)
    assert member.points == (10, 20, 0)
    member.give_back("2017-01-03", "X", "r")
    # base: its own pending lot; soon: nothing of the order is left, so what is available.
    assert member.points == (0, 10, 0)
    assert taken(member) == (20, 0, 0)


@pytest.mark.parametrize(
    ("returns", "points", "let_go"),
    [
        ("policy: debt", (-5, 0, 0), 0),
        ("policy: debt, debt_limit: 2", (-2, 0, 0), 3),
        ("policy: within_balance", (0, 0, 0), 5),
        ("policy: only_pending", (5, 0, 0), 10),
    ],
)
def test_the_policy_bounds_what_is_taken(
    returns: str, points: tuple[int, int, int], let_go: int
) -> None:
    member = member_of(returns)
    member.buy("2017-01-02", "X", 1000)
    member.reserve("2017-01-02", "v", 5)
    member.confirm("2017-01-02", "v")
    assert member.points == (5, 10, 0)
    member.give_back("2017-01-03", "X", "r")
    assert member.points == points
    assert taken(member)[2] == let_go


def test_reserved_points_are_not_touched() -> None:
    member = member_of("policy: within_balance")
    member.buy("2017-01-02", "X", 1000)
    member.reserve("2017-01-02", "v", 10)
    member.give_back("2017-01-02", "X", "r")
    assert member.points == (0, 0, 10)


def test_what_expired_unspent_counts_as_taken_back() -> None:
    member = member_of()
    member.buy("2017-01-02", "X", 1000)
    member.tick("2017-02-02")  # the 10 of `soon` are gone
    assert member.account.expired == 10
    member.give_back("2017-02-03", "X", "r")
    assert taken(member) == (10, 10, 0)
    assert member.points == (0, 0, 0)


def test_a_return_lowers_the_tier_at_once() -> None:
    member = member_of()
    member.buy("2017-01-02", "X", 900, 200)
    assert member.account.tier == "silver"
    member.give_back("2017-01-03", "X", "r", {"2": 200})
    assert member.account.tier == "none"
    assert [(c.at, c.previous, c.to) for c in returned(member).tier_changes] == [
        (at("2017-01-03"), "silver", "none")
    ]


def test_the_window_includes_its_last_instant() -> None:
    for when, code in ((at("2017-02-02"), None), (at("2017-02-02") + 1, "return_window_over")):
        member = member_of("policy: debt, window: P1M")
        member.buy("2017-01-02", "X", 1000)
        events = member.give_back(when, "X", "r")
        assert (None if code is None else refused(events)) == code


def test_a_return_before_its_purchase_waits_for_it() -> None:
    member = member_of()
    waiting = member.give_back("2017-01-03", "X", "r", {"1": 400})[-1]
    assert isinstance(waiting, ReturnWaiting)
    assert waiting.deadline == at("2018-01-03")
    events = member.buy("2017-01-02", "X", 1000)
    assert [type(event).__name__ for event in events] == ["PurchaseRewarded", "PurchaseReturned"]
    assert events[1].cause == waiting.cause
    assert member.points == (6, 6, 0)
    assert member.account.waiting == {}


def test_a_waiting_return_that_does_not_fit_is_refused_when_its_purchase_comes() -> None:
    member = member_of()
    member.give_back("2017-01-03", "X", "r", {"9": 400})
    events = member.buy("2017-01-02", "X", 1000)
    assert [type(event).__name__ for event in events] == ["PurchaseRewarded", "InputRefused"]
    assert member.points == (10, 10, 0)


def test_a_waiting_return_is_refused_at_its_deadline() -> None:
    member = member_of("policy: debt, window: P1M")
    member.give_back("2017-01-03", "X", "r")
    settled = member.tick("2017-02-03")[0]
    assert isinstance(settled, AccountSettled)
    assert settled.refused_returns == ("r",)
    assert len(member.buy("2017-02-03", "X", 1000)) == 1


def test_a_return_of_an_order_that_was_forgotten_is_refused() -> None:
    member = member_of()
    events = member.give_back("2017-01-03", "X", "r", facts=Facts(order_known=True))
    assert refused(events) == "return_window_over"


def test_an_unknown_line_is_refused() -> None:
    member = member_of()
    member.buy("2017-01-02", "X", 1000)
    assert refused(member.give_back("2017-01-03", "X", "r", {"9": 1})) == "unknown_line"


def test_points_spent_on_the_order_are_restored_to_their_lots() -> None:
    member = member_of()
    member.survey("2017-01-01", "s")
    member.reserve("2017-01-02", "v", 20)
    member.confirm("2017-01-02", "v")
    member.buy("2017-01-02", "X", 500, 500, redemption_id="v")
    assert member.points == (10, 10, 0)
    member.give_back("2017-01-03", "X", "r1", {"1": 500})
    assert member.points == (5 + 10, 5, 0)
    member.give_back("2017-01-04", "X", "r2", {"2": 500})
    assert member.points == (20, 0, 0)
    assert member.account.holdings.lots[1].expires_at == at("2017-02-01")


def test_what_is_restored_to_an_expired_lot_lives_on_for_the_grace() -> None:
    member = member_of()
    member.survey("2017-01-01", "s")
    member.reserve("2017-01-02", "v", 20)
    member.confirm("2017-01-02", "v")
    member.buy("2017-01-30", "X", 1000, redemption_id="v")
    member.give_back("2017-02-10", "X", "r")
    assert returned(member).lot_expiries == ((1, at("2017-02-12")),)
    assert member.points == (20, 0, 0)
    member.tick("2017-02-12")
    assert member.points == (0, 0, 0)


def test_a_referral_is_taken_back_whole() -> None:
    referral = """
referral:
  qualifies: {first_purchase: {at_least: 800}}
  referrer: {fixed: 100}
  referee: {fixed: 50}
"""
    programs = timeline(PROGRAM.replace("RETURNS", "policy: debt") + referral)
    referee, referrer = Member(programs, "new"), Member(programs, "old")
    referee.referred("2017-01-01", "old")
    bought = referee.buy("2017-01-02", "X", 500, 500)[-1]
    (effect,) = bought.effects
    referrer.effect(effect.occurred_at, effect.type, bytes(effect.data))
    assert referee.points == (10, 60, 0)
    assert referrer.points == (0, 100, 0)
    referee.give_back("2017-01-03", "X", "r1", {"1": 100})
    assert returned(referee).referral is None
    referee.give_back("2017-01-04", "X", "r2", {"1": 200})
    back = returned(referee)
    assert back.referral == "taken_back"
    assert [c.points for c in back.clawbacks if c.line == WHOLE_AWARD] == [50]
    (effect,) = back.effects
    assert effect.type == "effect.revoke.v1"
    referrer.effect(effect.occurred_at, effect.type, bytes(effect.data))
    assert referrer.points == (0, 0, 0)
    again = referrer.effect(effect.occurred_at, effect.type, bytes(effect.data))
    assert refused(again) == "unknown_reward"
    referee.buy("2017-01-05", "Y", 1000)
    assert referee.account.referral is not None
    assert referee.account.referral.status == "taken_back"
