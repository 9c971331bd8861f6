"""Earn rules: values, conditions, limits, groups, exclusive rules, overrides, timing."""

from typing import Any

import msgspec
import pytest

from ledger.core.calendar import format_instant, parse_instant
from ledger.core.errors import Undecidable
from ledger.core.program.compiled import Compiled, compile_program
from ledger.core.program.load import load_program
from ledger.core.program.rounding import rounded
from ledger.core.rules import Standing, allocate, better, evaluate, grant, tier_level, tier_rank
from schemas.decisions import NO_LOT, Award, Cap, LineShare
from schemas.inputs import PurchaseData
from tests.core.program_texts import DEMO, HEAD, program_of, purchase_of

AT = parse_instant("2026-06-01T12:00:00Z")  # a Monday
TIERS = (
    "tiers:\n  qualify_by: {purchases: {window: lifetime}}\n"
    "  levels: [{id: silver, at_least: 5}, {id: gold, at_least: 10}]\n"
)
SIMPLE = purchase_of((1_000, "A"), (500, "B"), (500, "A"))


def awards(
    program: Compiled,
    purchase: PurchaseData = SIMPLE,
    standing: Standing | None = None,
    at: int = AT,
) -> dict[str, Award]:
    found = evaluate(program, purchase, at, standing or Standing(), 1)
    return {award.rule: award for award in found}


def points(
    program: Compiled, purchase: PurchaseData = SIMPLE, **standing: object
) -> dict[str, int]:
    given = Standing(**standing)  # type: ignore[arg-type]
    return {rule: award.points for rule, award in awards(program, purchase, given).items()}


@pytest.mark.parametrize(
    ("numerator", "denominator", "floor", "half_even", "ceil"),
    [
        (7, 2, 3, 4, 4),
        (5, 2, 2, 2, 3),
        (9, 4, 2, 2, 3),
        (11, 4, 2, 3, 3),
        (8, 4, 2, 2, 2),
        (0, 4, 0, 0, 0),
    ],
)
def test_rounding(numerator: int, denominator: int, floor: int, half_even: int, ceil: int) -> None:
    assert rounded(numerator, denominator, "floor") == floor
    assert rounded(numerator, denominator, "half_even") == half_even
    assert rounded(numerator, denominator, "ceil") == ceil


def test_a_rate_over_the_lines_matched_rounds_once() -> None:
    program = program_of(
        "- {id: all, award: {rate: {points: 3, per_amount: 700}}}\n"
        "- {id: a, lines: {category: A}, award: {rate: {points: 3, per_amount: 700}}}\n"
        "- {id: up, lines: {category: A}, rounding: ceil, "
        "award: {rate: {points: 3, per_amount: 700}}}\n"
        "- {id: none, lines: {category: C}, award: {rate: {points: 3, per_amount: 700}}}\n"
    )
    found = awards(program)
    assert {rule: each.points for rule, each in found.items()} == {"all": 8, "a": 6, "up": 7}
    assert found["a"].lines == (LineShare(0, 4), LineShare(2, 2))
    assert found["a"].matched_amount == 1_500


def test_a_table_gives_the_highest_step_reached() -> None:
    program = program_of(
        "- {id: t, award: {table: [{at_least: 1000, points: 5}, {at_least: 2000, points: 12}, "
        "{at_least: 2001, points: 100}]}}\n"
    )
    assert points(program) == {"t": 12}
    assert points(program, purchase_of((999, None))) == {}


def test_the_highest_step_counts_where_it_grants_less() -> None:
    program = program_of(
        "- {id: t, award: {table: [{at_least: 1000, points: 5}, {at_least: 2000, points: 3}]}}\n"
    )
    assert points(program, purchase_of((1_999, None))) == {"t": 5}
    assert points(program, purchase_of((2_000, None))) == {"t": 3}


def test_an_award_on_lines_of_nothing_goes_to_the_first() -> None:
    program = program_of("- {id: f, lines: {category: B}, award: {fixed: 5}}\n")
    found = awards(program, purchase_of((100, "A"), (0, "B"), (0, "B")))["f"]
    assert found.lines == (LineShare(1, 5),)
    assert found.matched_amount == 0


def test_a_fixed_award_needs_a_line_that_matches() -> None:
    program = program_of("- {id: f, lines: {category: C}, award: {fixed: 5}}\n")
    assert points(program) == {}


def test_all_conditions_on_a_line_must_hold() -> None:
    program = program_of(
        "- {id: f, lines: {category: [A, B], amount: {at_most: 500}, sku: [sku-2, sku-1]}, "
        "award: {fixed: 5}}\n"
    )
    assert awards(program)["f"].lines == (LineShare(1, 5),)


