"""Tiers over a rolling window: by local days, kept for a grace, falling at once or by levels."""

import pytest

from ledger.core.calendar import DAY_US, from_instant
from ledger.core.rules.tiers import tier_in
from ledger.core.settle import next_due
from projections.tiers import progress
from schemas.decisions import TierChange
from tests.core.account_tools import Member, at, merge, timeline
from tests.core.program_texts import HEAD, problems_of

PROGRAM = """
program: test
currency: RUB
time_zone: ZONE
effective_from: FROM
point_value: 1
activation: immediately
expiry: never
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
  - {id: extra, award: {fixed: 5}, counts_for_tier: false}
tiers:
  qualify_by: {MEASURE: {rolling: LENGTH}}
  levels: [{id: silver, at_least: 10}, {id: gold, at_least: 50}]
  downgrade: {DOWNGRADE}
"""


def rolling(
    length: str = "P30D",
    downgrade: str = "to: to_qualified",
    measure: str = "amount_spent",
    zone: str = "UTC",
    start: str = "2017-01-01T00:00:00Z",
) -> str:
    text = PROGRAM.replace("LENGTH", length).replace("DOWNGRADE", downgrade)
    return text.replace("MEASURE", measure).replace("ZONE", zone).replace("FROM", start)


def changes(member: Member) -> list[tuple[str, str]]:
    return [(f"{from_instant(when).date()}", tier) for when, tier in member.account.tiers]


def test_what_was_bought_counts_until_the_window_has_passed_over_its_day() -> None:
    member = Member(timeline(rolling()))
    member.buy("2017-01-01T18:00:00Z", "A", 10)
    member.buy("2017-01-11T09:00:00Z", "B", 40)
    assert member.account.tier == "gold"
    assert next_due(member.account, member.programs) == at("2017-01-31")
    assert member.account.tier_at(at("2017-01-31") - 1, member.programs) == "gold"
    member.tick("2017-12-01")
    assert member.account.tiers == (
        (at("2017-01-01T18:00:00Z"), "silver"),
        (at("2017-01-11T09:00:00Z"), "gold"),
        (at("2017-01-31"), "silver"),
        (at("2017-02-10"), "none"),
    )
    assert next_due(member.account, member.programs) is None


def test_a_day_is_one_of_the_programs_zone_and_months_are_those_of_the_calendar() -> None:
    member = Member(timeline(rolling("P6M", zone="Europe/Berlin")))
    # 00:30 of the 31st in Berlin; February has no 31st.
    member.buy("2017-08-30T22:30:00Z", "A", 10)
    member.tick("2019-01-01")
    assert member.account.tiers[-1] == (at("2018-02-27T23:00:00Z"), "none")


def test_a_day_that_begins_at_one_oclock_ends_no_other_day_late() -> None:
    # In Beirut 2017-03-26 begins at 01:00.
    member = Member(timeline(rolling("P30D", zone="Asia/Beirut")))
    member.buy("2017-03-26T12:00:00Z", "A", 10)
    member.tick("2017-06-01")
    assert member.account.tiers[-1] == (at("2017-04-24T21:00:00Z"), "none")


def test_a_leap_day_counts_until_the_next_end_of_february() -> None:
    member = Member(timeline(rolling("P1Y", start="2015-01-01T00:00:00Z")))
    member.buy("2016-02-29", "A", 10)
    member.tick("2018-01-01")
    assert member.account.tiers[-1] == (at("2017-02-28"), "none")


def test_the_level_is_kept_for_the_grace_after_it_fell() -> None:
    member = Member(timeline(rolling(downgrade="grace: P10D")))
    member.buy("2017-01-01", "A", 10)
    member.buy("2017-01-21", "B", 40)
    # Gold fell on 01-31 and is kept to 02-10; silver, from B alone, falls on 02-20.
    assert member.account.tier_at(at("2017-02-10") - 1, member.programs) == "gold"
    assert next_due(member.account, member.programs) == at("2017-02-10")
    member.tick("2017-12-01")
    assert changes(member)[2:] == [("2017-02-10", "silver"), ("2017-03-02", "none")]


def test_a_small_purchase_when_the_window_has_passed_keeps_no_level_longer() -> None:
    member = Member(timeline(rolling(downgrade="grace: P60D")))
    member.buy("2017-01-01", "A", 60)
    member.buy("2017-03-15", "B", 1)
    member.tick("2017-12-01")
    assert changes(member) == [("2017-01-01", "gold"), ("2017-04-01", "none")]


