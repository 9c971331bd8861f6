"""Expressions: what they may name, that they are exact, and the short cut over the amount."""

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.program.expressions import ExpressionError, Subject, compile_expression
from ledger.core.program.samples import try_expression
from ledger.core.program.tokens import EXPRESSION_LENGTH_MAX
from schemas.inputs import PurchaseData, PurchaseLine
from tests.core.program_texts import purchase_of

DEMO = "sum(map(purchase.lines, #.quantity)) >= 40 and purchase.amount >= 10000"


def subject(purchase: PurchaseData, tier: str = "none", balance: int = 0) -> Subject:
    amount = sum(line.amount for line in purchase.lines)
    return Subject(purchase, amount, tier, balance, 0)


def basket(*quantities: Decimal) -> PurchaseData:
    return PurchaseData(
        order_id="o",
        store_id="s",
        channel="store",
        currency="XXX",
        lines=tuple(PurchaseLine(str(i), "x", 100, q) for i, q in enumerate(quantities)),
    )


@pytest.mark.parametrize(
    "text",
    [
        DEMO,
        "purchase.amount > 5 or account.tier == 'gold'",
        "some(purchase.lines, #.category == 'DAIRY' and #.amount >= 100)",
        "account.balance >= 0 and account.purchases % 5 == 4",
        "(purchase.region ?? 'none') in ['north', 'south']",
        'not (purchase.channel == "web")',
        "count(purchase.lines, #.quantity > 0.5) >= 2",
        "len(purchase.promo_codes) > 0",
        "startsWith(purchase.store_id, 'store-')",
        "purchase.amount > 100 ? true : account.tier != 'none'",
    ],
)
def test_what_can_be_used(text: str) -> None:
    assert try_expression(text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("purchase.total > 1", "purchase.total is unknown"),
        ("basket.amount > 1", "the name basket is unknown"),
        ("some(purchase.lines, #.price > 1)", "#.price is unknown"),
        ("account.email == 'x'", "account.email is unknown"),
        ("purchase == 1", "write purchase.something"),
        ("now() > 1", r"function now\(\) cannot be used"),
        ("d('now') == d('now')", r"function d\(\) cannot be used"),
        ("date('now') > 1", r"function date\(\) cannot be used"),
        ("time('now') > 1", r"function time\(\) cannot be used"),
        ("rand(10) > 5", r"function rand\(\) cannot be used"),
        ("fuzzyMatch('a', 'b') > 1", r"function fuzzyMatch\(\) cannot be used"),
        ("purchase.channel.length > 1", "a dot may follow only"),
        ("purchase.lines[0].amount > 1", "elements have no numbers"),
        ("map(purchase.lines as x, x.amount) == 1", "the name as is unknown"),
        ("$root.purchase.amount > 1", "cannot be read"),
        ("`${purchase.amount}` == '1'", "cannot be read"),
        ("purchase.amount = 5", "cannot be read"),
        ("purchase.amount > 1; true", "cannot be read"),
        ("purchase.amount >", "engine says"),
        ("10 ^ 2 > 1", "cannot be read"),
        ("(" * 100 + "true" + ")" * 100, "nested"),
        ("true or " * EXPRESSION_LENGTH_MAX + "true", "longer than"),
        ("purchase.amount", "does not yield true or false"),
        ("purchase.amount + 1", "does not yield true or false"),
        ("purchase.channel > 5", "two lines"),
        ("purchase.region > 5", "two lines"),
        ("contains(purchase.region, 'no')", "one line for 0"),
        ("1000 / purchase.amount > 1", "one line for 0"),
        ("purchase.amount * purchase.amount > 1", "largest purchase"),
        ("purchase.amount >= 0 or purchase.region > 3", "in `purchase.region > 3`"),
        ("true", None),
    ],
)
def test_what_cannot_be_used(text: str, reason: str | None) -> None:
    said = try_expression(text)
    if reason is None:
        assert said is None
    else:
        assert said is not None
        assert re.search(reason, said), said


def test_tenths_are_exact() -> None:
    purchase = basket(Decimal("0.1"), Decimal("0.2"))
    assert compile_expression("sum(map(purchase.lines, #.quantity)) == 0.3").holds(
        subject(purchase)
    )


@pytest.mark.parametrize("quantity", ["4400.279", "4096.029", "0.001", "999999999.999"])
def test_quantities_are_exact(quantity: str) -> None:
    """As floats, some of them would be read as their neighbours."""
    purchase = subject(basket(Decimal(quantity)))
    for text, holds in (
        (f"some(purchase.lines, #.quantity == {quantity})", True),
        (f"some(purchase.lines, #.quantity > {quantity})", False),
        (f"sum(map(purchase.lines, 2 * # . quantity)) == 2 * {quantity}", True),
        ("some(purchase.lines, #.quantity % 1 < 1 and -#.quantity < 0)", True),
        ("some(purchase.lines, #.sku == 'quantity')", False),
    ):
        assert compile_expression(text).holds(purchase) is holds, text


QUANTITIES = st.decimals(0, 10**9 - 1, places=3)


