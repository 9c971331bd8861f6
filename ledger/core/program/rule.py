"""One earn rule made ready to be asked: its numbers as functions, its conditions in order of cost.

Everything here follows from the rule's form alone and never changes afterwards.
"""

from collections.abc import Callable, Mapping, Set
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from ledger.core.calendar import INSTANT_MAX, INSTANT_MIN, to_instant
from ledger.core.program import form as forms
from ledger.core.program.budgets import Budget
from ledger.core.program.conditions import (
    Condition,
    Matcher,
    TierCondition,
    compile_lines,
    compile_override,
    compile_tiers,
    compile_when,
    expression_of,
    texts,
)
from ledger.core.program.expressions import Expression
from ledger.core.program.rounding import rounded
from schemas.fields import Instant

AwardKind = Literal["rate", "fixed", "table", "multiplier"]

NO_CODES: frozenset[str] = frozenset()

Worth = Callable[[int], int]
"""Points of an amount, minor units."""


class Numbers(Struct, frozen=True):
    """The numbers of an award. `worth`: the points of the amount matched; for a multiplier, which
    multiplies the points of rule number `of` by `numerator` / `denominator`, of those points."""

    kind: AwardKind
    worth: Worth
    of: int = -1


class Variant(Struct, frozen=True):
    """Other numbers where all conditions hold."""

    conditions: tuple[Condition, ...]
    numbers: Numbers


class Rule(Struct, frozen=True):
    """One earn rule. `start`, `end`: its validity, [start, end). `tiers`: what must hold of the
    tier; `conditions`: of the purchase, the account and the moment. `match` None: every line.
    `timing`: an index into the program's timings. `group`: of best_of_group, or None.
    `expression`: the one among its conditions. `activities`: on which it is a rule; None: on
    purchases. `budget`: what its awards are paid from, or None. `series`, `words`: of promo codes,
    of which one must be named, if there are any. `plain`: nothing can move its points' moments."""

    id: str
    numbers: Numbers
    start: Instant
    end: Instant
    tiers: tuple[TierCondition, ...]
    conditions: tuple[Condition, ...]
    match: Matcher | None
    variants: tuple[Variant, ...]
    limits: tuple[forms.Limit, ...]
    group: str | None
    exclusive: bool
    timing: int
    counts_for_tier: bool
    expression: Expression | None
    activities: frozenset[str] | None
    plain: bool
    budget: Budget | None = None
    series: frozenset[str] = NO_CODES
    words: frozenset[str] = NO_CODES


def compile_rule(
    program: forms.Program,
    rule: forms.EarnRule,
    zone: ZoneInfo,
    ranks: Mapping[str, int],
    places: Mapping[str, int],
    timing: int,
    plain: bool,
    budgets: Mapping[str, Budget],
    series: Set[str],
) -> Rule:
    """Compile a checked rule. `places`: the numbers of the rules before it; `timing`: the number of
    its timing, and whether that is `plain`; `budgets`: by id; `series`: the ids of the program's
    series of promo codes."""
    valid = rule.valid or forms.Validity()
    stacking = rule.stacking
    rounding = rule.rounding or program.rounding
    expression = expression_of(rule.when)
    activities = None if rule.on is None else texts(rule.on.activity)
    codes = (texts(rule.when.promo_code) if isinstance(rule.when, forms.When) else None) or NO_CODES
    return Rule(
        id=rule.id,
        numbers=_numbers(rule.award, places, rounding),
        start=INSTANT_MIN if valid.start is None else to_instant(valid.start),
        # One past the last moment, so that a rule without an end holds at every moment.
        end=INSTANT_MAX + 1 if valid.end is None else to_instant(valid.end),
        tiers=compile_tiers(rule.when, ranks),
        conditions=compile_when(
            rule.id, rule.when, zone, expression, series, of_activity=activities is not None
        ),
        match=compile_lines(rule.lines),
        variants=tuple(
            Variant(compile_override(override), _numbers(override.award, places, rounding))
            for override in rule.overrides
        ),
        limits=rule.limits,
        group=stacking.best_of_group if isinstance(stacking, forms.BestOfGroup) else None,
        exclusive=stacking == "exclusive",
        timing=timing,
        counts_for_tier=rule.counts_for_tier,
        expression=expression,
        activities=activities,
        budget=None if rule.budget is None else budgets[rule.budget],
        series=codes & series,
        words=codes - series,
        plain=plain,
    )


def _numbers(award: forms.Award, places: Mapping[str, int], rounding: forms.Rounding) -> Numbers:
    if award.rate is not None:
        return Numbers("rate", _rate(award.rate.points, award.rate.per_amount, rounding))
    if award.multiplier is not None:
        by = award.multiplier.by
        times = _rate(by.numerator, by.denominator, rounding)
        return Numbers(
            "multiplier", lambda points: times(points) - points, places[award.multiplier.of]
        )
    if award.table is not None:
        # From the highest down: the first that is reached counts, also where it grants less.
        steps = tuple((step.at_least, step.points) for step in reversed(award.table))
        return Numbers(
            "table",
            lambda amount: next((points for least, points in steps if amount >= least), 0),
        )
    fixed = award.fixed or 0
    return Numbers("fixed", lambda _amount: fixed)


def _rate(numerator: int, denominator: int, rounding: forms.Rounding) -> Worth:
    if rounding != "floor":
        return lambda amount: rounded(amount * numerator, denominator, rounding)
    if numerator == 1:
        return lambda amount: amount // denominator
    return lambda amount: amount * numerator // denominator
