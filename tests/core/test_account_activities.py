"""Activities: what they earn, within the same limits and with the same care as purchases."""

import msgspec
import pytest

from ledger.core.program.compiled import compile_program
from ledger.core.program.load import load_program
from schemas.decisions import ActivityRewarded, Facts, PurchaseRewarded
from tests.core.account_tools import MINIMAL, Member, at, refused, timeline

TIERS = (
    "tiers:\n  qualify_by: {points_earned: {window: calendar_year}}\n"
    "  levels: [{id: gold, at_least: 100}]\n"
)
REVIEW = "  - {id: review, on: {activity: review}, award: {fixed: 20}%s}\n"


def member_of(rules: str, rest: str = "") -> Member:
    """A member under a program with these rules beside `base`."""
    return Member(timeline(MINIMAL + rules + rest))


def done(member: Member) -> ActivityRewarded:
    """The latest activity."""
    return [event for event in member.events if isinstance(event, ActivityRewarded)][-1]


def granted(member: Member) -> dict[str, int]:
    """What each rule granted for the latest activity."""
    return {award.rule: award.points for award in done(member).awards}


def test_an_activity_earns_what_its_rules_say_and_no_purchase_does() -> None:
    member = member_of(REVIEW % "" + "  - {id: visit, on: {activity: visit}, award: {fixed: 3}}\n")
    member.activity("2017-01-02", "review", "4600000000017", "s1")
    assert granted(member) == {"review": 20}
    assert done(member).activity.reference == "4600000000017"
    assert member.points == (20, 0, 0)
    member.buy("2017-01-03", "A", 500)
    bought = member.events[-1]
    assert isinstance(bought, PurchaseRewarded)
    assert [award.rule for award in bought.awards] == ["base"]
    assert member.points == (25, 0, 0)


def test_an_activity_that_no_rule_names_is_refused() -> None:
    member = member_of(REVIEW % "")
    assert refused(member.activity("2017-01-02", "vist")) == "unknown_activity"
    assert "'vist'" in str(member.events[-1])
    assert member.points == (0, 0, 0)
    assert refused(Member(timeline(MINIMAL)).activity("2017-01-02", "x")) == "unknown_activity"
    member.erase("2017-01-03")
    assert refused(member.activity("2017-01-04", "review")) == "account_erased"


def test_one_whose_conditions_do_not_hold_is_recorded_and_grants_nothing() -> None:
    member = member_of(REVIEW % ", valid: {to: 2017-02-01T00:00:00Z}")
    member.activity("2017-02-01", "review")
    assert done(member).awards == ()
    assert done(member).month is None
    member.activity("2017-01-31T23:59:59Z", "review", "r2")
    assert granted(member) == {"review": 20}, "late, by the rules of its own moment"
    assert done(member).late_by


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("store: s1", True), ("store: [s2, s3]", False),
        ("weekday: [mon]", True), ("weekday: [sun]", False),
        ("hours: {from: '11:00', to: '13:00'}", True),
        ("hours: {from: '13:00', to: '11:00'}", False),
        ("tag: vip", True), ("tag: staff", False),
        ("birthday: {}", True), ("birthday: {days_after: 3}", False),
        ("segment: a", True), ("segment: b", False),
        ("balance: {at_least: 30}", True), ("balance: {at_least: 31}", False),
        ("tier: none", True), ("tier: gold", False), ("tier_at_least: gold", False),
        ("store: s1, tag: staff", False),
    ],
)  # fmt: skip
def test_conditions(condition: str, holds: bool) -> None:
    segments = (
        "segments: [{id: a, when: {frequency: {at_least: 1}}},"
        " {id: b, when: {frequency: {at_least: 9}}}]\n"
    )
    member = member_of(REVIEW % f", when: {{{condition}}}", TIERS + segments)
    member.profile("2017-01-02", tags=("vip",))
    member.buy("2017-01-02", "A", 3_000)
    facts = Facts(segments=("a",), birthdays=("-0+0",))
    member.activity("2017-01-02T12:00:00Z", "review", "r1", "s1", facts)
    assert granted(member) == ({"review": 20} if holds else {})
    recorded = done(member).facts
    assert recorded is not None
    assert recorded.tags == (("vip",) if condition == "tag: vip" else
                             () if "tag" in condition else None)  # fmt: skip


def test_without_a_store_no_store_holds() -> None:
    member = member_of(REVIEW % ", when: {store: s1}")
    member.activity("2017-01-02", "review", "r1")
    assert granted(member) == {}


def test_limits_cap_what_activities_earn() -> None:
    member = member_of(REVIEW % ", limits: [{times: 2, per: day}, {points: 50, per: iso_week}]")
    found = []
    for n, when in enumerate(("01-02", "01-02", "01-02", "01-03", "01-04", "01-09")):
        member.activity(f"2017-{when}", "review", f"r{n}")
        found.append(granted(member)["review"])
    assert found == [20, 20, 0, 10, 0, 20]
    third = [e for e in member.events if isinstance(e, ActivityRewarded)][2]
    assert [cap.by for cap in third.awards[0].capped] == ["times/day"]
    assert third.awards[0].counters == ()


