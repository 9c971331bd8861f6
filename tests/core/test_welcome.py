"""Welcome awards: once per level, at the moment of entering it, taken back with what reached it."""

import pytest

from audit.entries import explain
from ledger.core.settle import next_due
from schemas.decisions import AccountSettled, PurchaseReturned, PurchaseRewarded
from tests.core.account_tools import Member, at, timeline

PROGRAM = """
program: test
currency: RUB
time_zone: UTC
effective_from: FROM
point_value: 1
activation: ACTIVATION
expiry: {after: P2Y}
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
  - {id: gold-double, when: {tier: gold}, award: {multiplier: {of: base, by: 2}}}
tiers:
  qualify_by: {amount_spent: {window: calendar_year}}
  levels:
    - {id: silver, at_least: SILVER, welcome: 20}
    - {id: gold, at_least: 5000, welcome: 50}
returns: {policy: POLICY}
"""


def welcoming(
    activation: str = "immediately",
    silver: int = 1000,
    start: str = "2017-01-01T00:00:00Z",
    policy: str = "debt",
) -> str:
    text = PROGRAM.replace("FROM", start).replace("ACTIVATION", activation)
    return text.replace("SILVER", str(silver)).replace("POLICY", policy)


def granted(member: Member) -> list[tuple[str, int, int]]:
    return [
        (award.rule, award.points, award.granted_at)
        for event in member.events
        for award in getattr(event, "awards", ())
        if award.kind == "welcome"
    ]


def test_the_purchase_that_enters_a_level_brings_its_welcome() -> None:
    member = Member(timeline(welcoming()))
    (event,) = member.buy("2017-03-01", "A", 1000)
    assert isinstance(event, PurchaseRewarded)
    assert [(a.rule, a.kind, a.points, a.counts_for_tier) for a in event.awards] == [
        ("base", "rate", 10, True),
        ("silver", "welcome", 20, False),
    ]
    assert event.awards[0].lot != event.awards[1].lot
    assert member.points == (30, 0, 0)
    told = explain(event, "RUB")
    assert "silver (welcome): +20 points" in told.details


def test_it_waits_and_expires_as_the_program_says() -> None:
    member = Member(timeline(welcoming("{after: P14D}")))
    member.buy("2017-03-01", "A", 1000)
    assert member.points == (0, 30, 0)
    member.tick("2017-03-15")
    assert member.points == (30, 0, 0)
    member.tick("2019-03-15")
    assert member.points == (0, 0, 0)


def test_who_jumps_over_a_level_is_welcomed_by_the_one_entered() -> None:
    member = Member(timeline(welcoming()))
    member.buy("2017-03-01", "A", 6000)
    assert granted(member) == [("gold", 50, at("2017-03-01"))]


def test_a_level_welcomes_once_in_a_lifetime() -> None:
    member = Member(timeline(welcoming()))
    member.buy("2017-03-01", "A", 1000)
    member.tick("2019-01-01")
    assert member.account.tier == "none"
    member.buy("2019-02-01", "B", 1000)
    assert member.account.tier == "silver"
    assert granted(member) == [("silver", 20, at("2017-03-01"))]
    member.buy("2019-02-02", "C", 4000)
    assert granted(member)[1:] == [("gold", 50, at("2019-02-02"))]


def test_falling_to_a_level_is_no_welcome() -> None:
    member = Member(timeline(welcoming()))
    member.buy("2017-03-01", "A", 6000)
    member.buy("2018-03-01", "B", 1000)
    member.tick("2019-01-01")
    assert member.account.tier == "silver"
    assert [rule for rule, *_ in granted(member)] == ["gold"]


def test_a_version_that_raises_the_tier_welcomes_when_it_takes_effect() -> None:
    later = welcoming(silver=500, start="2017-06-01T00:00:00Z")
    member = Member(timeline(welcoming(), later))
    member.buy("2017-03-01", "A", 700)
    assert next_due(member.account, member.programs) == at("2017-06-01")
    (settled,) = member.tick("2017-07-01")
    assert isinstance(settled, AccountSettled)
    assert granted(member) == [("silver", 20, at("2017-06-01"))]
    assert member.points == (27, 0, 0)
    assert "welcomed with +20 points" in explain(settled, "RUB").headline


def test_a_welcome_in_settling_pays_the_debt() -> None:
    later = welcoming(silver=500, start="2017-06-01T00:00:00Z")
    member = Member(timeline(welcoming(), later))
    member.buy("2017-03-01", "A", 700)
    member.buy("2017-03-02", "B", 900, 1)
    member.reserve("2017-03-03", "r", 36)
    member.confirm("2017-03-03", "r")
    assert member.account.tier == "silver"
    member.give_back("2017-03-04", "B", "back", {"1": 900})
    assert member.points == (-9 - 20, 0, 0), "the welcome of silver went with it"
    member.tick("2017-06-01")
    assert member.points == (-9, 0, 0), "and came again"


@pytest.mark.parametrize(
    ("expiry", "left"), [("P2D", [("/silver", 17)]), ("P3Y", [("B", 5), ("/silver", 12)])]
)
def test_the_purchase_and_its_welcome_pay_the_debt_together(
    expiry: str, left: list[tuple[str, int]]
) -> None:
    """They become available at one moment: what expires first pays first, whichever it is."""
    text = welcoming().replace("welcome: 20", "welcome: 30")
    text = text.replace("{rate: {points: 1, per_amount: 100}}", "{fixed: 5}")
    member = Member(
        timeline(text.replace("{id: base,", f"{{id: base, expiry: {{after: {expiry}}},"))
    )
    member.buy("2017-03-01", "A", 500)
    member.adjust("2017-03-02", -23, allow_debt=True)
    assert member.account.holdings.debt == 18
    member.buy("2017-03-20", "B", 500)
    assert member.points == (17, 0, 0)
    lots = member.account.holdings.lots.values()
    assert [(lot.source, lot.available) for lot in lots if lot.available] == left
    member.tick("2017-04-01")
    assert member.points == (17, 0, 0), "nothing that was there to pay with has expired"


