"""Tiers set by hand: they hold over what is qualified until their end, and leave nothing behind."""

import pytest

from audit.entries import explain
from ledger.core.rules.tiers import tier_in
from ledger.core.settle import next_due
from schemas.decisions import TierChange, TierOverridden
from tests.core.account_tools import MINIMAL, Member, at, refused, timeline

PROGRAM = """
program: test
currency: RUB
time_zone: UTC
effective_from: 2017-01-01T00:00:00Z
point_value: 1
activation: immediately
expiry: never
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
  - {id: gold-double, when: {tier: gold}, award: {multiplier: {of: base, by: 2}}}
tiers:
  qualify_by: {amount_spent: {WINDOW}}
  levels: [{id: silver, at_least: 1000}, {id: gold, at_least: 5000, welcome: 50}]
  downgrade: {DOWNGRADE}
"""


def tiered(window: str = "window: calendar_year", downgrade: str = "grace: P1M") -> Member:
    text = PROGRAM.replace("WINDOW", window).replace("DOWNGRADE", downgrade)
    return Member(timeline(text))


def test_a_tier_set_by_hand_holds_until_its_end() -> None:
    member = tiered()
    (event,) = member.override("2017-02-01", "gold", "2017-08-01")
    assert isinstance(event, TierOverridden)
    assert event.tier_changes == (TierChange(at("2017-02-01"), "none", "gold"),)
    assert (event.actor, event.reason) == ("agent-7", "status match")
    assert next_due(member.account, member.programs) == at("2017-08-01")
    member.buy("2017-03-01", "A", 200)
    assert member.points == (50 + 4, 0, 0), "welcomed, and bought as gold"
    assert member.account.tier_at(at("2017-08-01") - 1, member.programs) == "gold"
    member.tick("2017-08-01")
    assert member.account.tier == "none"
    told = explain(event, "RUB")
    assert told.headline == (
        "tier gold by hand until 1 August 2017, 00:00, by agent-7: status match"
    )


def test_at_its_end_the_tier_is_what_is_qualified() -> None:
    member = tiered()
    member.override("2017-02-01", "gold", "2017-08-01")
    (event,) = member.buy("2017-03-01", "A", 1000)
    assert event.tier_changes == ()
    member.tick("2017-09-01")
    assert member.account.tiers == (
        (at("2017-02-01"), "gold"),
        (at("2017-08-01"), "silver"),
    )


def test_it_can_hold_a_member_down() -> None:
    member = tiered()
    member.override("2017-02-01", "none", "2017-08-01")
    member.buy("2017-03-01", "A", 6000)
    assert member.account.tier == "none"
    assert next_due(member.account, member.programs) == at("2017-08-01")
    (settled,) = member.tick("2017-08-01")
    assert member.account.tier == "gold"
    assert [award.rule for award in getattr(settled, "awards", ())] == ["gold"]
    assert member.points == (110, 0, 0)


def test_neither_a_return_nor_the_end_of_a_period_changes_it() -> None:
    member = tiered()
    member.buy("2017-01-05", "A", 5000)
    member.override("2017-02-01", "gold", "2019-06-01")
    member.give_back("2017-02-02", "A", "r")
    assert member.account.tier == "gold"
    member.tick("2019-05-31")
    assert member.account.tier == "gold"
    member.tick("2019-06-01")
    assert member.account.tier == "none"


def test_no_grace_keeps_what_was_set_by_hand() -> None:
    member = tiered(downgrade="grace: P6M")
    member.buy("2017-03-01", "A", 1000)
    member.override("2018-02-01", "gold", "2019-02-01")
    member.tick("2019-02-01")
    # Gold was held when 2018 ended, but silver is what its amounts and those of 2017 had reached.
    assert member.account.tier == "silver"
    member.tick("2019-07-01")
    assert member.account.tier == "none"


