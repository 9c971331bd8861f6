"""Purchases that every expression is tried on before a program is accepted.

An expression that fails on one of them would fail on real purchases, which then could not be
decided. They are the ends of what a purchase may be: everything given, next to nothing given, and
the largest.
"""

from decimal import Decimal

from ledger.core.program.expressions import ExpressionError, Subject, compile_expression
from ledger.core.program.list_equality import check_list_equality
from schemas.fields import AMOUNT_MAX, LINES_MAX
from schemas.inputs import PurchaseData, PurchaseLine

_QUANTITY_MAX = Decimal("999999999.999")

_FULL = PurchaseData(
    order_id="order-1",
    store_id="store-1",
    channel="store",
    currency="XXX",
    lines=(
        PurchaseLine("1", "milk", 129_900, Decimal(3), "DAIRY", "Acme"),
        PurchaseLine("2", "apples", 45_050, Decimal("0.482"), "PRODUCE", "Orchard"),
    ),
    region="north",
    payment_type="card",
    partner_id="partner-1",
    promo_codes=("SPRING",),
)
_BARE = PurchaseData(
    order_id="order-2",
    store_id="store-1",
    channel="web",
    currency="XXX",
    lines=(PurchaseLine("1", "sample", 0, Decimal(0)),),
)
_LARGEST = PurchaseData(
    order_id="order-3",
    store_id="store-1",
    channel="store",
    currency="XXX",
    lines=tuple(PurchaseLine(str(i), "gold", AMOUNT_MAX, _QUANTITY_MAX) for i in range(LINES_MAX)),
)

SAMPLES = tuple(
    (name, Subject(purchase, sum(line.amount for line in purchase.lines), tier, balance, count))
    for name, purchase, tier, balance, count in (
        ("a purchase of two lines", _FULL, "none", 1_000, 7),
        (
            "a purchase of one line for 0 that tells nothing it need not tell (region, category …)",
            _BARE,
            "none",
            -50,
            0,
        ),
        ("the largest purchase that is accepted", _LARGEST, "none", AMOUNT_MAX, 10**6),
    )
)


def try_expression(text: str) -> str | None:
    """A sentence that says why the expression cannot be used, or None when it can."""
    try:
        expression = compile_expression(text)
        check_list_equality(text)
    except ExpressionError as error:
        return f"the expression cannot be used: {error}"
    # The parts as well: `and` and `or` do not run what no longer matters.
    for part in dict.fromkeys((*expression.parts, text)):
        for name, subject in SAMPLES:
            try:
                compile_expression(part).evaluate(subject)
            except ExpressionError as error:
                return f"the expression, tried on {name}, fails in `{part.strip()}`: {error}"
    return None
