"""Typed conditions of rules, compiled once per program version into plain functions.

A purchase condition is a function of a Scene, a line condition one of a line. The parts of one
`when` are ordered so that what is cheap is asked first and an expression last; all must hold.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from zoneinfo import ZoneInfo

from msgspec import Struct

from ledger.core.calendar import local
from ledger.core.errors import Undecidable
from ledger.core.program import form
from ledger.core.program.asked import tests_of_member
from ledger.core.program.expressions import (
    AmountTest,
    Expression,
    ExpressionError,
    Subject,
    compile_expression,
)
from schemas.decisions import Facts
from schemas.fields import Instant
from schemas.inputs import ActivityData, PurchaseData, PurchaseLine

NO_TIER = "none"
"""The tier of an account that has none; a rule may ask for it by this name."""

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Scene(Struct):
    """What a condition may look at. `amount`: the sum of the lines, minor units; `balance` and
    `purchases_before`: of the account, before the purchase itself counts; `facts`: what is known
    of the member. Of an activity `activity` is set, and `purchase` is NO_PURCHASE; `codes`: the
    series of promo codes of which a purchase names a good one."""

    purchase: PurchaseData
    amount: int
    at: Instant
    tier: str
    balance: int
    purchases_before: int
    facts: Facts
    activity: ActivityData | None = None
    codes: frozenset[str] = frozenset()


NO_PURCHASE = PurchaseData("", "", "", "", ())
"""Stands where nothing was bought."""

Condition = Callable[[Scene], bool]
TierCondition = Callable[[str], bool]
Matcher = Callable[[Sequence[PurchaseLine]], list[int]]
"""Of some lines the places of those that match."""


def texts(value: form.Texts | None) -> frozenset[str] | None:
    """One text or several as a set; None stays None."""
    if value is None:
        return None
    return frozenset((value,)) if isinstance(value, str) else frozenset(value)


def compile_tiers(
    when: form.When | str | None, ranks: Mapping[str, int]
) -> tuple[TierCondition, ...]:
    """What must hold of the tier. `ranks`: the tiers' ranks, NO_TIER 0."""
    found: list[TierCondition] = []
    if isinstance(when, form.When):
        exact = when.tier
        if exact is not None:
            found.append(lambda tier: tier == exact)
        if when.tier_at_least is not None:
            least = ranks[when.tier_at_least]
            found.append(lambda tier: ranks.get(tier, 0) >= least)
    return tuple(found)


def expression_of(when: form.When | str | None) -> Expression | None:
    """The expression of a `when`. Raises ExpressionError for one that cannot be used."""
    text = when.expression if isinstance(when, form.When) else when
    return None if text is None else compile_expression(text)


def compile_when(
    rule_id: str,
    when: form.When | str | None,
    zone: ZoneInfo,
    expression: Expression | None,
    series: Set[str],
    *,
    of_activity: bool = False,
) -> tuple[Condition, ...]:
    """The conditions of one `when` but for those on the tier; `expression`: its own; `series`: the
    ids of the program's series of promo codes.

    A condition raises Undecidable (`expression_failed`) when its expression fails on a purchase.
    """
    found: list[Condition] = []
    if isinstance(when, form.When):
        if when.purchase_amount is not None:
            found.append(_amount_within(when.purchase_amount))
        if when.balance is not None:
            found.append(_balance_within(when.balance))
        if when.nth_purchase is not None:
            found.append(_nth(when.nth_purchase))
        found.extend(_of_activity(when) if of_activity else _of_purchase(when))
        codes = texts(when.promo_code)
        if codes is not None:
            found.append(_promo_code(codes - series, codes & series))
        found.extend(map(_member_test, tests_of_member(when)))
        if when.weekday is not None or when.hours is not None:
            found.append(_local_time(when.weekday, when.hours, zone))
    if expression is not None:
        found.extend(map(_amount_test, expression.amount_tests))
        found.append(_expression(rule_id, expression))
    return tuple(found)


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
        payments = texts(when.payment_type)
        if payments is not None:
            found.append(lambda scene: scene.purchase.payment_type in payments)
    return found


def _of_activity(when: form.When) -> list[Condition]:
    """Conditions on what the activity says of itself."""
    stores = texts(when.store)
    if stores is None:
        return []
    return [lambda scene: scene.activity is not None and scene.activity.store_id in stores]


def _member_test(test: Callable[[Facts], bool]) -> Condition:
    return lambda scene: test(scene.facts)


def _promo_code(words: frozenset[str], series: frozenset[str]) -> Condition:
    if not series:
        return lambda scene: not words.isdisjoint(scene.purchase.promo_codes)
    return lambda scene: (
        not series.isdisjoint(scene.codes) or not words.isdisjoint(scene.purchase.promo_codes)
    )


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


def _amount_test(test: AmountTest) -> Condition:
    compare, number = test
    return lambda scene: compare(scene.amount, number)


def _expression(rule_id: str, expression: Expression) -> Condition:
    def holds(scene: Scene) -> bool:
        subject = Subject(
            scene.purchase, scene.amount, scene.tier, scene.balance, scene.purchases_before
        )
        try:
            return expression.evaluate(subject)
        except ExpressionError as error:
            raise Undecidable(
                "expression_failed",
                f"earn[{rule_id}].when",
                f"the expression of rule {rule_id} failed on this purchase: {error}",
            ) from None

    return holds


def compile_lines(lines: form.Lines | None) -> Matcher | None:
    """Which lines of a purchase match, by all that is asked of them; None: every line does."""
    if lines is None:
        return None
    found: list[Callable[[PurchaseLine], bool]] = []
    categories, skus, brands = texts(lines.category), texts(lines.sku), texts(lines.brand)
    if categories is not None:
        if lines == form.Lines(category=lines.category):  # by far the most frequent
            return lambda lines: [i for i, line in enumerate(lines) if line.category in categories]
        found.append(lambda line: line.category in categories)
    if skus is not None:
        found.append(lambda line: line.sku in skus)
    if brands is not None:
        found.append(lambda line: line.brand in brands)
    if lines.amount is not None:
        within = _bounds(lines.amount)
        found.append(lambda line: within(line.amount))
    if not found:
        return None
    return lambda lines: [i for i, line in enumerate(lines) if all(holds(line) for holds in found)]
