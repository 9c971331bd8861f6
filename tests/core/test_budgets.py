"""Budgets over all members: all or nothing for an award, last in the order of evaluation."""

from typing import Any

import pytest

from schemas.decisions import (
    ActivityRewarded,
    Award,
    BudgetShare,
    Cap,
    Facts,
    PurchaseReturned,
    PurchaseRewarded,
    SurveyRewarded,
)
from tests.core.account_tools import MINIMAL, Member, timeline

BUDGETS = "budgets: [{id: spring, points: 1000}, {id: gifts, times: 10}]\n"


def program(*rules: str, more: str = "") -> str:
    """The smallest program with these earn rules beside its own."""
    return MINIMAL + "".join(f"  - {{{rule}}}\n" for rule in rules) + BUDGETS + more


def had(**budgets: int) -> Facts:
    """What there is of budgets."""
    return Facts(budgets=tuple(BudgetShare(*each) for each in budgets.items()))


def bought(
    member: Member, facts: Facts | None, order: str = "o", day: str = "2017-03-01", **more: Any
) -> PurchaseRewarded:
    """A purchase for 100.00."""
    *_, event = member.buy(day, order, 10_000, facts=facts, **more)
    assert isinstance(event, PurchaseRewarded)
    return event


def awards_of(event: PurchaseRewarded) -> dict[str, Award]:
    return {award.rule: award for award in event.awards}


BONUS = "id: bonus, award: {fixed: 70}, budget: spring"


def test_an_award_that_fits_is_paid_and_says_so() -> None:
    event = bought(Member(timeline(program(BONUS))), had(gifts=10, spring=70))
    bonus = awards_of(event)["bonus"]
    assert (bonus.points, bonus.budget, bonus.capped) == (70, BudgetShare("spring", 70), ())
    assert awards_of(event)["base"].budget is None
    # What was at hand beyond the need is nobody's business later.
    assert event.facts == had(spring=70)
    assert bought(Member(timeline(program(BONUS))), had(gifts=3, spring=500)).facts == event.facts


def test_an_award_that_does_not_fit_is_not_paid_in_part() -> None:
    member = Member(timeline(program(BONUS)))
    event = bought(member, had(gifts=10, spring=69))
    bonus = awards_of(event)["bonus"]
    assert (bonus.value, bonus.points, bonus.lot, bonus.budget) == (70, 0, 0, None)
    assert bonus.capped == (Cap("budget:spring", 69),)
    assert event.facts == had(spring=69)
    assert member.points == (100, 0, 0)


def test_a_budget_of_times_counts_awards() -> None:
    programs = timeline(program("id: gift, award: {fixed: 70}, budget: gifts"))
    event = bought(Member(programs), had(gifts=1, spring=0))
    assert awards_of(event)["gift"].budget == BudgetShare("gifts", 1)
    assert awards_of(bought(Member(programs), had(gifts=0)))["gift"].points == 0


def test_rules_that_share_a_budget_are_paid_in_file_order() -> None:
    large = "id: large, award: {fixed: 90}, budget: spring"
    small = "id: small, award: {fixed: 10}, budget: spring"
    event = bought(Member(timeline(program(BONUS, large, small))), had(spring=85))
    assert {rule: award.points for rule, award in awards_of(event).items()} == {
        "base": 100, "bonus": 70, "large": 0, "small": 10,
    }  # fmt: skip
    assert awards_of(event)["large"].capped == (Cap("budget:spring", 15),)
    assert event.facts == had(spring=85)


def test_what_a_limit_left_is_what_the_budget_pays() -> None:
    limited = "id: bonus, award: {fixed: 70}, limits: [{per: day, points: 30}], budget: spring"
    event = bought(Member(timeline(program(limited))), had(spring=30))
    assert awards_of(event)["bonus"].points == 30
    event = bought(Member(timeline(program(limited))), had(spring=29))
    assert awards_of(event)["bonus"].capped == (Cap("points/day", 30), Cap("budget:spring", 29))
    assert awards_of(event)["bonus"].counters == ()


def test_nobody_else_wins_where_the_budget_of_the_winner_is_spent() -> None:
    first = "id: first, award: {fixed: 70}, stacking: {best_of_group: g}, budget: spring"
    second = "id: second, award: {fixed: 60}, stacking: {best_of_group: g}"
    event = bought(Member(timeline(program(first, second))), had(spring=10))
    assert {rule: award.points for rule, award in awards_of(event).items()} == {
        "base": 100, "first": 0, "second": 0,
    }  # fmt: skip
    only = "id: only, award: {fixed: 70}, stacking: exclusive, budget: spring"
    after = "id: after, award: {fixed: 60}"
    event = bought(Member(timeline(program(only, after))), had(spring=10))
    assert awards_of(event)["after"].capped == (Cap("exclusive:only", 0),)


def test_a_loser_uses_nothing() -> None:
    small = "id: small, award: {fixed: 10}, stacking: {best_of_group: g}, budget: spring"
    large = "id: large, award: {fixed: 60}, stacking: {best_of_group: g}"
    event = bought(Member(timeline(program(small, large))), had(spring=1_000))
    assert awards_of(event)["small"].budget is None
    assert event.facts is None


