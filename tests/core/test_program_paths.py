"""Where a mistake in a program stands: every check names the key that a person would change, and
the nearest thing that is right passes it."""

import pytest

from tests.core.program_texts import HEAD, problems_of

RULE = "earn:\n- {id: base, award: {fixed: 5}}\n"
LEVELS = "levels: [{id: silver, at_least: 1}]"


def earn(rule: str) -> str:
    """One rule `r` with a fixed award and this beside it."""
    return f"earn:\n- {{id: r, award: {{fixed: 5}}, {rule}}}\n"


def award(text: str) -> str:
    """Three rules: `base` before, one with this award, `last` behind."""
    return (
        f"earn:\n- {{id: base, award: {{fixed: 5}}}}\n- {{id: r, award: {{{text}}}}}\n"
        "- {id: last, award: {fixed: 5}}\n"
    )


def on_review(more: str = "limits: []", award: str = "fixed: 5") -> str:
    """`base`, and a rule `a` on the activity `review` with this award and this beside it."""
    return f"{RULE}- {{id: a, on: {{activity: review}}, award: {{{award}}}, {more}}}\n"


def override(text: str) -> str:
    """A rule that multiplies `base`, with this override."""
    multiplier = "multiplier: {of: base, by: 2}"
    return (
        "earn:\n- {id: base, award: {fixed: 5}}\n- {id: other, award: {fixed: 5}}\n"
        f"- {{id: r, award: {{{multiplier}}}, overrides: [{{{text}}}]}}\n"
    )


def referral(text: str) -> str:
    return f"{RULE}referral: {{{text}}}\n"


def segment(when: str) -> str:
    return (
        f"{RULE}segments: [{{id: a, when: {{balance: {{at_most: 1}}}}}}, {{id: b, when: {when}}}]"
    )


QUALIFIES = "qualifies: {purchase: {}}"

