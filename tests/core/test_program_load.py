"""Loading a program: the demo's loads, and each kind of mistake is told with code and line."""

import re

import pytest

from ledger.core.program.document import FILE_SIZE_MAX, read_document, write_document
from ledger.core.program.keys import every_key
from ledger.core.program.load import ProgramErrors, load_program
from ledger.core.program.problems import CODES, PROBLEMS_MAX
from tests.core.program_texts import DEMO, HEAD, problems_of

RULE = "earn:\n- {id: base, award: {rate: {points: 1, per_amount: 100}}}\n"
FIRST = HEAD.count("\n") + 1
"""The line after the head, where each case below begins."""

CASES: list[tuple[str, int, str]] = [
    # (code, line counted from the case's first, the text after the head)
    ("unknown_key", 3, "earn:\n- id: base\n  awrd: {fixed: 1}\n  award: {fixed: 1}\n"),
    ("unknown_key", 3, RULE + "yes: 1\n"),
    ("missing_key", 2, "earn:\n- id: base\n"),
    ("missing_key", 2, "earn:\n- award: {fixed: 1}\n"),
    ("duplicate_key", 4, "earn:\n- id: base\n  award: {fixed: 1}\n  award: {fixed: 2}\n"),
    ("duplicate_id", 4, RULE + "- award: {fixed: 1}\n  id: base\n"),
    ("duplicate_id", 3, RULE + "surveys: [{id: s, award: {fixed: 1}}, {id: s, award: {fixed: 1}}]"),
    ("bad_key", 3, RULE + "1: x\n"),
    ("empty_value", 3, RULE + "tiers:\n"),
    ("empty_value", 3, RULE + "tiers: ~\n"),
    ("float_refused", 2, "earn:\n- {id: base, award: {fixed: 1.5}}\n"),
    ("float_refused", 4, RULE + "- id: m\n  award: {multiplier: {of: base, by: 1.5}}\n"),
    ("float_refused", 2, "earn:\n- {id: base, award: {fixed: 1e3}}\n"),
    ("float_refused", 2, "earn:\n- {id: base, award: {fixed: .inf}}\n"),
    ("float_refused", 4, "earn:\n- id: base\n  award:\n    fixed: 1.\n"),
    ("bad_value", 2, "earn:\n- {id: base, award: {fixed: many}}\n"),
    ("bad_value", 2, "earn:\n- {id: base, award: {fixed: true}}\n"),
    ("bad_value", 2, "earn:\n- {id: base, award: {fixed: 0}}\n"),
    ("bad_value", 2, "earn:\n- {id: base, award: {fixed: 1_000}}\n"),
    ("bad_value", 2, "earn:\n- {id: base, award: {fixed: 9999999999999999999}}\n"),
    ("bad_value", 2, "earn:\n- {id: base rule, award: {fixed: 1}}\n"),
    ("bad_value", 3, RULE + "rounding: up\n"),
    ("bad_value", 1, "earn: []\n"),
    ("bad_value", 3, RULE + 'segments: [{id: s, when: {tier: "a\\0b"}}]\n'),
    ("bad_moment", 3, ("earn:\n- id: base\n  valid: {from: 2026-02-30T00:00:00Z}\n"
     "  award: {fixed: 1}\n")),
    ("bad_moment", 2, "earn:\n- {id: base, award: {fixed: 1}, valid: {to: 2026-03-01}}\n"),
    ("bad_moment", 2, ("earn:\n- {id: base, award: {fixed: 1}, "
     "valid: {to: '2026-03-01T00:00:00'}}\n")),
    ("bad_moment", 2, ("earn:\n- {id: base, award: {fixed: 1}, "
     "valid: {to: 3026-03-01T00:00:00Z}}\n")),
    ("empty_validity", 2, ("earn:\n- {id: base, award: {fixed: 1}, valid: "
     "{from: 2026-03-01T00:00:00Z, to: 2026-03-01T03:00:00+03:00}}\n")),
    ("bad_duration", 3, RULE + "returns: {window: 30 days}\n"),
    ("bad_duration", 3, RULE + "returns: {window: 30}\n"),
    ("bad_duration", 3, RULE + "returns: {window: P101Y}\n"),
    ("bad_duration", 3, RULE + "returns: {window: P}\n"),
    ("empty_duration", 3, RULE + "returns: {window: PT0S}\n"),
    ("empty_duration", 2, "earn:\n- {id: base, award: {fixed: 1}, expiry: {after: P0D}}\n"),
    ("bad_number", 3, RULE + "- {id: m, award: {multiplier: {of: base, by: '1,5'}}}\n"),
    ("bad_number", 3, RULE + "- {id: m, award: {multiplier: {of: base, by: true}}}\n"),
    ("award_kinds", 2, "earn:\n- {id: base, award: {}}\n"),
    ("award_kinds", 2, ("earn:\n- {id: base, award: {fixed: 1, "
     "rate: {points: 1, per_amount: 1}}}\n")),
    ("award_kinds", 3, RULE + "surveys: [{id: s, award: {rate: {points: 1, per_amount: 1}}}]\n"),
    ("steps_not_rising", 4, ("earn:\n- id: base\n  award: {table: [{at_least: 5, points: 1},\n"
     "    {at_least: 5, points: 2}]}\n")),
    ("unknown_rule", 3, RULE + "- {id: m, award: {multiplier: {of: bse, by: 2}}}\n"),
    ("multiplier_of_itself", 3, RULE + "- {id: m, award: {multiplier: {of: m, by: 2}}}\n"),
    ("multiplier_of_later", 2, ("earn:\n- {id: m, award: {multiplier: {of: base, by: 2}}}\n"
     "- {id: base, award: {fixed: 1}}\n")),
    ("multiplier_cycle", 2, ("earn:\n- {id: a, award: {multiplier: {of: c, by: 2}}}\n"
     "- {id: b, award: {multiplier: {of: a, by: 2}}}\n"
     "- {id: c, award: {multiplier: {of: b, by: 2}}}\n")),
    ("multiplier_below_one", 3, RULE + "- {id: m, award: {multiplier: {of: base, by: '0.5'}}}\n"),
    ("limit_kinds", 3, "earn:\n- id: base\n  limits: [{per: day}]\n  award: {fixed: 1}\n"),
    ("limit_kinds", 3, ("earn:\n- id: base\n  limits: [{per: day, times: 1, points: 1}]\n"
     "  award: {fixed: 1}\n")),
    ("override_nowhere", 2, ("earn:\n- {id: a, award: {fixed: 1}, overrides: "
     "[{award: {fixed: 2}}]}\n")),
    ("override_kind", 2, ("earn:\n- {id: a, award: {fixed: 1}, overrides: "
     "[{store: s, award: {rate: {points: 1, per_amount: 1}}}]}\n")),
    ("unknown_tier", 2, "earn:\n- {id: a, award: {fixed: 1}, when: {tier: gold}}\n"),
    ("unknown_tier", 2, "earn:\n- {id: a, award: {fixed: 1}, when: {tier_at_least: gold}}\n"),
    ("unknown_tier", 3, RULE + "segments: [{id: s, when: {tier: gold}}]\n"),
    ("unknown_segment", 2, "earn:\n- {id: a, award: {fixed: 1}, when: {segment: vip}}\n"),
    ("bad_expression", 2, "earn:\n- {id: a, award: {fixed: 1}, when: purchase.sum > 1}\n"),
    ("bad_expression", 2, ("earn:\n- {id: a, award: {fixed: 1}, "
     "when: {expression: purchase.amount}}\n")),
    ("empty_condition", 2, "earn:\n- {id: a, award: {fixed: 1}, when: {balance: {}}}\n"),
    ("empty_condition", 2, ("earn:\n- {id: a, award: {fixed: 1}, "
     "when: {purchase_amount: {at_least: 5, at_most: 4}}}\n")),
    ("empty_condition", 2, "earn:\n- {id: a, award: {fixed: 1}, when: {nth_purchase: {}}}\n"),
    ("empty_condition", 2, ("earn:\n- {id: a, award: {fixed: 1}, "
     "when: {hours: {from: '10:00', to: '10:00'}}}\n")),
    ("empty_condition", 3, RULE + "segments: [{id: s, when: {}}]\n"),
    ("activation_kinds", 2, "earn:\n- {id: a, award: {fixed: 1}, activation: {}}\n"),
    ("expiry_kinds", 2, "earn:\n- {id: a, award: {fixed: 1}, expiry: {}}\n"),
    ("qualify_kinds", 3, RULE + "tiers: {qualify_by: {}, levels: [{id: a, at_least: 1}]}\n"),
    ("qualify_kinds", 3, RULE + "referral: {qualifies: {}, referrer: {fixed: 1}}\n"),
    ("window_kinds", 3, RULE + "tiers: {qualify_by: {purchases: {}}, "
     "levels: [{id: a, at_least: 1}]}\n"),
    ("purchase_only", 2, ("earn:\n- {id: a, on: {activity: review}, "
     "award: {rate: {points: 1, per_amount: 1}}}\n")),
    ("multiplier_of_other", 3, RULE + "- {id: b, on: {activity: review}, "
     "award: {multiplier: {of: base, by: 2}}}\n"),
    ("levels_not_rising", 6, RULE + "tiers:\n  qualify_by: {purchases: {window: lifetime}}\n"
     "  levels: [{id: a, at_least: 5},\n    {id: b, at_least: 5}]\n"),
    ("reserved_id", 3, RULE + "tiers: {qualify_by: {purchases: {window: lifetime}}, "
     "levels: [{id: none, at_least: 1}]}\n"),
    ("reward_kinds", 3, RULE + "referral: {qualifies: {purchase: {}}}\n"),
    ("reward_kinds", 3, RULE + "referral: {qualifies: {purchase: {}}, referee: {}}\n"),
    ("debt_limit_unused", 3, RULE + "returns: {policy: within_balance, debt_limit: 5}\n"),
    ("duplicate_id", 3, RULE + "promo_codes: [{id: a}, {id: a, code: X}]\n"),
    ("duplicate_code", 5, RULE + "promo_codes:\n- {id: a, code: S-1}\n- {id: b, code: s1}\n"),
    ("empty_code", 3, RULE + "promo_codes: [{id: a, code: ' - '}]\n"),
    ("empty_validity", 3, RULE + "promo_codes: [{id: a, valid: {from: 2017-01-02T00:00:00Z, "
     "to: 2017-01-02T00:00:00Z}}]\n"),
    ("code_of_series", 2, ("earn:\n- {id: a, award: {fixed: 1}, when: {promo_code: SPRING}}\n"
     "promo_codes: [{id: spring, code: Spring}]\n")),
    ("unknown_budget", 2, "earn:\n- {id: a, award: {fixed: 1}, budget: b}\n"),
    ("budget_kinds", 3, RULE + "budgets: [{id: b}]\n"),
    ("budget_kinds", 3, RULE + "budgets: [{id: b, points: 1, times: 1}]\n"),
    ("duplicate_id", 5, RULE + "budgets:\n- {id: b, points: 1}\n- {id: b, times: 1}\n"),
    ("unknown_event", 2, ("earn:\n- {id: a, award: {fixed: 1}, "
     "activation: {on: review.v1, within: P7D}}\n")),
    ("grace_missing", 4, RULE + "tiers: {qualify_by: {purchases: {rolling: P1Y}}, "
     "levels: [{id: a, at_least: 1}],\n  downgrade: {to: one_down}}\n"),
    ("not_whole_days", 3, RULE + "tiers: {qualify_by: {purchases: {rolling: PT36H}}, "
     "levels: [{id: a, at_least: 1}]}\n"),
    ("rolling_too_long", 3, RULE + "tiers: {qualify_by: {purchases: {rolling: P4Y}}, "
     "levels: [{id: a, at_least: 1}]}\n"),
    ("tag_refused", 3, RULE + "rounding: !!python/name:os.system floor\n"),
    ("tag_refused", 3, RULE + "segments: !!set {a}\n"),
    ("alias_refused", 3, RULE + "rounding: &r floor\n"),
    ("alias_refused", 3, RULE + "rounding: *r\n"),
    ("yaml_syntax", 3, RULE + "rounding: [\n"[:-1]),
    ("yaml_syntax", 3, RULE + "a: b: c\n"),
    ("yaml_syntax", 3, RULE + "rounding: \x01\n"),
    ("yaml_syntax", 4, RULE + "rounding: floor\n---\na: 1\n"),
    ("too_deep", 3, RULE + "rounding: " + "[" * 5_000 + "\n"),
]  # fmt: skip


