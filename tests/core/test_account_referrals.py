"""Referrals: what qualifies, who is refused, what arrival order does not change."""

import pytest

from ledger.core.decide import outcome_of
from schemas.decisions import Facts, PurchaseRewarded, ReferralAccepted
from tests.core.account_tools import MINIMAL, Member, at, refused, timeline

FIRST = """
referral:
  qualifies: {first_purchase: {at_least: 2000, within: P60D}}
  referrer: {fixed: 100}
  referee: {fixed: 50}
"""
ANY = FIRST.replace("first_purchase", "purchase")


def member_of(referral: str = FIRST) -> Member:
    return Member(timeline(MINIMAL + referral))


def test_the_first_purchase_earns_both_rewards() -> None:
    member = member_of()
    member.referred("2017-01-01", "old")
    event = member.buy("2017-03-02", "X", 2000)[-1]
    assert isinstance(event, PurchaseRewarded)
    assert event.referral == "qualified"
    assert [(a.kind, a.points) for a in event.awards] == [("rate", 20), ("referee", 50)]
    (effect,) = event.effects
    assert (effect.target, effect.type, effect.occurred_at) == (
        "old",
        "effect.reward.v1",
        at("2017-03-02"),
    )
    assert member.points == (70, 0, 0)
    assert member.buy("2017-03-03", "Y", 2000)[-1].effects == ()


@pytest.mark.parametrize(("when", "amount"), [("2017-01-05", 1999), ("2017-03-03", 2000)])
def test_a_first_purchase_that_does_not_qualify_closes_the_referral(when: str, amount: int) -> None:
    member = member_of()
    member.referred("2017-01-01", "old")
    event = member.buy(when, "X", amount)[-1]
    assert isinstance(event, PurchaseRewarded)
    assert event.referral == "closed"
    assert event.effects == ()


def test_any_purchase_may_qualify_later() -> None:
    member = member_of(ANY)
    member.referred("2017-01-01", "old")
    assert member.buy("2017-01-02", "X", 100)[-1].effects == ()
    assert len(member.buy("2017-01-03", "Y", 2000)[-1].effects) == 1


def test_a_referral_that_arrives_after_the_purchase_qualifies_at_once() -> None:
    member = member_of()
    member.buy("2017-01-05", "X", 2000)
    event = member.referred("2017-01-05", "old")[-1]
    assert isinstance(event, ReferralAccepted)
    assert (event.referral, event.order_id) == ("qualified", "X")
    assert event.effects[0].occurred_at == at("2017-01-05")
    assert member.points == (70, 0, 0)
    # It can be taken back like any other.
    member.give_back("2017-01-06", "X", "r")
    assert member.points == (0, 0, 0)


def test_what_was_known_of_the_referrer_is_on_the_event() -> None:
    known = Facts(referrer_status="open")
    event = member_of().referred("2017-01-01", "old", facts=known)[-1]
    assert isinstance(event, ReferralAccepted)
    assert event.facts == known


def test_who_bought_before_is_an_existing_buyer() -> None:
    member = member_of()
    member.buy("2017-01-05", "X", 2000)
    assert refused(member.referred(at("2017-01-05") + 1, "old")) == "existing_buyer"


def test_refusals() -> None:
    member = member_of()
    assert refused(member.referred("2017-01-01", "m1")) == "self_referral"
    for status in ("closed", "erased"):
        facts = Facts(referrer_status=status)
        assert refused(member.referred("2017-01-01", "old", facts)) == f"referrer_{status}"
    cycle = Facts(referrer_status="open", referrer_referred_by="m1")
    assert refused(member.referred("2017-01-01", "old", cycle)) == "cycle"
    member.referred("2017-01-01", "old")
    assert refused(member.referred("2017-01-02", "other")) == "already_referred"
    assert refused(Member(timeline(MINIMAL)).referred("2017-01-01", "old")) == "no_referral"


def test_a_reward_from_my_own_referrer_is_refused() -> None:
    one, other = member_of(), Member(timeline(MINIMAL + FIRST), "other")
    one.referred("2017-01-01", "other")
    other.referred("2017-01-01", "m1")  # the race: neither knew of the other
    (effect,) = one.buy("2017-01-02", "X", 2000)[-1].effects
    events = other.effect(effect.occurred_at, effect.type, bytes(effect.data))
    assert refused(events) == "referral_cycle"


def test_an_order_rewards_the_referrer_once() -> None:
    """Decided twice (a database lost its latest commits), its effects have different ids."""
    one, other = member_of(), Member(timeline(MINIMAL + FIRST), "old")
    one.referred("2017-01-01", "old")
    (effect,) = one.buy("2017-01-02", "X", 2000)[-1].effects
    other.effect(effect.occurred_at, effect.type, bytes(effect.data))
    again = other.effect(effect.occurred_at, effect.type, bytes(effect.data))
    assert refused(again) == "already_rewarded"
    assert other.account.granted == 100


def test_a_late_reward_counts_from_the_purchase_that_qualified() -> None:
    one, other = member_of(), Member(timeline(MINIMAL + FIRST), "old")
    one.referred("2017-01-01", "old")
    (effect,) = one.buy("2017-01-02", "X", 2000)[-1].effects
    other.buy("2017-02-01", "Y", 100)
    event = other.effect(effect.occurred_at, effect.type, bytes(effect.data))[-1]
    assert event.late_by == at("2017-02-01") - at("2017-01-02")
    lots = other.account.holdings.lots.values()
    assert sorted(lot.expires_at or 0 for lot in lots) == [at("2018-01-02"), at("2018-02-01")]


@pytest.mark.parametrize(("when", "taken"), [("02-28", False), ("03-01", True), ("04-01", False)])
def test_referrals_and_surveys_are_taken_in_their_window_only(when: str, taken: bool) -> None:
    valid = "valid: {from: 2017-03-01T00:00:00Z, to: 2017-04-01T00:00:00Z}"
    survey = f"surveys: [{{id: s, award: {{fixed: 5}}, {valid}}}]\n"
    member = Member(timeline(f"{MINIMAL}{survey}{FIRST}  {valid}\n"))
    for events in (member.survey(f"2017-{when}", "s"), member.referred(f"2017-{when}", "old")):
        if taken:
            assert outcome_of(events) == "applied"
        else:
            assert refused(events) == "outside_window"
    assert member.account.granted == 5 * taken