MISTAKES: list[tuple[str, str, list[str]]] = [
    # (code, text after the head, the paths)
    ("duplicate_id", RULE + "- {id: b, award: {fixed: 1}}\n- {id: base, award: {fixed: 1}}\n",
     ["earn[2].id"]),
    ("duplicate_id", RULE + "surveys: [{id: s, award: {fixed: 1}}, {id: s, award: {fixed: 1}}]",
     ["surveys[1].id"]),
    ("duplicate_id", f"{RULE}segments: [{{id: a, when: {{tag: x}}}}, {{id: a, when: {{tag: y}}}}]",
     ["segments[1].id"]),
    ("duplicate_id", RULE + "tiers: {qualify_by: {purchases: {window: lifetime}}, "
     "levels: [{id: a, at_least: 1}, {id: b, at_least: 2}, {id: a, at_least: 3}]}",
     ["tiers.levels[2].id"]),
    ("bad_moment", earn("valid: {from: 1969-12-31T23:59:59Z, to: 3000-01-01T00:00:00Z}"),
     ["earn[0].valid.from", "earn[0].valid.to"]),
    ("bad_moment", RULE + "surveys: [{id: s, award: {fixed: 1}, "
     "valid: {to: 3000-01-01T00:00:00Z}}]", ["surveys[0].valid.to"]),
    ("bad_moment", referral(f"{QUALIFIES}, referee: {{fixed: 1}}, "
     "valid: {from: 1969-12-31T00:00:00Z}"), ["referral.valid.from"]),
    ("empty_validity", earn("valid: {from: 2026-01-01T00:00:00Z, to: 2026-01-01T00:00:00Z}"),
     ["earn[0].valid"]),
    ("empty_validity", RULE + "charities: [{id: a}, {id: b, "
     "valid: {from: 2026-01-01T00:00:00Z, to: 2025-01-01T00:00:00Z}}]", ["charities[1].valid"]),
    ("empty_validity", RULE + "rewards: [{id: a, kind: gift, points: 5, "
     "valid: {from: 2026-01-01T00:00:00Z, to: 2025-01-01T00:00:00Z}}]", ["rewards[0].valid"]),
    ("activation_kinds", earn("activation: {}"), ["earn[0].activation"]),
    ("activation_kinds", earn("activation: {after: P1D, within: P1D}"), ["earn[0].activation"]),
    ("activation_kinds", RULE + "surveys: [{id: s, award: {fixed: 1}, activation: {}}]",
     ["surveys[0].activation"]),
    ("activation_kinds", referral(f"{QUALIFIES}, referee: {{fixed: 1, activation: {{}}}}"),
     ["referral.referee.activation"]),
    ("expiry_kinds", earn("expiry: {}"), ["earn[0].expiry"]),
    ("expiry_kinds", RULE + "surveys: [{id: s, award: {fixed: 1}, expiry: {}}]",
     ["surveys[0].expiry"]),
    ("expiry_kinds", referral(f"{QUALIFIES}, referrer: {{fixed: 1, expiry: {{}}}}"),
     ["referral.referrer.expiry"]),
    ("empty_duration", earn("expiry: {after: P0D}"), ["earn[0].expiry.after"]),
    ("empty_duration", referral("qualifies: {purchase: {within: P0D}}, referee: {fixed: 1}"),
     ["referral.qualifies.purchase.within"]),
    ("empty_duration", referral("qualifies: {first_purchase: {within: P0D}}, referee: {fixed: 1}"),
     ["referral.qualifies.first_purchase.within"]),
    ("empty_duration", RULE + "returns: {window: P0D}", ["returns.window"]),
    ("empty_duration", RULE + "redemption: {reservation_ttl: PT0S}",
     ["redemption.reservation_ttl"]),
    ("award_kinds", award(""), ["earn[1].award"]),
    ("award_kinds", RULE + "surveys: [{id: s, award: {}}]", ["surveys[0].award"]),
    ("award_kinds", RULE + "surveys: [{id: s, award: {table: [{at_least: 0, points: 1}]}}]",
     ["surveys[0].award"]),
    ("steps_not_rising", award("table: [{at_least: 0, points: 1}, {at_least: 7, points: 2}, "
     "{at_least: 7, points: 3}]"), ["earn[1].award.table[2].at_least"]),
    ("multiplier_below_one", award("multiplier: {of: base, by: '0.999'}"),
     ["earn[1].award.multiplier.by"]),
    ("multiplier_of_itself", award("multiplier: {of: r, by: 2}"),
     ["earn[1].award.multiplier.of"]),
    ("unknown_rule", award("multiplier: {of: no, by: 2}"), ["earn[1].award.multiplier.of"]),
    ("multiplier_of_later", award("multiplier: {of: last, by: 2}"),
     ["earn[1].award.multiplier.of"]),
    ("multiplier_cycle", ("earn:\n- {id: a, award: {multiplier: {of: b, by: 2}}}\n"
     "- {id: b, award: {multiplier: {of: a, by: 2}}}\n"), ["earn[0].award.multiplier.of"]),
    ("multiplier_of_later", ("earn:\n- {id: x, award: {multiplier: {of: a, by: 2}}}\n"
     "- {id: base, award: {fixed: 5}}\n- {id: a, award: {multiplier: {of: base, by: 2}}}\n"),
     ["earn[0].award.multiplier.of"]),
    ("bad_expression", earn("when: nothing.known > 1"), ["earn[0].when"]),
    ("bad_expression", earn("when: {expression: nothing.known > 1}"), ["earn[0].when.expression"]),
    ("bad_expression", earn("when: 'purchase.promo_codes == []'"), ["earn[0].when"]),
    ("bad_expression", earn('when: {expression: "purchase.promo_codes != [1]"}'),
     ["earn[0].when.expression"]),
    ("empty_condition", earn("lines: {amount: {}}"), ["earn[0].lines.amount"]),
    ("empty_condition", earn("when: {purchase_amount: {}}"), ["earn[0].when.purchase_amount"]),
    ("empty_condition", earn("when: {balance: {at_least: 6, at_most: 5}}"),
     ["earn[0].when.balance"]),
    ("empty_condition", earn("when: {hours: {from: '08:00', to: '08:00'}}"),
     ["earn[0].when.hours"]),
    ("empty_condition", earn("when: {nth_purchase: {}}"), ["earn[0].when.nth_purchase"]),
    ("unknown_tier", earn("when: {tier: gold}"), ["earn[0].when.tier"]),
    ("unknown_tier", earn("when: {tier_at_least: gold}"), ["earn[0].when.tier_at_least"]),
    ("unknown_segment", earn("when: {segment: [x, y]}"),
     ["earn[0].when.segment", "earn[0].when.segment"]),
    ("limit_kinds", earn("limits: [{per: day, times: 1}, {per: day}]"), ["earn[0].limits[1]"]),
    *(("purchase_only", on_review(f"when: {{{key}: {value}}}"), [f"earn[1].when.{key}"])
      for key, value in (
          ("purchase_amount", "{at_least: 1}"), ("region", "x"), ("channel", "x"),
          ("payment_type", "x"), ("partner", "x"), ("nth_purchase", "{is: 1}"),
          ("promo_code", "x"), ("expression", "'purchase.amount > 1'"))),
    ("purchase_only", on_review("when: 'purchase.amount > 1'"), ["earn[1].when"]),
    ("purchase_only", on_review("lines: {sku: x}"), ["earn[1].lines"]),
    ("purchase_only", on_review("overrides: [{store: s, award: {fixed: 2}}]"),
     ["earn[1].overrides"]),
    ("purchase_only", on_review("limits: [{per: day, times: 1}, {per: order, times: 1}]"),
     ["earn[1].limits[1].per"]),
    ("purchase_only", on_review(award="rate: {points: 1, per_amount: 1}"),
     ["earn[1].award.rate"]),
    ("purchase_only", on_review(award="table: [{at_least: 0, points: 1}]"),
     ["earn[1].award.table"]),
    ("multiplier_of_other", on_review(award="multiplier: {of: base, by: 2}"),
     ["earn[1].award.multiplier.of"]),
    ("multiplier_of_other", on_review()
     + "- {id: b, on: {activity: visit}, award: {multiplier: {of: a, by: 2}}}\n",
     ["earn[2].award.multiplier.of"]),
    ("multiplier_of_other", on_review() + "- {id: b, award: {multiplier: {of: a, by: 2}}}\n",
     ["earn[2].award.multiplier.of"]),
    ("override_nowhere", override("award: {multiplier: {of: base, by: 3}}"),
     ["earn[2].overrides[0]"]),
    ("override_kind", override("store: s, award: {fixed: 3}"), ["earn[2].overrides[0].award"]),
    ("override_kind", override("store: s, award: {multiplier: {of: other, by: 3}}"),
     ["earn[2].overrides[0].award.multiplier.of"]),
    ("award_kinds", override("store: s, award: {}"), ["earn[2].overrides[0].award"]),
    ("qualify_kinds", RULE + f"tiers: {{qualify_by: {{}}, {LEVELS}}}", ["tiers.qualify_by"]),
    ("qualify_kinds", RULE + "tiers: {qualify_by: {purchases: {window: lifetime}, "
     f"points_earned: {{window: lifetime}}}}, {LEVELS}}}", ["tiers.qualify_by"]),
    ("qualify_kinds", RULE + "tiers: {qualify_by: {purchases: {window: lifetime}, "
     f"amount_spent: {{window: lifetime}}}}, {LEVELS}}}", ["tiers.qualify_by"]),
    ("window_kinds", RULE + f"tiers: {{qualify_by: {{points_earned: {{}}}}, {LEVELS}}}",
     ["tiers.qualify_by.points_earned"]),
    ("window_kinds", RULE + f"tiers: {{qualify_by: {{amount_spent: {{}}}}, {LEVELS}}}",
     ["tiers.qualify_by.amount_spent"]),
    ("empty_duration", RULE + f"tiers: {{qualify_by: {{purchases: {{rolling: P0D}}}}, {LEVELS}}}",
     ["tiers.qualify_by.purchases.rolling"]),
    ("reserved_id", RULE + "tiers: {qualify_by: {purchases: {window: lifetime}}, "
     "levels: [{id: a, at_least: 1}, {id: none, at_least: 2}]}", ["tiers.levels[1].id"]),
    ("levels_not_rising", RULE + "tiers: {qualify_by: {purchases: {window: lifetime}}, "
     "levels: [{id: a, at_least: 5}, {id: b, at_least: 5}]}", ["tiers.levels[1].at_least"]),
    ("qualify_kinds", referral("qualifies: {}, referee: {fixed: 1}"), ["referral.qualifies"]),
    ("qualify_kinds", referral("qualifies: {purchase: {}, first_purchase: {}}, "
     "referee: {fixed: 1}"), ["referral.qualifies"]),
    ("reward_kinds", referral(QUALIFIES), ["referral"]),
    ("reward_kinds", referral(f"{QUALIFIES}, referrer: {{}}"), ["referral.referrer"]),
    ("reward_kinds", referral(f"{QUALIFIES}, referee: {{}}"), ["referral.referee"]),
    ("reward_kinds", referral(f"{QUALIFIES}, referee: {{fixed: 1, "
     "share: {rate: {points: 1, per_amount: 1}}}"), ["referral.referee.share"]),
    ("reward_kinds", referral(f"{QUALIFIES}, referee: {{"
     "share: {rate: {points: 1, per_amount: 1}}}"), ["referral.referee.share"]),
    ("debt_limit_unused", RULE + "returns: {policy: only_pending, debt_limit: 0}",
     ["returns.debt_limit"]),
    ("unknown_budget", earn("budget: b"), ["earn[0].budget"]),
    ("unknown_budget", RULE + "surveys: [{id: s, award: {fixed: 1}, budget: b}]",
     ["surveys[0].budget"]),
    ("empty_condition", segment("{}"), ["segments[1].when"]),
    ("empty_condition", segment("{rfm: {}}"), ["segments[1].when.rfm"]),
    *(("empty_condition", segment(f"{{{key}: {{}}}}"), [f"segments[1].when.{key}"])
      for key in ("recency_days", "frequency", "monetary", "balance")),
    ("unknown_tier", segment("{tier: [none, gold]}"), ["segments[1].when.tier"]),
    ("empty_duration", RULE + "closing: {notice: PT0S}", ["closing.notice"]),
    *(("empty_condition", RULE + f"transfers: {{minimum: 10, {key}: 9}}", [f"transfers.{key}"])
      for key in ("at_most", "per_day", "per_month")),
]  # fmt: skip