def test_the_demo_program_loads() -> None:
    program = load_program(DEMO, "program.yaml")
    assert program.earn[0].id == "base"
    assert len(program.earn) == 6


@pytest.mark.parametrize(
    ("code", "line", "text"), CASES, ids=[f"{code}-{i}" for i, (code, *_) in enumerate(CASES)]
)
def test_a_mistake_is_told_once_with_its_line(code: str, line: int, text: str) -> None:
    found = [(p.code, p.line - FIRST + 1) for p in problems_of(HEAD + text)]
    assert found == [(code, line)]


def test_every_code_is_met_here_and_is_listed() -> None:
    elsewhere = {"unknown_time_zone", "file_too_large"}
    assert {code for code, _, _ in CASES} | elsewhere == set(CODES)


@pytest.mark.parametrize("zone", ["Mars/Olympus", "localtime", "../../etc/passwd", "Europe"])
def test_unknown_time_zones(zone: str) -> None:
    text = HEAD.replace("time_zone: UTC", f"time_zone: {zone}") + RULE
    assert [(p.code, p.line) for p in problems_of(text)] == [("unknown_time_zone", 3)]


def test_a_large_file_is_refused_before_it_is_read() -> None:
    assert [p.code for p in problems_of("#" * (FILE_SIZE_MAX + 1))] == ["file_too_large"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "just a text", "- a\n- list\n"])