@pytest.mark.parametrize(
    ("by", "rounding", "expected"), [("1.5", "floor", 4), ("1.5", "ceil", 5), ("1", "floor", None)]
)
def test_a_multiplier_is_what_it_adds(by: str, rounding: str, expected: int | None) -> None:
    program = program_of(
        "- {id: base, award: {fixed: 9}}\n"
        f'- {{id: m, rounding: {rounding}, award: {{multiplier: {{of: base, by: "{by}"}}}}}}\n'
    )
    assert points(program).get("m") == expected


def test_a_multiplier_with_narrower_lines_multiplies_what_was_allocated_to_them() -> None:
    program = program_of(
        "- {id: base, award: {fixed: 10}}\n"
        "- {id: m, lines: {category: [B, C]}, award: {multiplier: {of: base, by: 3}}}\n"
        "- {id: mm, award: {multiplier: {of: m, by: 2}}}\n"
        "- {id: no, lines: {category: C}, award: {multiplier: {of: base, by: 3}}}\n"
    )
    found = awards(program)
    assert found["base"].lines == (LineShare(0, 5), LineShare(1, 3), LineShare(2, 2))
    assert (found["m"].points, found["m"].lines) == (6, (LineShare(1, 6),))
    assert found["m"].matched_amount == 500
    assert (found["mm"].points, found["mm"].lines) == (6, (LineShare(1, 6),))
    assert "no" not in found


def test_a_multiplier_multiplies_the_award_after_its_caps() -> None:
    program = program_of(
        "- {id: base, award: {fixed: 10}, limits: [{points: 15, per: day}]}\n"
        "- {id: m, award: {multiplier: {of: base, by: 3}}}\n"
    )
    used = {"base/day/2026-06-01": (11, 1)}
    assert points(program, used=used) == {"base": 4, "m": 8}
    assert points(program, used={"base/day/2026-06-01": (15, 2)}) == {"base": 0}


def test_limits_cap_and_say_so() -> None:
    program = program_of(
        "- {id: f, award: {fixed: 10}, limits: [{points: 15, per: month}, {times: 2, per: day}, "
        "{points: 8, per: order}]}\n"
    )
    month, day = "f/month/2026-06", "f/day/2026-06-01"
    fresh = awards(program)["f"]
    assert (fresh.value, fresh.points) == (10, 8)
    assert fresh.capped == (Cap("points/order", 8),)
    assert fresh.counters == (month, day)
    less = awards(program, standing=Standing(used={month: (10, 1), day: (10, 1)}))["f"]
    assert (less.points, less.capped) == (5, (Cap("points/month", 5),))
    none = awards(program, standing=Standing(used={day: (0, 2)}))["f"]
    assert (none.points, none.lot, none.lines, none.counters) == (0, NO_LOT, (), ())
    assert none.capped[0] == Cap("times/day", 0)


@pytest.mark.parametrize(
    ("per", "key"),
    [
        ("day", "2026-06-02"),
        ("iso_week", "2026-W23"),
        ("month", "2026-06"),
        ("year", "2026"),
        ("lifetime", "all"),
    ],
)
def test_limits_count_in_the_period_of_the_zone(per: str, key: str) -> None:
    program = program_of(
        f"- {{id: f, award: {{fixed: 1}}, limits: [{{times: 1, per: {per}}}]}}\n",
        head=HEAD.replace("UTC", "Europe/Berlin"),
    )
    late = parse_instant("2026-06-01T22:30:00Z")
    assert awards(program, at=late)["f"].counters == (f"f/{per}/{key}",)


def test_of_a_group_the_largest_after_caps_is_kept() -> None:
    group = "stacking: {best_of_group: g}"
    program = program_of(
        f"- {{id: a, {group}, award: {{fixed: 9}}, limits: [{{points: 5, per: order}}]}}\n"
        f"- {{id: b, {group}, award: {{fixed: 6}}}}\n"
        f"- {{id: c, {group}, award: {{fixed: 6}}, limits: [{{times: 1, per: day}}]}}\n"
        "- {id: ma, award: {multiplier: {of: a, by: 2}}}\n"
        "- {id: mb, award: {multiplier: {of: b, by: 2}}}\n"
        "- {id: mma, award: {multiplier: {of: ma, by: 2}}}\n"
    )
    found = awards(program)
    assert {rule: each.points for rule, each in found.items()} == {
        "a": 0, "b": 6, "c": 0, "ma": 0, "mb": 6, "mma": 0,
    }  # fmt: skip
    assert found["a"].capped == (Cap("points/order", 5), Cap("best_of_group:g", 0))
    assert found["c"].counters == ()
    assert found["ma"].capped == (Cap("multiplier_of:a", 0),)
    assert [found[rule].lot for rule in ("b", "mb")] == [1, 1]