def test_a_multiplier_of_what_was_not_paid_comes_to_nothing() -> None:
    twice = "id: twice, award: {multiplier: {of: bonus, by: 2}}, budget: spring"
    event = bought(Member(timeline(program(BONUS, twice))), had(spring=69))
    assert awards_of(event)["twice"].capped == (Cap("multiplier_of:bonus", 0),)
    event = bought(Member(timeline(program(BONUS, twice))), had(spring=140))
    assert awards_of(event)["twice"].points == 70


def test_lots_have_no_gap_where_an_award_is_not_paid() -> None:
    paid = "id: bonus, award: {fixed: 70}, expiry: never, budget: spring"
    last = "id: last, award: {fixed: 5}, activation: {after: P1D}"
    member = Member(timeline(program(paid, last)))
    event = bought(member, had(spring=0))
    assert [award.lot for award in event.awards] == [1, 0, 2]


def test_deciding_again_from_the_event_gives_the_same() -> None:
    programs = timeline(program(BONUS, "id: gift, award: {fixed: 9}, budget: gifts"))
    for facts in (had(gifts=7, spring=900), had(gifts=0, spring=69), had(gifts=1, spring=70)):
        event = bought(Member(programs), facts)
        assert bought(Member(programs), event.facts) == event


def test_a_program_without_budgets_in_use_records_no_facts() -> None:
    assert bought(Member(timeline(MINIMAL)), had(spring=5)).facts is None
    rule = "id: bonus, award: {fixed: 70}, when: {channel: web}, budget: spring"
    assert bought(Member(timeline(program(rule))), had(spring=5)).facts is None


def test_a_return_of_the_whole_award_gives_its_budget_back() -> None:
    gift = "id: gift, award: {fixed: 9}, budget: gifts"
    member = Member(timeline(program(BONUS, gift)))
    bought(member, had(gifts=1, spring=70))
    *_, half = member.give_back("2017-03-02", "o", "r1", {"1": 5_000})
    assert isinstance(half, PurchaseReturned)
    assert half.budgets == ()
    *_, rest = member.give_back("2017-03-03", "o", "r2")
    assert isinstance(rest, PurchaseReturned)
    assert rest.budgets == (BudgetShare("spring", 70), BudgetShare("gifts", 1))


@pytest.mark.parametrize("policy", ["within_balance", "only_pending"])
def test_points_that_a_return_lets_go_stay_spent(policy: str) -> None:
    gift = "id: gift, award: {fixed: 9}, budget: gifts"
    rules = program(BONUS, gift, more=f"returns: {{policy: {policy}}}\n")
    member = Member(timeline(rules))
    bought(member, had(gifts=1, spring=70))
    member.reserve("2017-03-01", "v", 179 - 40)
    member.confirm("2017-03-01", "v")
    back = dict.fromkeys(("spring", "gifts"), 0)
    let_go = 0
    for name, lines in (("r1", {"1": 5_000}), ("r2", None)):
        *_, event = member.give_back("2017-03-02", "o", name, lines)
        assert isinstance(event, PurchaseReturned)
        let_go += sum(one.let_go for one in event.clawbacks if one.award == 1)
        for share in event.budgets:
            back[share.budget] += share.amount
    assert let_go > 0
    assert back == {"spring": 70 - let_go, "gifts": 0}


def test_an_award_that_was_not_paid_gives_nothing_back() -> None:
    member = Member(timeline(program(BONUS)))
    bought(member, had(spring=0))
    *_, event = member.give_back("2017-03-03", "o", "r")
    assert isinstance(event, PurchaseReturned)
    assert event.budgets == ()


SURVEYS = "surveys: [{id: s, award: {fixed: 200}, budget: spring}]\n"


def test_activities_are_paid_from_budgets_too() -> None:
    review = "id: review, on: {activity: review}, award: {fixed: 30}, budget: spring"
    twice = "id: twice, on: {activity: review}, award: {multiplier: {of: review, by: 2}}"
    member = Member(timeline(program(review, twice)))
    for number, (left, points) in enumerate([(30, [30, 30]), (29, [0, 0])]):
        *_, event = member.activity("2017-03-01", "review", f"r{number}", facts=had(spring=left))
        assert isinstance(event, ActivityRewarded)
        assert [award.points for award in event.awards] == points
        assert event.facts == had(spring=left)
    assert member.points == (60, 0, 0)


def surveyed(member: Member, facts: Facts) -> SurveyRewarded:
    *_, event = member.survey("2017-03-01", "s", facts)
    assert isinstance(event, SurveyRewarded)
    return event


def test_a_survey_is_paid_from_its_budget() -> None:
    member = Member(timeline(program(more=SURVEYS)))
    event = surveyed(member, had(gifts=5, spring=200))
    assert event.awards[0].budget == BudgetShare("spring", 200)
    assert event.facts == had(spring=200)
    assert member.points == (200, 0, 0)


def test_a_survey_without_reward_can_be_completed_again() -> None:
    member = Member(timeline(program(more=SURVEYS)))
    event = surveyed(member, had(spring=199))
    assert event.awards[0].capped == (Cap("budget:spring", 199),)
    assert member.points == (0, 0, 0)
    assert surveyed(member, had(spring=200)).awards[0].points == 200
