"""Each kind of earn rule, walked through by a member: what is bought when, what that earns, and
what of it goes when the goods come back."""

from typing import Any

import pytest

from schemas.decisions import Award, PurchaseRewarded
from tests.core.account_tools import MINIMAL, Member, timeline

BERLIN = MINIMAL.replace("time_zone: UTC", "time_zone: Europe/Berlin")
ALONE = BERLIN.partition("  - {id: base")[0]


def member_of(rules: str, rest: str = "", text: str = ALONE) -> Member:
    """A member under these rules alone, in Berlin."""
    return Member(timeline(text + rules + rest))


def bought(member: Member) -> dict[str, Award]:
    """The awards of the latest purchase."""
    latest = [event for event in member.events if isinstance(event, PurchaseRewarded)][-1]
    return {award.rule: award for award in latest.awards}


def earned(member: Member) -> dict[str, int]:
    """What each rule granted for it."""
    return {rule: award.points for rule, award in bought(member).items()}


def walk(member: Member, moments: list[str], amount: int = 1_000, **more: Any) -> list[int]:
    """Buy at each moment; what rule `r` granted each time."""
    found = []
    for when in moments:
        member.buy(when, f"o{len(member.events)}", amount, **more)
        found.append(earned(member).get("r", 0))
    return found


# --- kinds of award ---------------------------------------------------------------------------


def test_a_rate_on_some_lines_is_shared_and_comes_back_by_line() -> None:
    member = member_of(
        "  - {id: r, award: {rate: {points: 3, per_amount: 200}}, lines: {category: TEA}}\n"
    )
    member.buy("2017-01-02", "A", 333, 900, 334, categories=["TEA", "SOAP", "TEA"])
    assert earned(member) == {"r": 10}
    assert bought(member)["r"].matched_amount == 667
    assert [(share.line, share.points) for share in bought(member)["r"].lines] == [(0, 5), (2, 5)]
    member.give_back("2017-01-03", "A", "soap", {"2": 900})
    assert member.points[0] == 10
    member.give_back("2017-01-04", "A", "tea", {"3": 334})
    assert member.points[0] == 5


def test_a_fixed_award_is_for_the_purchase_and_comes_back_in_proportion() -> None:
    member = member_of("  - {id: r, award: {fixed: 10}}\n")
    member.buy("2017-01-02", "A", 600, 300)
    assert earned(member) == {"r": 10}
    member.give_back("2017-01-03", "A", "part", {"2": 100})
    assert member.points[0] == 9
    member.give_back("2017-01-03", "A", "rest")
    assert member.points[0] == 0


def test_a_table_by_what_the_lines_cost() -> None:
    member = member_of(
        "  - id: r\n    lines: {category: TEA}\n"
        "    award: {table: [{at_least: 500, points: 5}, {at_least: 1000, points: 20}]}\n"
    )
    steps = []
    for amount in (499, 500, 999, 1_000, 10**9):
        member.buy("2017-01-02", f"o{amount}", amount, 5_000, categories=["TEA", "SOAP"])
        steps.append(earned(member).get("r", 0))
    assert steps == [0, 5, 5, 20, 20]
    assert bought(member)["r"].kind == "table"
    member.give_back("2017-01-03", "o1000", "half", {"1": 500})
    assert member.points[0] == 40, "a return takes its proportion; the table is not asked again"


def test_a_multiplier_on_what_a_rule_granted_and_both_come_back() -> None:
    member = member_of(
        "  - {id: base, award: {rate: {points: 1, per_amount: 100}},"
        " limits: [{points: 12, per: month}]}\n"
        "  - {id: r, award: {multiplier: {of: base, by: '2.5'}}, lines: {category: TEA}}\n"
    )
    member.buy("2017-01-02", "A", 600, 400, categories=["TEA", "SOAP"])
    assert earned(member) == {"base": 10, "r": 9}
    member.buy("2017-01-03", "B", 600, 400, categories=["TEA", "SOAP"])
    # Two are left of the month: one of them is for the tea, and 1.5 more, rounded down, is one.
    assert earned(member) == {"base": 2, "r": 1}
    member.give_back("2017-01-04", "A", "tea", {"1": 600})
    assert member.points[0] == 10 + 9 + 2 + 1 - 6 - 9
    member.buy("2017-01-05", "C", 1_000)
    assert earned(member) == {"base": 6}, "what came back is free in the month again"