def test_after_an_exclusive_award_nothing_else_fires() -> None:
    program = program_of(
        "- {id: a, award: {fixed: 1}}\n"
        "- {id: x, when: {channel: web}, stacking: exclusive, award: {fixed: 2}}\n"
        "- {id: b, award: {fixed: 3}}\n"
    )
    assert points(program) == {"a": 1, "b": 3}
    web = purchase_of((100, None), channel="web")
    found = awards(program, web)
    assert {rule: each.points for rule, each in found.items()} == {"a": 1, "x": 2, "b": 0}
    assert found["b"].capped == (Cap("exclusive:x", 0),)


def test_an_exclusive_award_capped_to_nothing_excludes_nothing() -> None:
    program = program_of(
        "- {id: x, stacking: exclusive, award: {fixed: 2}, limits: [{times: 1, per: day}]}\n"
        "- {id: b, award: {fixed: 3}}\n"
    )
    assert points(program, used={"x/day/2026-06-01": (2, 1)}) == {"x": 0, "b": 3}


def test_the_first_override_that_matches_counts() -> None:
    program = program_of(
        "- id: r\n  award: {fixed: 1}\n  overrides:\n"
        "  - {store: s-2, award: {fixed: 2}}\n"
        "  - {store: [s-2, s-3], channel: web, award: {fixed: 3}}\n"
    )
    assert points(program) == {"r": 1}
    for store, channel, expected in (("s-2", "web", 2), ("s-3", "web", 3), ("s-3", "store", 1)):
        there = purchase_of((100, None), store_id=store, channel=channel)
        assert points(program, there) == {"r": expected}


CONDITIONS = [
    ("{purchase_amount: {at_least: 2000}}", {}, True),
    ("{purchase_amount: {at_least: 2001}}", {}, False),
    ("{purchase_amount: {at_least: 1, at_most: 1999}}", {}, False),
    ("{purchase_amount: {at_most: 2000}}", {}, True),
    ("{store: s-1}", {}, True),
    ("{store: [s-2, s-3]}", {}, False),
    ("{region: north}", {}, False),
    ("{channel: [web, store]}", {}, True),
    ("{payment_type: card}", {}, False),
    ("{partner: p}", {}, False),
    ("{promo_code: SPRING}", {}, False),
    ("{weekday: [mon]}", {}, True),
    ("{weekday: [tue, sun]}", {}, False),
    ("{hours: {from: '12:00', to: '13:00'}}", {}, True),
    ("{hours: {from: '11:00', to: '12:00'}}", {}, False),
    ("{hours: {from: '22:00', to: '12:01'}}", {}, True),
    ("{hours: {from: '00:00', to: '24:00'}}", {}, True),
    ("{nth_purchase: {is: 1}}", {}, True),
    ("{nth_purchase: {is: 1}}", {"purchases_before": 1}, False),
    ("{nth_purchase: {every: 6}}", {"purchases_before": 11}, True),
    ("{nth_purchase: {every: 6}}", {"purchases_before": 12}, False),
    ("{tier: none}", {}, True),
    ("{tier: silver}", {"tier": "gold"}, False),
    ("{tier_at_least: silver}", {"tier": "gold"}, True),
    ("{tier_at_least: gold}", {"tier": "silver"}, False),
    ("{tier_at_least: silver}", {"tier": "a level of another version"}, False),
    ("{balance: {at_least: 0}}", {"balance": -1}, False),
    ("{balance: {at_most: -1}}", {"balance": -1}, True),
    ("purchase.amount == 2000", {}, True),
    ("{expression: account.tier == 'gold', channel: store}", {"tier": "gold"}, True),
    ("account.purchases > 3 and account.balance < 0", {"purchases_before": 4}, False),
]


@pytest.mark.parametrize(("when", "standing", "expected"), CONDITIONS)
def test_conditions(when: str, standing: dict[str, Any], expected: bool) -> None:
    program = program_of(f"- id: f\n  award: {{fixed: 1}}\n  when: {when}\n", TIERS)
    assert points(program, **standing) == ({"f": 1} if expected else {})


