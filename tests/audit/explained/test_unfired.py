"""Why a rule gave nothing: the first condition that failed, what it asked and what there was."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings

from audit.explain import explain
from audit.explanation import Judged, Reason
from audit.texts import Texts
from audit.words_rules import reason
from ledger.core.calendar import INSTANT_MAX
from schemas import inputs
from schemas.decisions import ActivityRewarded, BudgetShare, CodeFact, Facts, PurchaseRewarded
from tests.audit.explained.towns import LEDGER, log_of
from tests.core import histories
from tests.core.account_tools import Member, at, timeline

PROGRAM: dict[str, Any] = {
    "program": "test",
    "currency": "RUB",
    "time_zone": "Europe/Moscow",
    "effective_from": "2017-01-01T00:00:00Z",
    "point_value": 1,
    "activation": "immediately",
    "expiry": "never",
}
BASE: dict[str, Any] = {"id": "base", "award": {"rate": {"points": 1, "per_amount": 100}}}
TIERS = {
    "qualify_by": {"amount_spent": {"window": "lifetime"}},
    "levels": [{"id": "silver", "at_least": 10_000}, {"id": "gold", "at_least": 50_000}],
}
WHEN = "2017-03-08T20:30:00Z"
"""A Wednesday, half past eleven in the evening in Moscow."""


def member_of(*rules: dict[str, Any], **more: Any) -> Member:
    return Member(timeline(json.dumps({**PROGRAM, "earn": [BASE, *rules], **more})))


def buy(member: Member, when: str = WHEN, facts: Facts | None = None, **more: Any) -> Judged:
    """A purchase of two lines, 30.00 and 12.00."""
    lines = (
        inputs.PurchaseLine("1", "bread", 3_000, Decimal(1), "BAKERY", "crust"),
        inputs.PurchaseLine("2", "milk", 1_200, Decimal(1), "DAIRY"),
    )
    data = inputs.PurchaseData(f"o{len(member.events)}", "s1", "store", "RUB", lines, **more)
    member.send(inputs.PurchaseCompleted(**member.head(when), data=data), facts)
    return judged(member)[-1]


def judged(member: Member) -> tuple[Judged, ...]:
    found = explain(member.id, log_of(member), member.programs, LEDGER, INSTANT_MAX)
    assert found is not None
    return found.judged


def why(found: Judged, rule: str) -> Reason:
    (one,) = [each.reason for each in found.rules if each.rule == rule]
    assert one is not None
    return one


FIXED = {"award": {"fixed": 7}}

CASES: list[tuple[dict[str, Any], str, dict[str, Any], dict[str, Any], str]] = [
    ({"when": {"purchase_amount": {"at_least": 5_000}}}, "purchase_amount", {"at_least": 5_000},
     {"purchase_amount": 4_200},
     "it asks for a purchase of at least RUB50.00; this was RUB42.00"),
    ({"when": {"purchase_amount": {"at_most": 4_199}}}, "purchase_amount", {"at_most": 4_199},
     {"purchase_amount": 4_200},
     "it asks for a purchase of at most RUB41.99; this was RUB42.00"),
    ({"when": {"balance": {"at_least": 1, "at_most": 9}}}, "balance", {"at_least": 1, "at_most": 9},
     {"balance": 0},
     "it asks for a balance of 1 point to 9 points; there was: 0 points"),
    ({"when": {"nth_purchase": {"is": 2}}}, "nth_purchase", {"is": 2}, {"nth_purchase": 1},
     "it is for purchase number 2; this was number 1"),
    ({"when": {"nth_purchase": {"every": 6}}}, "nth_purchase", {"every": 6}, {"nth_purchase": 1},
     "it is for purchases whose number is a multiple of 6; this was number 1"),
    ({"when": {"store": ["s7", "s8"]}}, "store", {"store": ("s7", "s8")}, {"store": "s1"},
     "it is for these stores: s7, s8; this was store s1"),
    ({"when": {"region": "north"}}, "region", {"region": ("north",)}, {"region": None},
     "it is for these regions: north; no region was named"),
    ({"when": {"channel": "web"}}, "channel", {"channel": ("web",)}, {"channel": "store"},
     "it is for these channels: web; this was channel store"),
    ({"when": {"payment_type": "card"}}, "payment_type", {"payment_type": ("card",)},
     {"payment_type": None},
     "it is for payment by: card; how this was paid was not said"),
    ({"when": {"partner": "bank"}}, "partner", {"partner": ("bank",)}, {"partner": None},
     "it is for purchases at these partners: bank; this was at no partner"),
    ({"when": {"promo_code": "SPRING"}}, "promo_code", {"promo_code": ("SPRING",)},
     {"promo_code": ()},
     "it asks for promo code SPRING; none was named"),
    ({"when": {"tag": ["vip", "staff"]}}, "tag", {"tag": ("vip", "staff")}, {"tag": ()},
     "it is for members with one of these tags: vip, staff; the member has none of them"),
    ({"when": {"segment": "lapsed"}}, "segment", {"segment": ("lapsed",)}, {"segment": ()},
     "it is for members of one of these segments: lapsed; the member is in none of them"),
    ({"when": {"birthday": {"days_before": 3}}}, "birthday", {"days_before": 3}, {"birthday": ()},
     ("it is for the days around the birthday (days before: 3, after: 0);"
      " this was another day, or no birthday is known")),
    ({"when": {"weekday": ["sat", "sun"]}}, "weekday", {"weekday": ("sat", "sun")},
     {"weekday": "wed"},
     "it is for these days: Saturday, Sunday; this was: Wednesday"),
    ({"when": {"hours": {"from": "09:00", "to": "12:00"}}}, "hours",
     {"from": "09:00", "to": "12:00"}, {"hours": "23:30"},
     "it is for the hours from 09:00 to 12:00; this was at 23:30"),
    ({"when": "purchase.amount > 5000 and account.tier == 'gold'"}, "expression",
     {"expression": ("purchase.amount > 5000 and account.tier == 'gold'",)},
     {"purchase.amount": 4_200, "account.tier": "none"},
     ("its condition did not hold: purchase.amount > 5000 and account.tier == 'gold';"
      " there was: purchase.amount = 4200, account.tier = none")),
    ({"when": {"tier": "gold"}}, "tier", {"tier": "gold"}, {"tier": "none"},
     "it is for tier gold; the tier was none"),
    ({"when": {"tier_at_least": "silver"}}, "tier_at_least", {"tier": "silver"}, {"tier": "none"},
     "it is for tier silver or higher; the tier was none"),
    ({"lines": {"category": ["MEAT"]}}, "lines_category", {"category": ("MEAT",)},
     {"category": ("BAKERY", "DAIRY")},
     "it is for lines of category: MEAT; there were only: BAKERY, DAIRY"),
    ({"lines": {"sku": ["tea"]}}, "lines_sku", {"sku": ("tea",)}, {"sku": ("bread", "milk")},
     "it is for these articles: tea; there were only: bread, milk"),
    ({"lines": {"brand": "oat"}}, "lines_brand", {"brand": ("oat",)}, {"brand": ("crust",)},
     "it is for these brands: oat; there were only: crust"),
    ({"lines": {"amount": {"at_least": 4_000}}}, "lines_amount", {"at_least": 4_000},
     {"amount": ("3000", "1200")},
     "it is for lines of at least RUB40.00; there were only: RUB30.00, RUB12.00"),
    ({"lines": {"category": "DAIRY", "amount": {"at_least": 2_000}}}, "lines",
     {"lines_category": "DAIRY", "lines_amount": "{'at_least': 2000}"}, {"lines": 2},
     "no line is all that it asks for"),
    ({"valid": {"from": "2018-01-01T00:00:00Z", "to": "2019-01-01T00:00:00Z"}}, "validity",
     {"from": "2018-01-01T00:00:00Z", "to": "2019-01-01T00:00:00Z"},
     {"at": "2017-03-08T20:30:00Z"},
     "it holds from 1 January 2018, 03:00 until 1 January 2019, 03:00"),
    ({"valid": {"to": "2017-02-01T00:00:00Z"}}, "validity",
     {"from": None, "to": "2017-02-01T00:00:00Z"}, {"at": "2017-03-08T20:30:00Z"},
     "it held until 1 February 2017, 03:00"),
    ({"on": {"activity": "review"}}, "other_input", {"on": ("review",)}, {"activity": None},
     "it is for these activities: review"),
    ({"award": {"rate": {"points": 1, "per_amount": 10_000}}}, "too_little", {"at_least": 10_000},
     {"amount": 4_200},
     "its points begin at RUB100.00; this was RUB42.00"),
    ({"award": {"table": [{"at_least": 5_000, "points": 3}]}}, "too_little", {"at_least": 5_000},
     {"amount": 4_200},
     "its points begin at RUB50.00; this was RUB42.00"),
    ({"award": {"multiplier": {"of": "base", "by": "1.01"}}}, "base_award", {"of": "base"},
     {"points": 42},
     "it multiplies the award of rule base, which is too small to give another point here"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "code", "asked", "actual", "said"), CASES)
def test_the_first_condition_that_failed(
    rule: dict[str, Any], code: str, asked: dict[str, Any], actual: dict[str, Any], said: str
) -> None:
    more: dict[str, Any] = {"tiers": TIERS}
    if "segment" in rule.get("when", {}):
        more["segments"] = [{"id": "lapsed", "when": {"recency_days": {"at_least": 60}}}]
    member = member_of({"id": "asked", **FIXED, **rule}, **more)
    found = why(buy(member), "asked")
    assert found == Reason(code, asked, actual)
    english = reason(Texts("en", "Europe/Moscow", "RUB"), found)
    assert english.replace("\u00a0", " ") == said
    russian = reason(Texts("ru", "Europe/Moscow", "RUB"), found)
    assert any("а" <= letter <= "я" for letter in russian)


def test_what_was_taken_from_a_rule_that_fired() -> None:
    member = member_of(
        {"id": "weekly", **FIXED, "limits": [{"times": 1, "per": "iso_week"}]},
        {"id": "little", **FIXED, "stacking": {"best_of_group": "g"}},
        {"id": "more", "award": {"fixed": 9}, "stacking": {"best_of_group": "g"}},
        {"id": "paid", **FIXED, "budget": "small"},
        {"id": "alone", **FIXED, "stacking": "exclusive"},
        {"id": "after", **FIXED},
        {"id": "twice", "award": {"multiplier": {"of": "after", "by": 2}}},
        {"id": "nothing", "award": {"multiplier": {"of": "weekly", "by": 2}}},
        budgets=[{"id": "small", "points": 10}],
    )
    buy(member, "2017-03-07T10:00:00Z", Facts(budgets=(BudgetShare("small", 10),)))
    found = buy(member, facts=Facts(budgets=(BudgetShare("small", 3),)))
    assert why(found, "weekly") == Reason(
        "limit", {"unit": "times", "per": "iso_week", "most": 1}, {"used": 1}
    )
    assert why(found, "little") == Reason("best_of_group", {"value": 7}, {"by": "g"})
    assert why(found, "paid") == Reason(
        "budget", {"budget": "small", "unit": "points", "need": 7}, {"left": 3}
    )
    assert why(found, "after") == Reason("exclusive", {"value": 7}, {"by": "alone"})
    assert why(found, "twice") == Reason("multiplier_of", {"value": 7}, {"by": "after"})
    assert why(found, "nothing") == Reason("base_award", {"of": "weekly"}, {"points": 0})
    for texts in (Texts("en", "UTC", "RUB"), Texts("ru", "UTC", "RUB")):
        assert all(reason(texts, each.reason) for each in found.rules if each.reason is not None)


def test_a_promo_code_that_is_no_good_is_told_and_a_good_one_is_not() -> None:
    member = member_of(
        {"id": "letter", "when": {"promo_code": "letters"}, **FIXED},
        promo_codes=[{"id": "letters"}, {"id": "other"}],
    )
    facts = Facts(codes=(CodeFact(0, "spent", "letters"), CodeFact(1, "ok", "other")))
    found = why(buy(member, facts=facts, promo_codes=("ABCDE-1", "SECRET", "WORD")), "letter")
    assert found.actual == {"promo_code": ("ABCDE-1=spent", "SE…=ok", "WORD=unknown")}
    said = reason(Texts("en", "UTC", "RUB"), found)
    assert "ABCDE-1 (used up)" in said
    assert "SECRET" not in said


def test_an_activity_is_judged_by_its_own_rules() -> None:
    member = member_of(
        {"id": "review", "on": {"activity": "review"}, **FIXED, "when": {"store": "s2"}}
    )
    member.activity(WHEN, "review", "r1", "s1")
    (found,) = judged(member)
    assert why(found, "base") == Reason("other_input", {"on": ()}, {"activity": "review"})
    assert why(found, "review") == Reason("store", {"store": ("s2",)}, {"store": "s1"})


@settings(max_examples=40, deadline=None)
@given(histories.programs(), histories.steps)
def test_rules_that_gave_nothing_are_those_with_a_reason(
    program: dict[str, Any], steps: list[histories.Step]
) -> None:
    """In random histories; and the state that explains is the one that judged: deciding again from
    it gives the same awards."""
    town = histories.Town(program)
    now = at(histories.START)
    for who, hours, late, step in steps:
        now += hours * histories.HOUR_US
        when = max(at(histories.START), now - late * histories.HOUR_US)
        town.take(histories.MEMBERS[who], when, step)
    for member in town.ours.values():
        if not member.events:
            continue
        bought = [e for e in member.events if isinstance(e, PurchaseRewarded | ActivityRewarded)]
        for event, found in zip(bought, judged(member), strict=True):
            given_by = {a.rule: a.points for a in event.awards}
            for one in found.rules:
                assert (one.reason is None) == (given_by.get(one.rule, 0) > 0)
                assert one.points == given_by.get(one.rule, 0)