@given(st.lists(QUANTITIES, min_size=1, max_size=30))
def test_sums_of_quantities_are_exact(quantities: list[Decimal]) -> None:
    total = sum(quantities, Decimal(0))
    purchase = subject(basket(*quantities))
    quantity = "sum(map(purchase.lines, #.quantity))"
    assert compile_expression(f"{quantity} == {total:f}").holds(purchase)
    assert not compile_expression(f"{quantity} > {total:f}").holds(purchase)
    assert compile_expression(f"{quantity} < {total + Decimal('0.001'):f}").holds(purchase)


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_amounts_are_exact(one: int, other: int) -> None:
    purchase = subject(purchase_of((one, None), (other, None)))
    assert compile_expression(f"sum(map(purchase.lines, #.amount)) == {one + other}").holds(
        purchase
    )
    assert compile_expression(f"purchase.amount % 7 == {(one + other) % 7}").holds(purchase)


@given(
    st.lists(st.decimals(0, 50, places=3), min_size=1, max_size=5),
    st.integers(0, 20_000),
    st.sampled_from(
        [
            DEMO,
            "purchase.amount >= 10000 or sum(map(purchase.lines, #.quantity)) >= 40",
            "purchase.amount < 9000 and purchase.amount != 500",
            "not (purchase.amount > 10000) and purchase.amount <= 20000",
            "not (purchase.amount > 10000) or purchase.amount <= 9000",
            "purchase.amount == 10000",
            "purchase.amount > 10000 ? true : purchase.amount <= 500 and true",
            "true and (purchase.amount > 9999 or purchase.amount < 100)",
        ]
    ),
)
def test_the_short_cut_is_the_same(quantities: list[Decimal], amount: int, text: str) -> None:
    purchase = basket(*quantities)
    lines = (PurchaseLine("a", "x", amount, Decimal(1)), *purchase.lines)
    whole = PurchaseData("o", "s", "store", "XXX", lines)
    expression = compile_expression(text)
    assert expression.holds(subject(whole)) == expression.evaluate(subject(whole))


def test_the_short_cut_is_taken_for_the_demo() -> None:
    assert len(compile_expression(DEMO).amount_tests) == 1
    assert compile_expression("purchase.amount > 1 or true").amount_tests == ()
    assert compile_expression("not true and purchase.amount > 1").amount_tests == ()


def test_a_failure_on_a_purchase_is_told() -> None:
    expression = compile_expression("purchase.region > 5")
    with pytest.raises(ExpressionError, match="the expression engine says"):
        expression.holds(subject(purchase_of((100, None))))


@pytest.mark.parametrize(
    "text",
    [
        "purchase.amount == 750",
        "purchase.store_id == 's-1' and purchase.channel == 'web'",
        "purchase.region == 'north' and purchase.partner_id == 'p'",
        "purchase.payment_type == 'card'",
        "purchase.currency == 'XXX' and len(purchase.promo_codes) == 2",
        "'B' in purchase.promo_codes and not ('C' in purchase.promo_codes)",
        "len(purchase.lines) == 2",
        "one(purchase.lines, #.amount == 500) and one(purchase.lines, #.amount == 250)",
        "one(purchase.lines, #.sku == 'sku-1') and one(purchase.lines, #.sku == 'sku-2')",
        "one(purchase.lines, #.category == 'TEA' and #.amount == 500)",
        "one(purchase.lines, #.category == null) and all(purchase.lines, #.brand == null)",
        "sum(map(purchase.lines, #.quantity)) == 4",
        "account.tier == 'gold'",
        "account.balance == 70 and account.purchases == 3",
    ],
)
def test_every_name_stands_for_what_it_says(text: str) -> None:
    purchase = purchase_of(
        (500, "TEA"),
        (250, None),
        quantity="2",
        currency="XXX",
        channel="web",
        region="north",
        partner_id="p",
        payment_type="card",
        promo_codes=("A", "B"),
    )
    assert compile_expression(text).holds(Subject(purchase, 750, "gold", 70, 3))


@pytest.mark.parametrize(
    ("text", "amount", "held"),
    [
        ("purchase.amount >= 100 and purchase.amount <= 200", 100, True),
        ("purchase.amount >= 100 and purchase.amount <= 200", 200, True),
        ("purchase.amount >= 100 and purchase.amount <= 200", 99, False),
        ("purchase.amount >= 100 and purchase.amount <= 200", 201, False),
        ("purchase.amount > 100 and purchase.amount < 102", 101, True),
        ("purchase.amount > 100 and purchase.amount < 102", 100, False),
        ("purchase.amount > 100 and purchase.amount < 102", 102, False),
        ("purchase.amount == 100", 100, True),
        ("purchase.amount == 100", 101, False),
        ("purchase.amount != 100", 101, True),
        ("purchase.amount != 100", 100, False),
        ("purchase.amount > 500 or account.tier == 'none'", 1, True),
        ("not (purchase.amount > 500)", 1, True),
        ("purchase.amount > 500 ? false : true", 1, True),
        ("(purchase.amount > 500 and purchase.amount < 600) or purchase.amount < 5", 4, True),
    ],
)
def test_the_short_cut_over_the_amount_is_no_other_answer(
    text: str, amount: int, held: bool
) -> None:
    asked = subject(purchase_of((amount, None)))
    expression = compile_expression(text)
    assert expression.holds(asked) is expression.evaluate(asked) is held