@pytest.mark.parametrize("downgrade", ["grace: P20D", "to: one_down, grace: P20D"])
def test_it_ends_over_a_rolling_window_too(downgrade: str) -> None:
    member = tiered("rolling: P30D", downgrade)
    member.buy("2017-01-15", "A", 1000)
    member.override("2017-02-01", "gold", "2017-02-20")
    member.tick("2017-02-19")
    assert member.account.tier == "gold"
    member.tick("2017-02-20")
    assert member.account.tier == "silver", "A left on 02-14, and silver is kept to 03-06"
    member.tick("2017-03-05")
    assert member.account.tier == "silver"
    member.tick("2017-03-06")
    assert member.account.tier == "none"


def test_a_later_command_replaces_it() -> None:
    member = tiered()
    member.override("2017-02-01", "gold", "2018-02-01")
    member.override("2017-03-01", "silver", "2017-04-01")
    assert member.account.tier == "silver"
    member.tick("2017-04-01")
    assert member.account.tier == "none"
    assert next_due(member.account, member.programs) is None


def test_the_same_tier_by_hand_changes_nothing_now() -> None:
    member = tiered()
    member.buy("2017-01-05", "A", 1000)
    (event,) = member.override("2017-02-01", "silver", "2020-02-01")
    assert event.tier_changes == ()
    member.tick("2020-01-31")
    assert member.account.tier == "silver"
    member.tick("2020-02-01")
    assert member.account.tier == "none"


def test_late_it_holds_from_its_own_moment() -> None:
    member = tiered()
    member.buy("2017-06-01", "A", 1000)
    (event,) = member.override("2017-03-01", "gold", "2017-04-01")
    assert event.late_by
    tiers = member.account.tiers
    assert [tier_in(tiers, at(f"2017-0{month}-01")) for month in range(2, 7)] == [
        *("none", "gold", "none", "none", "silver"),
    ]
    member.override("2017-05-15", "gold", "2017-07-01")
    assert member.account.tier == "gold"
    member.tick("2017-07-01")
    assert member.account.tier == "silver"


def test_a_late_purchase_does_not_reach_into_it() -> None:
    member = tiered()
    member.override("2017-02-01", "silver", "2017-03-01")
    member.buy("2017-04-01", "B", 1)
    member.buy("2017-01-15", "A", 6000)
    tiers = member.account.tiers
    assert [
        tier_in(tiers, at(day)) for day in ("2017-01-15", "2017-02-01", "2017-02-28", "2017-03-01")
    ] == [*("gold", "silver", "silver", "gold")]


def test_a_late_return_does_not_reach_into_it() -> None:
    member = tiered()
    member.buy("2017-01-15", "A", 6000)
    member.override("2017-02-01", "silver", "2017-03-01")
    member.buy("2017-04-01", "B", 1)
    assert member.account.tier == "gold"
    member.give_back("2017-01-20", "A", "r")
    tiers = member.account.tiers
    assert [
        tier_in(tiers, at(day)) for day in ("2017-01-20", "2017-02-01", "2017-02-28", "2017-03-01")
    ] == [*("none", "silver", "silver", "none")]


@pytest.mark.parametrize(
    ("tier", "until", "code"),
    [
        ("platinum", "2017-03-01", "unknown_tier"),
        ("gold", "2017-02-01", "bad_until"),
        ("gold", "2017-01-31", "bad_until"),
        ("gold", "2027-02-12", "bad_until"),
    ],
)
def test_what_cannot_be_set_is_refused(tier: str, until: str, code: str) -> None:
    member = tiered()
    assert refused(member.override("2017-02-01", tier, until)) == code
    assert member.account.overrides == ()


def test_a_program_without_tiers_has_none_to_set() -> None:
    member = Member(timeline(MINIMAL))
    assert refused(member.override("2017-02-01", "gold", "2017-03-01")) == "no_tiers"


def test_stretches_long_over_are_forgotten() -> None:
    member = tiered()
    member.override("2017-02-01", "gold", "2017-03-01")
    member.buy("2017-06-01", "A", 1)
    assert member.account.overrides
    member.buy("2021-06-01", "B", 1)
    assert member.account.overrides == ()