# --- limits -----------------------------------------------------------------------------------

INSIDE_AND_NEXT = [
    # Berlin's clocks: the day before, the same window twice, then the next window.
    ("day", ["2017-06-01T21:59:59Z", "2017-06-01T22:00:00Z", "2017-06-02T21:59:59Z",
             "2017-06-02T22:00:00Z"]),
    # A day of 23 hours, then of 25.
    ("day", ["2017-03-25T22:59:59Z", "2017-03-25T23:00:00Z", "2017-03-26T21:59:59Z",
             "2017-03-26T22:00:00Z"]),
    ("day", ["2017-10-28T21:59:59Z", "2017-10-28T22:00:00Z", "2017-10-29T22:59:59Z",
             "2017-10-29T23:00:00Z"]),
    ("iso_week", ["2017-06-04T21:59:59Z", "2017-06-04T22:00:00Z", "2017-06-11T21:59:59Z",
                  "2017-06-11T22:00:00Z"]),
    # Week 53 of 2020 ends in January 2021.
    ("iso_week", ["2020-12-27T22:59:59Z", "2020-12-27T23:00:00Z", "2021-01-03T22:59:59Z",
                  "2021-01-03T23:00:00Z"]),
    ("month", ["2017-02-28T22:59:59Z", "2017-02-28T23:00:00Z", "2017-03-31T21:59:59Z",
               "2017-03-31T22:00:00Z"]),
    ("year", ["2017-12-31T22:59:59Z", "2017-12-31T23:00:00Z", "2018-12-31T22:59:59Z",
              "2018-12-31T23:00:00Z"]),
]  # fmt: skip


@pytest.mark.parametrize(("per", "moments"), INSIDE_AND_NEXT)
@pytest.mark.parametrize(
    ("limit", "granted"),
    [
        ("times: 1", [10, 10, 0, 10]),
        ("points: 14", [10, 10, 4, 10]),
        ("points: 10", [10, 10, 0, 10]),
    ],
)
def test_a_limit_counts_within_its_window_and_begins_anew_with_the_next(
    per: str, moments: list[str], limit: str, granted: list[int]
) -> None:
    rule = f"  - {{id: r, award: {{fixed: 10}}, limits: [{{per: {per}, {limit}}}]}}\n"
    assert walk(member_of(rule), moments) == granted


@pytest.mark.parametrize(
    ("limit", "granted"), [("times: 2", [10, 10, 0, 0]), ("points: 25", [10, 10, 5, 0])]
)
def test_a_limit_for_a_lifetime_never_begins_anew(limit: str, granted: list[int]) -> None:
    rule = f"  - {{id: r, award: {{fixed: 10}}, limits: [{{per: lifetime, {limit}}}]}}\n"
    moments = ["2017-06-01T12:00:00Z", "2018-06-01T12:00:00Z", "2025-06-01T12:00:00Z",
               "2040-06-01T12:00:00Z"]  # fmt: skip
    assert walk(member_of(rule), moments) == granted


@pytest.mark.parametrize(
    ("limit", "granted"), [("points: 6", [6, 6, 6]), ("times: 1", [10, 10, 10])]
)
def test_a_limit_per_order_is_for_each_order_alone(limit: str, granted: list[int]) -> None:
    rule = f"  - {{id: r, award: {{fixed: 10}}, limits: [{{per: order, {limit}}}]}}\n"
    member = member_of(rule)
    assert walk(member, ["2017-06-01T12:00:00Z"] * 3) == granted
    assert member.account.used == {}


def test_a_late_purchase_uses_up_the_window_of_its_own_moment() -> None:
    rule = "  - {id: r, award: {fixed: 10}, limits: [{per: day, times: 1}]}\n"
    moments = ["2017-06-03T12:00:00Z", "2017-06-01T12:00:00Z", "2017-06-01T18:00:00Z",
               "2017-06-03T18:00:00Z"]  # fmt: skip
    assert walk(member_of(rule), moments) == [10, 10, 0, 0]


