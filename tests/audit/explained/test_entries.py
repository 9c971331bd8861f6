"""The worked example of the domain, told in words."""

from datetime import UTC, datetime

from msgspec.structs import replace

from audit.entries import explain
from ledger.core.account import Account
from ledger.core.calendar import to_instant
from ledger.core.decide import decide
from ledger.core.program.compiled import compile_program
from ledger.core.program.timeline import Timeline
from projections.lots import lots_at
from schemas.decisions import (
    AccountEvent,
    BudgetShare,
    CodeFact,
    Facts,
    PointsAdjusted,
    PointsDonated,
    PointsRedeemed,
    RewardClaimed,
)
from schemas.inputs import InputEvent, PurchaseCompleted
from tests.projections.log_writer import confirm, give_back, program, purchase, reserve, survey

EXAMPLE = """
program: shop
currency: RUB
time_zone: UTC
effective_from: 2025-01-01T00:00:00Z
point_value: 1
activation: {after: P14D}
expiry: {after: P12M}
earn:
  - id: base
    award: {rate: {points: 5, per_amount: 10000}}
  - id: gold-bonus
    when: {tier: gold}
    award: {multiplier: {of: base, by: 2}}
  - id: once
    when: {purchase_amount: {at_least: 100}}
    award: {fixed: 10}
    limits: [{times: 1, per: lifetime}]
    counts_for_tier: false
tiers:
  qualify_by: {amount_spent: {window: calendar_year}}
  levels: [{id: gold, at_least: 100000}]
redemption: {restore_grace: P7D}
"""

PROGRAMS = Timeline([(0, compile_program(program(EXAMPLE)))])


def at(month: int, dom: int, year: int = 2026) -> datetime:
    return datetime(year, month, dom, tzinfo=UTC)


def in_roubles(event: PurchaseCompleted) -> PurchaseCompleted:
    return replace(event, data=replace(event.data, currency="RUB"))


def told() -> tuple[list[str], list[AccountEvent]]:
    account = Account.new("anna")
    inputs: list[InputEvent] = [
        in_roubles(purchase("o0", at(12, 1, 2025), [200_000])),
        in_roubles(purchase("o1", at(1, 10), [129_900, 45_050])),
        give_back("o1", at(1, 20), {"l2": 45_050}),
        reserve("r1", at(1, 25), 100),
        confirm("r1", at(1, 25)),
        give_back("nothing", at(1, 26)),
        survey("anna", at(1, 27)),
    ]
    events: list[AccountEvent] = []
    for event in inputs:
        events.extend(decide(account, event, to_instant(event.time), PROGRAMS))
    lines = []
    for decision in events:
        headline, details = explain(decision, "RUB")
        lines.append(headline)
        lines.extend(f"    {detail}" for detail in details)
    return lines, events


def test_the_worked_example_is_explained() -> None:
    lines, _ = told()
    for line in (
        "bought for RUB1,749.50 in store 7 (order o1), tier gold: +174 points",
        "    base (rate) on RUB1,749.50: +87 points",
        "    gold-bonus (multiplier) on RUB1,749.50: +87 points",
        "    once (fixed) on RUB1,749.50: no points of 10, the limit of times in all was used up",
        (
            "    lot 2: 174 points, spendable from 24 January 2026, 00:00,"
            " expire 24 January 2027, 00:00"
        ),
        "returned RUB450.50 of order o1: -44 points",
        "spent (reservation r1): 100 points",
        "    tier none → gold at 1 December 2025, 00:00",
        "return of unknown order nothing waits for it until 26 January 2027, 00:00",
    ):
        assert line in lines


CODES = """
budgets: [{id: small, points: 5}]
promo_codes: [{id: letter}, {id: poster, code: SPRING}]
"""
RULES = """
  - {id: poster, when: {promo_code: poster}, award: {fixed: 9}}
  - {id: gift, award: {fixed: 7}, budget: small}
"""


def test_budgets_and_promo_codes_are_explained() -> None:
    text = EXAMPLE.replace("tiers:\n", f"{RULES[1:]}tiers:\n") + CODES
    programs = Timeline([(0, compile_program(program(text)))])
    event = in_roubles(purchase("o", at(1, 10), [100]))
    event = replace(event, data=replace(event.data, promo_codes=("SPRUNG", "SPRING", "ABCDE")))
    facts = Facts(budgets=(BudgetShare("small", 5),), codes=(CodeFact(2, "ok", "letter"),))
    account = Account.new("anna")
    (decision,) = decide(account, event, to_instant(event.time), programs, facts)
    details = explain(decision, "RUB").details
    assert "promo code SPRUNG: no series has it" in details
    assert "promo code SPRING (series poster): used" in details
    assert "promo code AB… (series letter): not used, no award asked for it" in details
    assert any("budget small had too little left" in each for each in details)
    back = give_back("o", at(1, 11), {"l1": 100})
    *_, returned = decide(account, back, to_instant(back.time), programs)
    assert "promo code of poster given back" in explain(returned, "RUB").details


def test_lots_of_the_worked_example() -> None:
    _, events = told()
    asked = to_instant(at(1, 24))
    lots = lots_at("anna", events, asked, PROGRAMS)
    assert [(lot.lot, lot.rules, lot.available, lot.pending) for lot in lots] == [
        (1, ("base", "once"), 110, 0),
        (2, ("base", "gold-bonus"), 130, 0),
    ]
    assert lots_at("anna", events, to_instant(at(1, 24, 2027)), PROGRAMS) == []


def test_what_points_buy_and_what_is_adjusted_is_told_in_one_line() -> None:
    told: dict[AccountEvent, str] = {
        PointsRedeemed(
            occurred_at=0, redemption_id="r1", points=100, returnable_until=0
        ): "spent (redemption r1): 100 points",
        PointsAdjusted(
            occurred_at=0, points=-50, reason="granted twice", actor="clerk-7"
        ): "adjusted by clerk-7, granted twice: -50 points",
        PointsDonated(
            occurred_at=0, charity_id="shelter", points=20
        ): "given to charity shelter: 20 points",
        RewardClaimed(
            occurred_at=0, reward_id="cinema", kind="voucher", points=40, number=7
        ): "took voucher cinema number 7: 40 points",
        RewardClaimed(
            occurred_at=0, reward_id="pen", kind="gift", points=7
        ): "took gift pen: 7 points",
    }
    for event, headline in told.items():
        assert explain(event, "RUB").headline == headline