def test_groups_exclusive_rules_and_multipliers() -> None:
    rules = (
        "  - {id: small, on: {activity: [review, visit]}, award: {fixed: 5},"
        " stacking: {best_of_group: g}}\n"
        "  - {id: large, on: {activity: review}, award: {fixed: 9},"
        " stacking: {best_of_group: g}}\n"
        "  - {id: half, on: {activity: [review, visit]}, rounding: ceil,"
        " award: {multiplier: {of: small, by: '1.5'}}}\n"
        "  - {id: only, on: {activity: visit}, award: {fixed: 1}, stacking: exclusive}\n"
        "  - {id: last, on: {activity: [visit, review]}, award: {fixed: 100}}\n"
    )
    member = member_of(rules)
    member.activity("2017-01-02", "review")
    assert granted(member) == {"small": 0, "large": 9, "half": 0, "last": 100}
    assert [cap.by for award in done(member).awards for cap in award.capped] == [
        "best_of_group:g",
        "multiplier_of:small",
    ]
    member.activity("2017-01-02", "visit")
    assert granted(member) == {"small": 5, "half": 3, "only": 1, "last": 0}
    assert member.points[0] == 118


def test_activation_and_expiry_of_their_own() -> None:
    rules = (
        REVIEW % ", activation: {after: P7D}, expiry: {after: P1M}"
        + "  - {id: now, on: {activity: review}, award: {fixed: 1}, expiry: never}\n"
    )
    member = member_of(rules)
    member.activity("2017-01-02", "review")
    assert member.points == (1, 20, 0)
    assert {award.lot for award in done(member).awards} == {1, 2}
    member.tick("2017-01-09")
    assert member.points == (21, 0, 0)
    member.tick("2017-02-09")
    assert member.points == (1, 0, 0)
    assert member.account.expired == 20


def test_a_late_one_whose_points_are_over_is_granted_and_expired_at_once() -> None:
    member = member_of(REVIEW % ", expiry: {after: P1M}")
    member.tick("2017-06-01")
    member.buy("2017-06-01", "A", 100)
    member.activity("2017-01-02", "review")
    assert member.account.expired == 20
    assert member.points == (1, 0, 0)


def test_what_an_activity_grants_pays_debt() -> None:
    member = member_of(REVIEW % "", "returns: {policy: debt}\n")
    member.buy("2017-01-02", "A", 1_500)
    member.reserve("2017-01-02", "v", 15)
    member.confirm("2017-01-02", "v")
    member.give_back("2017-01-03", "A", "b")
    assert member.account.holdings.debt == 15
    member.activity("2017-01-04", "review")
    assert member.points == (5, 0, 0)


# --- tiers ------------------------------------------------------------------------------------


def test_its_points_count_for_tiers_unless_the_rule_says_otherwise() -> None:
    rules = (
        "  - {id: big, on: {activity: audit}, award: {fixed: 60}}\n"
        "  - {id: apart, on: {activity: audit}, award: {fixed: 70}, counts_for_tier: false}\n"
    )
    member = member_of(rules, TIERS)
    member.activity("2017-03-02", "audit", "1")
    assert (done(member).month, done(member).tier_changes) == (at("2017-03-01"), ())
    member.activity("2017-03-03", "audit", "2")
    assert [change.to for change in done(member).tier_changes] == ["gold"]
    assert done(member).tier == "none", "it was judged by the tier before"
    member.activity("2017-03-04", "audit", "3")
    assert done(member).tier == "gold"
    assert member.account.months == {at("2017-03-01"): (0, 180, 0)}
    assert member.account.lifetime == (0, 180, 0)
    assert member.account.purchases == 0


def test_a_late_activity_raises_the_tier_from_its_own_moment() -> None:
    member = member_of("  - {id: big, on: {activity: audit}, award: {fixed: 100}}\n", TIERS)
    member.buy("2017-06-01", "A", 100)
    member.activity("2017-03-02", "audit")
    assert [(change.at, change.to) for change in done(member).tier_changes] == [
        (at("2017-03-02"), "gold")
    ]


@pytest.mark.parametrize(("counts", "tier"), [("true", "gold"), ("false", "none")])
def test_a_survey_counts_for_tiers_when_it_says_so(counts: str, tier: str) -> None:
    survey = f"surveys: [{{id: s, award: {{fixed: 100}}, counts_for_tier: {counts}}}]\n"
    member = member_of("", survey + TIERS)
    member.survey("2017-03-02", "s")
    assert member.account.tier == tier
    counted = {at("2017-03-01"): (0, 100, 0)} if counts == "true" else {}
    assert member.account.months == counted
    assert (b'"month"' in msgspec.json.encode(member.events[-1])) is (counts == "true")
    # As a purchase's points it lasts through the next year.
    member.tick("2018-12-31")
    assert member.account.tier == tier
    member.tick("2019-01-01")
    assert member.account.tier == "none"


def test_a_survey_does_not_count_where_money_or_purchases_do() -> None:
    survey = "surveys: [{id: s, award: {fixed: 100}, counts_for_tier: true}]\n"
    for measure in ("amount_spent", "purchases"):
        member = member_of("", survey + TIERS.replace("points_earned", measure))
        member.survey("2017-03-02", "s")
        assert member.account.tier == "none"


# --- the program ------------------------------------------------------------------------------


def test_one_activity_and_a_list_of_one_are_the_same_version() -> None:
    one, several = (
        compile_program(load_program(MINIMAL + REVIEW.replace("review}", text) % "", "test.yaml"))
        for text in ("review}", "[review]}")
    )
    assert one.version == several.version
    assert one.activities == {"review"}


def test_the_rules_of_an_activity_do_not_make_purchases_dearer_to_judge() -> None:
    program = timeline(MINIMAL + REVIEW % ", stacking: exclusive").at(at("2017-01-02"))
    assert not program.contested
    assert [rule.id for _, rule in program.stretch(at("2017-01-02")).rules("none")] == ["base"]
