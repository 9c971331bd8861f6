"""The rule part of the domain's worked example, with its numbers."""

from ledger.core.calendar import parse_instant
from ledger.core.rules import Standing, evaluate
from schemas.decisions import LineShare
from tests.core.program_texts import program_of, purchase_of

PROGRAM = program_of(
    "- {id: base, award: {rate: {points: 5, per_amount: 10000}}}\n"
    '- {id: gold, when: {tier: gold}, award: {multiplier: {of: base, by: "2"}}}\n',
    "tiers:\n  qualify_by: {amount_spent: {window: calendar_year}}\n"
    "  levels: [{id: gold, at_least: 1000000}]\n",
)
AT = parse_instant("2026-01-10T12:00:00Z")
PURCHASE = purchase_of((129_900, None), (45_050, None))


def test_a_gold_member_earns_87_and_87() -> None:
    base, gold = evaluate(PROGRAM, PURCHASE, AT, Standing(tier="gold"), 7)
    assert (base.rule, base.kind, base.value, base.points) == ("base", "rate", 87, 87)
    assert base.lines == (LineShare(0, 65), LineShare(1, 22))
    assert base.matched_amount == 174_950
    assert (gold.rule, gold.kind, gold.points) == ("gold", "multiplier", 87)
    assert gold.lines == base.lines
    assert (base.lot, gold.lot) == (7, 7)
    for award in (base, gold):
        assert award.granted_at == AT
        assert award.activates_at == parse_instant("2026-01-24T12:00:00Z")
        assert award.expires_at == parse_instant("2027-01-24T12:00:00Z")
        assert award.capped == ()
        assert award.counts_for_tier


def test_without_the_tier_only_the_base() -> None:
    (base,) = evaluate(PROGRAM, PURCHASE, AT, Standing(), 1)
    assert base.points == 87
