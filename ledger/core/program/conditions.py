"""Typed conditions of rules, compiled once per program version into plain functions.

A purchase condition is a function of a Scene, a line condition one of a line. The parts of one
`when` are ordered so that what is cheap is asked first and an expression last; all must hold.
"""

from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

from msgspec import Struct

from ledger.core.calendar import local
from ledger.core.errors import Undecidable
from ledger.core.program import form
from ledger.core.program.expressions import ExpressionError, Subject, compile_expression
from schemas.fields import Instant
from schemas.inputs import PurchaseData, PurchaseLine

NO_TIER = "none"
"""The tier of an account that has none; a rule may ask for it by this name."""

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Scene(Struct):
    """What a condition may look at. `amount`: the sum of the lines, minor units; `balance` and
    `purchases_before`: of the account, before the purchase itself counts."""

    purchase: PurchaseData
    amount: int
    at: Instant
    tier: str
    balance: int
    purchases_before: int


Condition = Callable[[Scene], bool]
LineCondition = Callable[[PurchaseLine], bool]


def texts(value: form.Texts | None) -> frozenset[str] | None:
    """One text or several as a set; None stays None."""
    if value is None:
        return None
    return frozenset((value,)) if isinstance(value, str) else frozenset(value)


def compile_when(
    rule_id: str, when: form.When | str | None, ranks: Mapping[str, int], zone: ZoneInfo
) -> tuple[Condition, ...]:
    """The conditions of one `when`. `ranks`: the tiers' ranks, NO_TIER 0.

    A condition raises Undecidable (`expression_failed`) when its expression fails on a purchase.
    Raises ExpressionError for an expression that cannot be used.
    """
    if when is None:
        return ()
    if isinstance(when, str):
        when = form.When(expression=when)
    found: list[Condition] = []
    if when.tier is not None:
        found.append(_tier_is(when.tier))
    if when.tier_at_least is not None:
        least = ranks[when.tier_at_least]
        found.append(lambda scene: ranks.get(scene.tier, 0) >= least)
    if when.purchase_amount is not None:
        found.append(_amount_within(when.purchase_amount))
    if when.balance is not None:
        found.append(_balance_within(when.balance))
    if when.nth_purchase is not None:
        found.append(_nth(when.nth_purchase))
    found.extend(_of_purchase(when))
    if when.weekday is not None or when.hours is not None:
        found.append(_local_time(when.weekday, when.hours, zone))
    if when.expression is not None:
        found.append(_expression(rule_id, when.expression))
    return tuple(found)


def _tier_is(tier: str) -> Condition:
    return lambda scene: scene.tier == tier


def _bounds(bounds: form.Bounds) -> Callable[[int], bool]:
    least, most = bounds.at_least, bounds.at_most
    if most is None:
        return lambda value: least is None or value >= least
    if least is None:
        return lambda value: value <= most
    return lambda value: least <= value <= most


def _amount_within(bounds: form.Bounds) -> Condition:
    least = bounds.at_least
    if least is not None and bounds.at_most is None:
        return lambda scene: scene.amount >= least
    within = _bounds(bounds)
    return lambda scene: within(scene.amount)


def _balance_within(bounds: form.Bounds) -> Condition:
    within = _bounds(bounds)
    return lambda scene: within(scene.balance)


def _nth(nth: form.Nth) -> Condition:
    exact, every = nth.is_, nth.every

    def holds(scene: Scene) -> bool:
        number = scene.purchases_before + 1
        return (exact is None or number == exact) and (every is None or number % every == 0)

    return holds


def _of_purchase(when: form.When | form.Override) -> list[Condition]:
    """Conditions on what the purchase says of itself."""
    found: list[Condition] = []
    stores, regions = texts(when.store), texts(when.region)
    channels, partners = texts(when.channel), texts(when.partner)
    if stores is not None:
        found.append(lambda scene: scene.purchase.store_id in stores)
    if regions is not None:
        found.append(lambda scene: scene.purchase.region in regions)
    if channels is not None:
        found.append(lambda scene: scene.purchase.channel in channels)
    if partners is not None:
        found.append(lambda scene: scene.purchase.partner_id in partners)
    if isinstance(when, form.When):
        payments, codes = texts(when.payment_type), texts(when.promo_code)
        if payments is not None:
            found.append(lambda scene: scene.purchase.payment_type in payments)
        if codes is not None:
            found.append(lambda scene: not codes.isdisjoint(scene.purchase.promo_codes))
    return found


def compile_override(override: form.Override) -> tuple[Condition, ...]:
    """Where an override applies: all of the kinds of place that it names."""
    return tuple(_of_purchase(override))


def _local_time(
    weekdays: tuple[str, ...] | None, hours: form.Hours | None, zone: ZoneInfo
) -> Condition:
    days = None if weekdays is None else {WEEKDAYS.index(day) for day in weekdays}
    start, end = (0, 24 * 60) if hours is None else (_minutes(hours.start), _minutes(hours.end))

    def holds(scene: Scene) -> bool:
        clock = local(scene.at, zone)
        if days is not None and clock.weekday() not in days:
            return False
        minute = clock.hour * 60 + clock.minute
        # `from: 22:00, to: 02:00` goes over midnight.
        return start <= minute < end if start < end else minute >= start or minute < end

    return holds


def _minutes(clock: str) -> int:
    return int(clock[:2]) * 60 + int(clock[3:])


def _expression(rule_id: str, text: str) -> Condition:
    expression = compile_expression(text)

    def holds(scene: Scene) -> bool:
        subject = Subject(
            scene.purchase, scene.amount, scene.tier, scene.balance, scene.purchases_before
        )
        try:
            return expression.holds(subject)
        except ExpressionError as error:
            raise Undecidable(
                "expression_failed",
                f"earn[{rule_id}].when",
                f"the expression of rule {rule_id} failed on this purchase: {error}",
            ) from None

    return holds


def compile_lines(lines: form.Lines | None) -> tuple[LineCondition, ...]:
    """The conditions on a line, all of which must hold; none: every line matches."""
    if lines is None:
        return ()
    found: list[LineCondition] = []
    categories, skus, brands = texts(lines.category), texts(lines.sku), texts(lines.brand)
    if categories is not None:
        found.append(lambda line: line.category in categories)
    if skus is not None:
        found.append(lambda line: line.sku in skus)
    if brands is not None:
        found.append(lambda line: line.brand in brands)
    if lines.amount is not None:
        within = _bounds(lines.amount)
        found.append(lambda line: within(line.amount))
    return tuple(found)