def test_the_reward_of_a_referral_pays_the_debt_together_with_the_welcome() -> None:
    text = welcoming() + "referral: {qualifies: {first_purchase: {at_least: 0}}, referee: REWARD}\n"
    text = text.replace("REWARD", "{fixed: 7, expiry: {after: P3Y}}")
    member = Member(timeline(text))
    member.referred("2017-03-01", "m2")
    member.adjust("2017-03-02", -25, allow_debt=True)
    member.buy("2017-03-03", "A", 1000)
    lots = member.account.holdings.lots.values()
    assert [(lot.granted, lot.available) for lot in lots if lot.available] == [(7, 7), (20, 5)]


def test_a_return_that_takes_the_level_away_takes_its_welcome_back() -> None:
    member = Member(timeline(welcoming()))
    member.buy("2017-03-01", "A", 600)
    member.buy("2017-03-02", "B", 500)
    (event,) = member.give_back("2017-03-05", "A", "r")
    assert isinstance(event, PurchaseReturned)
    (taken,) = event.welcomes
    assert (taken.level, taken.points, taken.taken) == ("silver", 20, 20)
    assert member.points == (5, 0, 0)
    assert "welcome of silver taken back: 20 due, 20 taken" in explain(event, "RUB").details
    member.buy("2017-03-06", "C", 500)
    assert [rule for rule, *_ in granted(member)] == ["silver", "silver"], "it welcomes again"
    assert member.points == (30, 0, 0)


def test_a_return_that_leaves_the_level_leaves_the_welcome() -> None:
    member = Member(timeline(welcoming()))
    member.buy("2017-03-01", "A", 1500)
    member.buy("2017-03-02", "B", 500)
    (event,) = member.give_back("2017-03-05", "B", "r")
    assert isinstance(event, PurchaseReturned)
    assert not event.welcomes
    assert member.points == (35, 0, 0)


def test_what_was_bought_after_the_welcome_does_not_take_it_back() -> None:
    member = Member(timeline(welcoming()))
    member.buy("2017-03-01", "A", 1000)
    member.buy("2018-03-02", "B", 500)
    member.buy("2019-03-03", "C", 1000)
    assert member.account.tier == "silver"
    (event,) = member.give_back("2019-03-05", "C", "r")
    assert isinstance(event, PurchaseReturned)
    assert member.account.tier == "none"
    assert not event.welcomes


def test_the_policy_says_how_far_a_welcome_is_taken_back() -> None:
    member = Member(timeline(welcoming(policy="within_balance")))
    member.buy("2017-03-01", "A", 1000)
    member.reserve("2017-03-02", "r", 25)
    member.confirm("2017-03-02", "r")
    (event,) = member.give_back("2017-03-05", "A", "back")
    assert isinstance(event, PurchaseReturned)
    (taken,) = event.welcomes
    assert (taken.points, taken.taken, taken.let_go) == (20, 0, 20)
    assert member.points == (0, 0, 0)


def test_a_welcome_that_expired_unspent_counts_as_taken_back() -> None:
    text = welcoming().replace("{after: P2Y}", "{after: P1M}")
    member = Member(timeline(text))
    member.buy("2017-03-01", "A", 1000)
    member.buy("2017-05-01", "B", 100)
    (event,) = member.give_back("2017-05-02", "A", "back")
    assert isinstance(event, PurchaseReturned)
    (taken,) = event.welcomes
    assert (taken.points, taken.taken, taken.expired) == (20, 0, 20)
    assert member.points == (1, 0, 0)
    assert not member.account.expired_unspent


def test_a_late_purchase_welcomes_at_its_own_moment() -> None:
    member = Member(timeline(welcoming("{after: P14D}")))
    member.buy("2017-04-01", "A", 100)
    member.buy("2017-03-01", "B", 900)
    assert granted(member) == [("silver", 20, at("2017-03-01"))]
    assert member.points == (29, 1, 0), "B and its welcome are due already"


def test_the_welcome_is_no_lot_of_the_order() -> None:
    member = Member(timeline(welcoming()))
    member.buy("2017-03-01", "A", 1000)
    lots = member.account.holdings.lots
    assert [lot.source for lot in lots.values()] == ["A", "/silver"]


def test_points_of_a_survey_or_an_activity_can_enter_a_level_too() -> None:
    text = welcoming().replace("amount_spent", "points_earned").replace("1000,", "40,")
    text = text.replace("5000,", "60,").replace(
        "tiers:", "  - {id: r, on: {activity: review}, award: {fixed: 20}}\ntiers:"
    )
    text += "surveys: [{id: s, award: {fixed: 40}, counts_for_tier: true}]\n"
    member = Member(timeline(text))
    member.survey("2017-03-01", "s")
    assert granted(member) == [("silver", 20, at("2017-03-01"))]
    member.activity("2017-03-02", "review", "r1")
    assert [rule for rule, *_ in granted(member)] == ["silver", "gold"]
    assert member.points == (40 + 20 + 20 + 50, 0, 0)


def test_a_level_lost_and_entered_again_at_one_instant_welcomes_again() -> None:
    member = Member(timeline(welcoming()))
    member.buy("2017-03-01", "A", 1000)
    member.give_back("2017-03-02", "A", "r1")
    member.buy("2017-03-02", "B", 1000)
    assert granted(member) == [("silver", 20, at("2017-03-01")), ("silver", 20, at("2017-03-02"))]
    assert member.points == (30, 0, 0)