def test_several_limits_bind_together() -> None:
    rule = (
        "  - {id: r, award: {rate: {points: 1, per_amount: 100}},"
        " limits: [{per: order, points: 7}, {per: day, times: 2}, {per: month, points: 15}]}\n"
    )
    member = member_of(rule)
    moments = ["2017-06-01T12:00:00Z"] * 3 + ["2017-06-02T12:00:00Z", "2017-07-01T12:00:00Z"]
    assert walk(member, moments) == [7, 7, 0, 1, 7]


# --- when -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        # `weekday` is the day of the purchase itself, also for hours over midnight.
        ("2017-06-02T20:30:00Z", True),  # Friday 22:30
        ("2017-06-02T23:30:00Z", False),  # Saturday 01:30
        ("2017-06-01T23:30:00Z", True),  # Friday 01:30
        ("2017-06-02T00:30:00Z", False),  # Friday 02:30
    ],
)
def test_hours_over_midnight_on_a_weekday(when: str, holds: bool) -> None:
    rule = (
        "  - {id: r, award: {fixed: 10},"
        " when: {weekday: [fri], hours: {from: '22:00', to: '02:00'}}}\n"
    )
    assert walk(member_of(rule), [when]) == [10 if holds else 0]


@pytest.mark.parametrize(
    ("when", "holds"),
    [
        # 26 March: at 02:00 it is 03:00 at once. 29 October: 02:00 to 03:00 comes twice.
        ("2017-03-26T00:59:59Z", False), ("2017-03-26T01:00:00Z", False),
        ("2017-10-28T23:59:59Z", False), ("2017-10-29T00:00:00Z", True),
        ("2017-10-29T00:59:59Z", True), ("2017-10-29T01:00:00Z", True),
        ("2017-10-29T01:59:59Z", True), ("2017-10-29T02:00:00Z", False),
    ],
)  # fmt: skip
def test_an_hour_that_is_skipped_or_comes_twice(when: str, holds: bool) -> None:
    rule = "  - {id: r, award: {fixed: 10}, when: {hours: {from: '02:00', to: '03:00'}}}\n"
    assert walk(member_of(rule), [when]) == [10 if holds else 0]


def test_purchases_are_numbered_as_they_arrive() -> None:
    rules = (
        "  - {id: first, award: {fixed: 100}, when: {nth_purchase: {is: 1}}}\n"
        "  - {id: r, award: {fixed: 10}, when: {nth_purchase: {every: 3}}}\n"
    )
    member = member_of(rules)
    moments = [f"2017-06-{day:02}T12:00:00Z" for day in (5, 1, 7, 8, 9, 10)]
    assert walk(member, moments) == [0, 0, 10, 0, 0, 10]
    late = [event for event in member.events if isinstance(event, PurchaseRewarded)]
    assert [award.rule for event in late for award in event.awards] == ["first", "r", "r"]


@pytest.mark.parametrize(("bounds", "holds"), [("at_most: -15", True), ("at_most: -16", False)])
def test_a_member_in_debt_has_a_balance_below_zero(bounds: str, holds: bool) -> None:
    rules = (
        "  - {id: base, award: {rate: {points: 1, per_amount: 100}}}\n"
        f"  - {{id: r, award: {{fixed: 10}}, when: {{balance: {{{bounds}}}}}}}\n"
    )
    member = member_of(rules, "returns: {policy: debt}\n")
    member.buy("2017-01-02", "A", 1_500)
    member.reserve("2017-01-02", "v", 15)
    member.confirm("2017-01-02", "v")
    member.give_back("2017-01-03", "A", "b")
    assert walk(member, ["2017-01-04"], 1) == [10 if holds else 0]


# --- overrides --------------------------------------------------------------------------------

PLACES: list[tuple[str, dict[str, Any]]] = [
    ("store: s1", {}),
    ("region: [north, south]", {"region": "north"}),
    ("channel: store", {}),
    ("partner: p1", {"partner_id": "p1"}),
]


@pytest.mark.parametrize(("place", "told"), PLACES)
def test_an_override_for_each_kind_of_place(place: str, told: dict[str, Any]) -> None:
    elsewhere = "{store: s9, award: {fixed: 1000}}"
    rule = (
        f"  - {{id: r, award: {{fixed: 10}}, overrides: [{elsewhere},"
        f" {{{place}, award: {{fixed: 30}}}}, {{channel: store, award: {{fixed: 20}}}}]}}\n"
    )
    assert walk(member_of(rule), ["2017-06-01"], **told) == [30]
    if told:
        assert walk(member_of(rule), ["2017-06-01"]) == [20], "the first that matches counts"