def test_the_first_day_that_counts_is_one_of_the_programs_zone() -> None:
    measure = timeline(rolling(zone="Europe/Moscow")).at(at("2017-03-01")).measure
    assert measure is not None
    assert measure.rolling is not None
    first = measure.rolling.counted_from(at("2017-03-05T22:00:00Z"))
    assert first == at("2017-02-04T21:00:00Z")


def test_bought_again_within_the_grace_the_tier_is_never_lost() -> None:
    member = Member(timeline(rolling(downgrade="grace: P10D")))
    member.buy("2017-01-01", "A", 50)
    member.buy("2017-02-05", "B", 50)
    member.tick("2017-03-16")
    assert changes(member) == [("2017-01-01", "gold")]
    member.tick("2017-03-17")
    assert changes(member)[-1] == ("2017-03-17", "none")


def test_one_down_falls_a_level_at_the_end_of_each_grace() -> None:
    member = Member(timeline(rolling(downgrade="to: one_down, grace: P10D")))
    member.buy("2017-01-01", "A", 50)
    member.tick("2017-02-01")
    assert next_due(member.account, member.programs) == at("2017-02-10")
    member.tick("2017-12-01")
    assert changes(member) == [
        ("2017-01-01", "gold"),
        ("2017-02-10", "silver"),
        ("2017-02-20", "none"),
    ]


@pytest.mark.parametrize("downgrade", ["grace: P10D", "to: one_down, grace: P10D"])
def test_a_return_takes_away_at_once_what_it_alone_had_reached(downgrade: str) -> None:
    member = Member(timeline(rolling(downgrade=downgrade)))
    member.buy("2017-01-01", "A", 10)
    member.buy("2017-01-02", "B", 40)
    member.give_back("2017-01-05", "B", "r")
    assert changes(member)[-1] == ("2017-01-05", "silver")
    member.give_back("2017-01-06", "A", "r2")
    assert changes(member)[-1] == ("2017-01-06", "none")


def test_a_return_lowers_the_day_of_its_purchase() -> None:
    member = Member(timeline(rolling()))
    member.buy("2017-01-01", "A", 50)
    member.buy("2017-01-20", "B", 50)
    member.give_back("2017-01-25", "A", "r")
    assert member.account.tier == "gold"
    member.tick("2017-02-18")
    assert member.account.tier == "gold"
    member.tick("2017-02-19")
    assert changes(member)[-1] == ("2017-02-19", "none")


def test_points_and_purchases_count_as_well_as_money() -> None:
    points = Member(timeline(rolling(measure="points_earned")))
    points.buy("2017-01-01", "A", 999)
    assert points.account.tier == "none", "5 of its 14 points do not count for a tier"
    points.buy("2017-01-02", "B", 100)
    assert points.account.tier == "silver"
    points.give_back("2017-01-03", "B", "r")
    assert points.account.tier == "none"
    visits = Member(timeline(rolling(measure="purchases")))
    for day in range(1, 11):
        visits.buy(f"2017-01-{day:02}", f"O{day}", 1)
    assert visits.account.tier == "silver"
    visits.tick("2017-01-31")
    assert visits.account.tier == "none"


def test_a_late_purchase_gives_the_tier_from_its_moment_while_the_window_holds_it() -> None:
    member = Member(timeline(rolling()))
    member.buy("2017-01-01", "A", 10)
    member.buy("2017-03-20", "C", 10)
    events = member.buy("2017-01-05", "B", 40)
    assert events[-1].late_by
    tiers = member.account.tiers
    assert [tier_in(tiers, at(day)) for day in ("2017-01-04", "2017-01-05", "2017-01-30")] == [
        *("silver", "gold", "gold"),
    ]
    # A leaves on 01-31 and B on 02-04.
    assert [tier_in(tiers, at(day)) for day in ("2017-01-31", "2017-02-03", "2017-02-04")] == [
        *("silver", "silver", "none"),
    ]
    assert member.account.tier == "silver"