def test_no_program_at_all(text: str) -> None:
    assert [p.code for p in problems_of(text)] in (["yaml_syntax"], ["bad_value"])


def test_all_problems_are_told_at_once_in_the_order_of_lines() -> None:
    text = (
        DEMO.replace('by: "1.2"', "by: 1.2")
        .replace("currency:", "curency:")
        .replace("tier: gold", "tier: glod")
        .replace("id: summer-basket", "id: base")
        .replace("to: 2017-09-01", "to: 2017-09-31")
        .replace("#.quantity", "#.amuont")
        .replace("grace: P1M", "grace: 1M")
    )
    found = problems_of(text)
    assert [each.code for each in found] == [
        "missing_key",
        "unknown_key",
        "float_refused",
        "unknown_tier",
        "duplicate_id",
        "bad_moment",
        "bad_expression",
        "bad_duration",
    ]
    assert [each.line for each in found] == sorted(each.line for each in found)


def test_a_misfit_rule_is_no_reference_to_nothing() -> None:
    text = HEAD + (
        "earn:\n- {id: base, award: {fixed: 1.5}}\n"
        "- {id: m, award: {multiplier: {of: base, by: 2}}}\n"
        "- {id: bad id, award: {fixed: 1}}\n"
        "- {id: n, award: {multiplier: {of: base, by: 2}}}\n"
    )
    assert [p.code for p in problems_of(text)] == ["float_refused", "bad_value"]