def test_conditions_on_what_a_purchase_may_tell() -> None:
    told = purchase_of(
        (100, None),
        region="north",
        payment_type="card",
        partner_id="p",
        promo_codes=("OLD", "SPRING"),
    )
    program = program_of(
        "- id: f\n  award: {fixed: 1}\n"
        "  when: {region: north, payment_type: card, partner: p, promo_code: [SPRING, SUMMER]}\n"
    )
    assert points(program, told) == {"f": 1}
    assert points(program) == {}


def test_hours_and_weekdays_are_those_of_the_zone() -> None:
    program = program_of(
        "- id: f\n  award: {fixed: 1}\n"
        "  when: {weekday: [tue], hours: {from: '00:00', to: '01:00'}}\n",
        head=HEAD.replace("UTC", "Europe/Berlin"),
    )
    assert awards(program, at=parse_instant("2026-06-01T22:30:00Z"))
    assert not awards(program, at=parse_instant("2026-06-02T00:30:00Z"))


def test_validity_includes_its_beginning_and_not_its_end() -> None:
    program = program_of(
        "- {id: f, award: {fixed: 1}, "
        "valid: {from: 2026-06-01T00:00:00Z, to: 2026-07-01T00:00:00Z}}\n"
    )
    moments = ["2026-05-31T23:59:59Z", "2026-06-01T00:00:00Z", "2026-07-01T00:00:00Z"]
    fired = [bool(awards(program, at=parse_instant(moment))) for moment in moments]
    assert fired == [False, True, False]


@pytest.mark.parametrize(
    ("timing", "activates", "expires"),
    [
        ("", "2026-06-15T12:00:00Z", "2027-06-15T12:00:00Z"),
        ("activation: immediately", "2026-06-01T12:00:00Z", "2027-06-01T12:00:00Z"),
        ("expiry: never", "2026-06-15T12:00:00Z", None),
        ("expiry: {end_of: year}", "2026-06-15T12:00:00Z", "2027-01-01T00:00:00Z"),
        ("expiry: {end_of: month, after: P1M}", "2026-06-15T12:00:00Z", "2026-08-01T00:00:00Z"),
    ],
)
def test_timing(timing: str, activates: str, expires: str | None) -> None:
    also = f", {timing}" if timing else ""
    found = awards(program_of(f"- {{id: f, award: {{fixed: 1}}{also}}}\n"))["f"]
    assert format_instant(found.activates_at) == activates
    assert (found.expires_at and format_instant(found.expires_at)) == expires


def test_a_grant_has_its_own_timing_or_the_program_s() -> None:
    program = compile_program(load_program(DEMO, "program.yaml"))
    survey = program.surveys["household-profile"]
    award = grant(
        program,
        rule=survey.id,
        kind="survey",
        points=200,
        at=AT,
        activation=survey.activation,
        expiry=survey.expiry,
        lot=4,
    )
    assert (award.points, award.value, award.lot) == (200, 200, 4)
    assert format_instant(award.activates_at) == "2026-06-01T12:00:00Z"
    assert award.expires_at is not None
    assert format_instant(award.expires_at) == "2026-12-01T12:00:00Z"
    assert not award.counts_for_tier


def test_an_expression_that_fails_makes_the_purchase_undecidable() -> None:
    # Such an expression is refused by the check; here it is compiled all the same.
    form = load_program(HEAD + "earn:\n- {id: f, award: {fixed: 1}, when: 'true'}\n", "t")
    bad = msgspec.structs.replace(form.earn[0], when="purchase.region > 5")
    program = compile_program(msgspec.structs.replace(form, earn=(bad,)))
    with pytest.raises(Undecidable, match="the expression of rule f failed") as caught:
        awards(program)
    assert caught.value.code == "expression_failed"


def test_tiers_of_a_measure() -> None:
    program = program_of("- {id: f, award: {fixed: 1}}\n", TIERS)
    assert [tier_level(program, n) for n in (0, 4, 5, 9, 10, 99)] == [
        "none", "none", "silver", "silver", "gold", "gold",
    ]  # fmt: skip
    assert [tier_rank(program, tier) for tier in ("none", "silver", "gold", "old")] == [0, 1, 2, 0]
    assert better(program, "silver", "gold") == "gold"
    assert better(program, "gold", "none") == "gold"
    assert better(program, "old", "none") == "none"


def test_allocation_by_largest_remainder() -> None:
    assert allocate(87, [129_900, 45_050]) == [65, 22]
    assert allocate(10, [1, 1, 1]) == [4, 3, 3]
    assert allocate(11, [1, 1, 1]) == [4, 4, 3]
    assert allocate(5, [0, 0]) == [5, 0]
    assert allocate(0, [3, 4]) == [0, 0]
    with pytest.raises(ValueError, match="no lines"):
        allocate(1, [])