FINE = [
    earn("valid: {from: 1970-01-01T00:00:00Z, to: 2999-12-31T23:59:59Z}"),
    earn("valid: {from: 2026-01-01T00:00:00Z, to: 2026-01-01T00:00:01Z}"),
    earn("valid: {from: 2026-01-01T00:00:00Z}"),
    earn("valid: {to: 2026-01-01T00:00:00Z}"),
    earn("activation: {after: PT0S}"),
    earn("expiry: {end_of: year}"),
    earn("activation: {on: review, within: P7D}"),
    RULE + "surveys: [{id: s, award: {fixed: 1}, activation: {on: e, within: P1D}, "
    "expiry: {after_inactivity: P6M}}]",
    earn("expiry: {end_of: month, after: P0D}"),
    award("multiplier: {of: base, by: 1}"),
    award("table: [{at_least: 0, points: 1}, {at_least: 1, points: 2}]"),
    earn("when: {balance: {at_least: 5, at_most: 5}, tier: none}"),
    earn("when: {purchase_amount: {at_most: 5}}"),
    earn("when: {hours: {from: '08:00', to: '08:01'}}"),
    earn("when: {nth_purchase: {every: 6}}"),
    earn("when: {birthday: {}, tag: x}"),
    on_review("when: {store: x, weekday: [mon], hours: {from: '08:00', to: '10:00'}, tag: x, "
              "birthday: {}, tier: none, tier_at_least: none, balance: {at_least: 1}}, "
              "limits: [{per: day, points: 5}], stacking: {best_of_group: g}, rounding: ceil"),
    on_review() + "- {id: b, on: {activity: [visit, review]}, "
    "award: {multiplier: {of: a, by: 2}}}\n",
    on_review() + "surveys: [{id: s, award: {fixed: 1}, counts_for_tier: true}]\n",
    earn("when: {segment: a}") + "segments: [{id: a, when: {tag: x}}]",
    earn("limits: [{per: day, times: 1}, {per: month, points: 9}]"),
    *(override(f"{place}: x, award: {{multiplier: {{of: base, by: 3}}}}")
      for place in ("store", "region", "channel", "partner")),
    RULE + "tiers: {qualify_by: {amount_spent: {window: calendar_year}}, "
    "levels: [{id: a, at_least: 1}, {id: b, at_least: 2}]}",
    *(f"{RULE}tiers: {{qualify_by: {{{name}: {{rolling: P1Y}}}}, {LEVELS}}}"
      for name in ("amount_spent", "points_earned", "purchases")),
    referral("qualifies: {first_purchase: {within: P1D}}, referrer: {fixed: 1}"),
    referral(f"{QUALIFIES}, referrer: {{fixed: 1, share: {{rate: {{points: 1, per_amount: 1}}}}}}"),
    referral(f"{QUALIFIES}, referee: {{fixed: 1}}, per_referrer: {{times: 5, per: month}}"),
    RULE + "returns: {policy: debt, debt_limit: 0}",
    segment("{rfm: {monetary: [5]}, tier: none}"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "text", "paths"),
    MISTAKES,
    ids=[f"{code}-{i}" for i, (code, *_) in enumerate(MISTAKES)],
)
def test_a_mistake_stands_at_the_key_to_change(code: str, text: str, paths: list[str]) -> None:
    found = problems_of(HEAD + text)
    assert [(p.code, p.path) for p in found] == [(code, path) for path in paths]
    assert all(" " in p.message for p in found), "each has a sentence"