def test_problems_are_bounded() -> None:
    rules = "".join(f"- {{id: r{i}, award: {{fixed: 1}}, no: 1}}\n" for i in range(300))
    assert len(problems_of(f"{HEAD}earn:\n{rules}")) == PROBLEMS_MAX


def test_an_error_reads_as_file_line_path_sentence_code() -> None:
    with pytest.raises(ProgramErrors) as caught:
        load_program(HEAD + "earn:\n- {id: base, award: {fixd: 1}}\n", "my.yaml")
    assert str(caught.value) == (
        f"my.yaml:{FIRST + 1}: earn[0].award.fixd: the key `fixd` is not known here; did you mean "
        "`fixed`? [unknown_key]"
    )


def test_a_float_is_told_to_be_put_in_quotes() -> None:
    (problem,) = problems_of(HEAD + "earn:\n- {id: base, award: {fixed: 2.0}}\n")
    assert re.search(r'where a ratio is meant, "2.0" in quotes', problem.message)


def test_plain_words_stay_texts() -> None:
    root, problems, _ = read_document("on: off\nyes: no\n012: 0o17\n2017-01-01: 2017-01-01\n")
    assert root.plain() == {"on": "off", "yes": "no", "2017-01-01": "2017-01-01"}
    assert [problem.code for problem in problems] == ["bad_key"]


def test_what_is_written_is_read_back() -> None:
    plain = {"on": "true", "a": ["1.5", "12e3", "~", "", "2017-01-01", 5, True], "é": "x: y #z"}
    root, problems, _ = read_document(write_document(plain))
    assert (root.plain(), problems) == (plain, [])


def test_every_key_of_the_form_belongs_to_a_block_that_is_described() -> None:
    keys = dict(every_key())
    assert "earn[].award.multiplier.by" in keys
    assert "segments[].when.rfm.recency" in keys
    assert all(keys.values())