@pytest.mark.parametrize(
    ("award", "other", "here", "there"),
    [
        ("rate: {points: 1, per_amount: 100}", "rate: {points: 1, per_amount: 50}", 10, 20),
        ("table: [{at_least: 0, points: 3}]", "table: [{at_least: 900, points: 8}]", 3, 8),
        ("multiplier: {of: base, by: 2}", "multiplier: {of: base, by: 4}", 10, 30),
    ],
)
def test_an_override_gives_other_numbers_of_the_same_kind(
    award: str, other: str, here: int, there: int
) -> None:
    rules = (
        "  - {id: base, award: {fixed: 10}}\n"
        f"  - {{id: r, award: {{{award}}}, limits: [{{per: lifetime, points: 1000}}],"
        f" overrides: [{{region: north, partner: p1, award: {{{other}}}}}]}}\n"
    )
    member = member_of(rules)
    assert walk(member, ["2017-06-01"]) == [here]
    assert walk(member, ["2017-06-02"], region="north") == [here], "all that are given must match"
    assert walk(member, ["2017-06-03"], region="north", partner_id="p1") == [there]
    assert member.account.used == {"r/lifetime/all": (2 * here + there, 3)}


# --- stacking ---------------------------------------------------------------------------------


def test_of_a_group_only_the_largest_is_granted_and_uses_up_its_limit() -> None:
    group = "stacking: {best_of_group: g}, limits: [{per: day, times: 1}]"
    rules = (
        f"  - {{id: percent, award: {{rate: {{points: 1, per_amount: 100}}}}, {group}}}\n"
        f"  - {{id: r, award: {{fixed: 10}}, {group}}}\n"
        "  - {id: beside, award: {fixed: 1}}\n"
    )
    member = member_of(rules)
    found = []
    for number, amount in enumerate((1_000, 1_100, 900, 500)):
        member.buy("2017-06-01", f"o{number}", amount)
        found.append(earned(member))
    assert found == [
        {"percent": 10, "r": 0, "beside": 1},  # equal: the earlier rule
        {"percent": 0, "r": 10, "beside": 1},  # its limit leaves nothing of the larger
        {"percent": 0, "r": 0, "beside": 1},
        {"percent": 0, "r": 0, "beside": 1},
    ]
    assert {key: of[1] for key, of in member.account.used.items()} == {
        "percent/day/2017-06-01": 1,
        "r/day/2017-06-01": 1,
    }
    assert member.points[0] == 10 + 10 + 4


def test_an_exclusive_rule_shuts_out_what_comes_after_it_while_its_limit_lasts() -> None:
    rules = (
        "  - {id: before, award: {fixed: 1}}\n"
        "  - {id: r, award: {fixed: 50}, stacking: exclusive,"
        " when: {purchase_amount: {at_least: 1000}}, limits: [{per: month, times: 1}]}\n"
        "  - {id: after, award: {fixed: 5}, limits: [{per: lifetime, times: 2}]}\n"
        "  - {id: double, award: {multiplier: {of: after, by: 2}}}\n"
    )
    member = member_of(rules)
    found = []
    for number, amount in enumerate((999, 1_000, 1_000)):
        member.buy("2017-06-01", f"o{number}", amount)
        found.append(earned(member))
    assert found == [
        {"before": 1, "after": 5, "double": 5},
        {"before": 1, "r": 50, "after": 0, "double": 0},
        {"before": 1, "r": 0, "after": 5, "double": 5},
    ]
    assert member.account.used["after/lifetime/all"] == (10, 2), "shut out, it used up nothing"


# --- validity ---------------------------------------------------------------------------------


def test_a_rule_that_begins_and_ends_within_a_day() -> None:
    rule = (
        "  - {id: r, award: {fixed: 10},"
        " valid: {from: 2017-06-01T10:00:00+02:00, to: 2017-06-01T10:30:00+02:00}}\n"
    )
    moments = ["2017-06-01T07:59:59Z", "2017-06-01T08:00:00Z", "2017-06-01T08:29:59Z",
               "2017-06-01T08:30:00Z"]  # fmt: skip
    assert walk(member_of(rule), moments) == [0, 10, 10, 0]