@pytest.mark.parametrize("text", FINE)
def test_the_nearest_that_is_right_passes(text: str) -> None:
    assert problems_of(HEAD + text) == ()


def test_mistakes_of_the_head_stand_at_their_keys() -> None:
    head = (
        HEAD.replace("UTC", "Nowhere")
        .replace("2026-01-01", "3000-01-01")
        .replace("{after: P14D}", "{after: P1D, on: e, within: P1D}")
        .replace("{after: P12M}", "{after: P12M, after_inactivity: P1M}")
    )
    found = problems_of(head + RULE)
    assert all(" " in p.message for p in found)
    assert [(p.code, p.path) for p in found] == [
        ("unknown_time_zone", "time_zone"),
        ("bad_moment", "effective_from"),
        ("activation_kinds", "activation"),
        ("expiry_kinds", "expiry"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (award("fixed: 1, rate: {points: 1, per_amount: 1}"), ("rate | fixed | table | multiplier; "
         "this has rate and fixed")),
        (award(""), "this has none"),
        (override("store: s, award: {fixed: 3}"), "the rule's award is a multiplier"),
        (("earn:\n- {id: a, award: {multiplier: {of: c, by: 2}}}\n"
         "- {id: b, award: {multiplier: {of: a, by: 2}}}\n"
         "- {id: c, award: {multiplier: {of: b, by: 2}}}\n"), "a → c → b → a"),
        (RULE + "- {id: b, award: {fixed: 1}}\n- {id: base, award: {fixed: 1}}\n",
         f"first in line {HEAD.count(chr(10)) + 2}"),
        (earn("rounding: up"), "ceil, floor, half_even"),
        (earn("limits: {}"), "must be a list, not a block of keys"),
        (earn("when: {tier: 5}"), "this must be a text, not a whole number"),
        (earn("when: 5"), "block of keys, not a whole number"),
        ("earn:\n- {id: r, award: {fixed: 0}}\n", "0 is out of range: it must be 1 or more"),
        ("earn:\n- {id: r, award: {fixed: 1000000001}}\n", "it must be 1000000000 or less"),
        ("earn: []\n", "at least 1 elements"),
        (earn("nonsense: 1"), "there are id, award, when, lines"),
        (earn("roundin: floor"), "did you mean `rounding`?"),
        ("earn:\n- {id: 'a b', award: {fixed: 1}}\n", "'a b' is not allowed here"),
        (earn("expiry: {after: P101Y}"), "longer than 100 years"),
        (earn("valid: {from: 2026-02-30T00:00:00Z}"), "'2026-02-30T00:00:00Z' is not a moment"),
    ],
)  # fmt: skip
def test_the_sentence_names_what_is_wrong_and_what_would_be_right(text: str, said: str) -> None:
    (problem,) = problems_of(HEAD + text)
    assert said in problem.message
