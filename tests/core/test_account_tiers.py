"""Tiers: how long one lasts, what a program version and a late input change."""

import pytest

from ledger.core.rules.tiers import tier_in
from ledger.core.settle import next_due
from tests.core.account_tools import Member, at, timeline

PROGRAM = """
program: test
currency: RUB
time_zone: UTC
effective_from: FROM
point_value: 1
activation: immediately
expiry: never
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
tiers:
  qualify_by: {amount_spent: {window: WINDOW}}
  levels: [{id: silver, at_least: SILVER}, {id: gold, at_least: 5000}]
  downgrade: {DOWNGRADE}
"""


def program(
    window: str = "calendar_year",
    downgrade: str = "grace: P1M",
    silver: int = 1000,
    start: str = "2017-01-01T00:00:00Z",
) -> str:
    text = PROGRAM.replace("FROM", start).replace("WINDOW", window)
    return text.replace("DOWNGRADE", downgrade).replace("SILVER", str(silver))


def changes(member: Member) -> list[tuple[int, str]]:
    return list(member.account.tiers)


def test_a_tier_lasts_to_the_end_of_the_next_period_plus_grace() -> None:
    member = Member(timeline(program()))
    member.buy("2017-03-01", "X", 1000)
    assert member.account.tier == "silver"
    assert next_due(member.account, member.programs) == at("2019-02-01")
    assert member.account.tier_at(at("2019-02-01") - 1, member.programs) == "silver"
    assert member.account.tier_at(at("2019-02-01"), member.programs) == "none"
    member.tick("2020-01-01")
    assert changes(member) == [(at("2017-03-01"), "silver"), (at("2019-02-01"), "none")]


def test_without_grace_it_ends_with_the_period() -> None:
    member = Member(timeline(program("calendar_month", "to: to_qualified")))
    member.buy("2017-01-10", "X", 5000)
    member.buy("2017-02-10", "Y", 1000)
    member.tick("2017-06-01")
    assert changes(member) == [
        (at("2017-01-10"), "gold"),
        (at("2017-03-01"), "silver"),
        (at("2017-04-01"), "none"),
    ]


def test_one_down_falls_one_level_at_each_period() -> None:
    member = Member(timeline(program("calendar_month", "to: one_down, grace: P5D")))
    member.buy("2017-01-10", "X", 5000)
    member.tick("2017-12-01")
    assert changes(member) == [
        (at("2017-01-10"), "gold"),
        (at("2017-03-06"), "silver"),
        (at("2017-04-06"), "none"),
    ]


def test_a_lifetime_tier_stays() -> None:
    member = Member(timeline(program("lifetime")))
    member.buy("2017-01-10", "X", 5000)
    assert next_due(member.account, member.programs) is None
    member.give_back("2017-01-11", "X", "r")
    assert member.account.tier == "none"


def test_a_return_takes_away_what_it_alone_had_reached_but_not_the_past() -> None:
    member = Member(timeline(program("calendar_month", "grace: P5D")))
    member.buy("2017-01-10", "X", 1000)
    member.tick("2017-02-02")
    member.give_back("2017-02-03", "X", "r")
    # Held when January ended: a fact, that counts until the grace is over.
    assert member.account.tier == "silver"
    member.tick("2017-02-06")
    assert member.account.tier == "none"


def test_a_purchase_earns_by_the_tier_before() -> None:
    member = Member(timeline(program()))
    assert member.buy("2017-03-01", "X", 5000)[-1].tier == "none"  # type: ignore[union-attr]
    assert member.buy("2017-03-02", "Y", 1)[-1].tier == "gold"  # type: ignore[union-attr]


def test_a_new_program_version_requalifies_at_its_moment() -> None:
    later = program(silver=300, start="2017-05-01T00:00:00Z")
    member = Member(timeline(program(), later))
    member.buy("2017-03-01", "X", 500)
    assert next_due(member.account, member.programs) == at("2017-05-01")
    member.tick("2017-06-01")
    assert changes(member) == [(at("2017-05-01"), "silver")]