def test_a_late_purchase_and_what_came_after_it_reach_a_level_together() -> None:
    member = Member(timeline(rolling()))
    member.buy("2017-01-20", "B", 30)
    member.buy("2017-01-10", "A", 20)
    assert tier_in(member.account.tiers, at("2017-01-10")) == "silver"
    assert member.account.tier == "gold", "30 and 20 are within the window"
    member.tick("2017-02-09")
    assert member.account.tier == "silver"


def test_a_late_return_lowers_the_tier_from_its_moment() -> None:
    member = Member(timeline(rolling()))
    member.buy("2017-01-01", "A", 10)
    member.buy("2017-01-02", "B", 40)
    member.tick("2017-01-20")
    member.buy("2017-01-21", "C", 1)
    events = member.give_back("2017-01-15", "B", "r")
    assert TierChange(at("2017-01-15"), "gold", "silver") in events[-1].tier_changes
    assert member.account.tier == "silver"


def test_a_version_with_a_rolling_window_counts_what_came_before_it_by_months() -> None:
    calendar = rolling().replace("{rolling: P30D}", "{window: calendar_year}")
    later = rolling("P12M", start="2017-06-01T00:00:00Z")
    member = Member(timeline(calendar, later))
    member.buy("2017-03-20", "A", 50)
    member.tick("2018-02-28")
    assert member.account.tier == "gold"
    member.tick("2018-03-01")
    assert member.account.tier == "none"


def test_what_is_kept_of_days_is_bounded() -> None:
    member = Member(timeline(rolling("P2Y")))
    for day in range(0, 1400, 2):
        member.buy(at("2017-01-01") + day * DAY_US, f"O{day}", 1)
    assert len(member.account.months) == 3 * 401 // 2 + 1
    assert member.account.tier == "gold"


def test_the_progress_is_that_of_the_days_that_count() -> None:
    member = Member(timeline(rolling()))
    member.buy("2017-01-01", "A", 8)
    member.buy("2017-01-05", "B", 5)
    program = member.programs.at(at("2017-01-31"))
    assert progress(member.account, program, at("2017-01-31") - 1) == (
        *("amount_spent", at("2017-01-01"), None, 13),
    )
    assert progress(member.account, program, at("2017-01-31")) == (
        *("amount_spent", at("2017-01-02"), None, 5),
    )


TIERS = "earn:\n- {id: a, award: {fixed: 1}}\ntiers:\n"


@pytest.mark.parametrize(
    ("code", "line", "length", "downgrade"),
    [
        ("not_whole_days", 4, "P1DT12H", "{}"),
        ("not_whole_days", 6, "P30D", "{grace: PT12H}"),
        ("rolling_too_long", 4, "P3Y1D", "{}"),
        ("rolling_too_long", 4, "P2Y", "{grace: P13M}"),
        ("grace_missing", 6, "P30D", "{to: one_down}"),
        ("grace_missing", 6, "P30D", "{to: one_down, grace: P0D}"),
    ],
)
def test_a_rolling_window_that_cannot_be_kept_is_refused(
    code: str, line: int, length: str, downgrade: str
) -> None:
    text = (
        f"{TIERS}  qualify_by: {{purchases: {{rolling: {length}}}}}\n"
        f"  levels: [{{id: silver, at_least: 1}}]\n  downgrade: {downgrade}\n"
    )
    found = [(each.code, each.line) for each in problems_of(HEAD + text)]
    assert found == [(code, 7 + line)]


def test_three_years_are_not_too_long() -> None:
    text = (
        f"{TIERS}  qualify_by: {{purchases: {{rolling: P2Y}}}}\n"
        "  levels: [{id: silver, at_least: 1}]\n  downgrade: {grace: P1Y}\n"
    )
    assert problems_of(HEAD + text) == ()


def test_a_level_that_two_accounts_had_reached_together_is_kept_for_the_grace() -> None:
    """As if all had been bought by the one that stays."""
    programs = timeline(rolling(downgrade="to: to_qualified, grace: P10D"))
    old, new = Member(programs, "old"), Member(programs, "new")
    old.buy("2017-01-01", "A", 30)
    new.buy("2017-01-02", "B", 30)
    old.buy("2017-01-20", "C", 5)
    assert merge(old, new, "2017-02-03") is None
    assert new.account.tier == "gold"
    new.tick("2017-12-01")
    assert changes(new)[-3:] == [
        ("2017-02-03", "gold"),
        ("2017-02-10", "silver"),
        ("2017-02-11", "none"),
    ]