def test_a_late_purchase_changes_the_tier_from_its_moment() -> None:
    member = Member(timeline(program()))
    member.buy("2017-03-01", "X", 400)
    member.buy("2017-03-10", "Y", 400)
    event = member.buy("2017-03-05", "Z", 400)[-1]
    assert [(c.at, c.previous, c.to) for c in event.tier_changes] == [
        (at("2017-03-05"), "none", "silver")
    ]
    # One that is late too is judged with the tier of its moment.
    assert member.buy("2017-03-07", "W", 1)[-1].tier == "silver"  # type: ignore[union-attr]
    assert member.buy("2017-03-04", "V", 1)[-1].tier == "none"  # type: ignore[union-attr]


def test_a_late_purchase_that_reaches_nothing_changes_no_tier() -> None:
    member = Member(timeline(program()))
    member.buy("2017-03-10", "X", 1000)
    assert member.buy("2017-03-05", "Y", 1)[-1].tier_changes == ()
    assert changes(member) == [(at("2017-03-10"), "silver")]


def test_a_late_purchase_of_an_earlier_period_lasts_as_long_as_that_one() -> None:
    member = Member(timeline(program("calendar_month", "grace: P5D")))
    member.buy("2017-05-01", "X", 100)
    member.buy("2017-01-10", "Y", 1000)
    assert changes(member) == [(at("2017-01-10"), "silver"), (at("2017-03-06"), "none")]
    assert member.account.tier == "none"


def test_what_a_late_purchase_reached_ends_before_what_came_later() -> None:
    member = Member(timeline(program("calendar_month", "grace: P5D")))
    member.buy("2017-05-01", "X", 1000)
    member.buy("2017-01-10", "Y", 1000)
    assert changes(member) == [
        (at("2017-01-10"), "silver"),
        (at("2017-03-06"), "none"),
        (at("2017-05-01"), "silver"),
    ]


def test_a_late_return_takes_away_a_tier_reached_after_it() -> None:
    member = Member(timeline(program()))
    member.buy("2017-03-01", "X", 600)
    member.buy("2017-03-10", "Y", 600)
    assert member.account.tier == "silver"
    event = member.give_back("2017-03-05", "X", "r")[-1]
    assert [(c.at, c.previous, c.to) for c in event.tier_changes] == [
        (at("2017-03-10"), "silver", "none")
    ]
    assert member.account.tier == "none"


def test_a_late_return_changes_the_tier_from_its_moment() -> None:
    member = Member(timeline(program()))
    member.buy("2017-03-01", "X", 1000)
    member.buy("2017-03-20", "Y", 100)
    event = member.give_back("2017-03-10", "X", "r")[-1]
    assert [(c.at, c.previous, c.to) for c in event.tier_changes] == [
        (at("2017-03-10"), "silver", "none")
    ]
    assert tier_in(member.account.tiers, at("2017-03-09")) == "silver"


@pytest.mark.parametrize("measure", ["points_earned", "purchases"])
def test_other_measures(measure: str) -> None:
    text = program().replace("amount_spent", measure).replace("5000", "2")
    member = Member(timeline(text.replace("1000", "1")))
    member.buy("2017-03-01", "X", 100)
    assert member.account.tier == "silver"
    member.buy("2017-03-02", "Y", 100)
    assert member.account.tier == "gold"
    member.give_back("2017-03-03", "Y", "r")
    assert member.account.tier == "silver"


def test_a_late_return_takes_away_what_the_next_period_had_from_it() -> None:
    member = Member(timeline(program("calendar_month", "to: to_qualified")))
    member.buy("2017-01-10", "X", 1000)
    member.buy("2017-02-10", "Y", 1000)
    member.buy("2017-04-10", "Z", 1)
    assert changes(member) == [(at("2017-01-10"), "silver"), (at("2017-04-01"), "none")]
    event = member.give_back("2017-02-15", "Y", "r")[-1]
    # February had January's purchase still; March has nothing.
    assert [(c.at, c.previous, c.to) for c in event.tier_changes] == [
        (at("2017-03-01"), "silver", "none")
    ]
    assert changes(member) == [(at("2017-01-10"), "silver"), (at("2017-03-01"), "none")]
    assert tier_in(member.account.tiers, at("2017-02-28")) == "silver"
