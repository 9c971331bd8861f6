"""A program version made ready to be asked: what is worked out once and not per purchase.

Everything here follows from the program's form alone and never changes its answers afterwards. A
compiled program holds no state of any account and reads no clock.
"""

from collections.abc import Callable, Mapping
from zoneinfo import ZoneInfo

from msgspec import Struct

from ledger.core.calendar import Period, to_instant
from ledger.core.program import form as forms
from ledger.core.program.asked import Asked, asked_by
from ledger.core.program.budgets import Budget, budgets_of
from ledger.core.program.canonical import version_of
from ledger.core.program.conditions import NO_TIER
from ledger.core.program.expressions import Expression
from ledger.core.program.promo_codes import Series, normal, series_of
from ledger.core.program.rolling import Rolling
from ledger.core.program.rule import Rule, compile_rule
from ledger.core.program.stretch import Frame, Stretch, Stretches
from ledger.core.program.timing import Timing
from ledger.core.program.window import Window, Windows
from schemas.fields import Instant

_PERIODS: dict[str | None, Period] = {
    "calendar_month": "month",
    "calendar_quarter": "quarter",
    "calendar_year": "year",
}


class Measure(Struct, frozen=True):
    """What qualifies for tiers: `what` is 0 for minor units spent, 1 for points earned, 2 for
    purchases. `window` finds the period of a moment; where it is None, `rolling` tells the days
    that count, and where that is None too, all of the lifetime counts."""

    what: int
    window: Callable[[Instant], Window] | None
    rolling: Rolling | None = None


class Compiled(Struct, frozen=True, eq=False):
    """A program version. `default_timing` is for what says nothing else; `ranks` gives each
    tier's rank (no tier 0, then rising), `levels` their thresholds in rising order; `measure` is
    None without tiers. `stretch` finds the stretch of a moment."""

    version: str
    form: forms.Program
    zone: ZoneInfo
    effective_from: Instant
    rules: tuple[Rule, ...]
    default_timing: Timing
    ranks: Mapping[str, int]
    levels: tuple[tuple[int, str], ...]
    welcomes: Mapping[str, int]
    measure: Measure | None
    surveys: Mapping[str, forms.Survey]
    activities: frozenset[str]
    """Those that some rule rewards."""
    charities: Mapping[str, forms.Charity]
    rewards: Mapping[str, forms.CatalogueReward]
    idles: bool
    """Whether any points expire after inactivity."""
    contested: bool
    """Whether any rule on purchases stands in a group or is exclusive."""
    budgeted: bool
    """Whether any rule has a budget."""
    budgets: Mapping[str, Budget]
    series: Mapping[str, Series]
    """The series of promo codes."""
    words: Mapping[str, Series]
    """The series of each fixed code, in its normal form."""
    plain_codes: frozenset[str]
    """Promo codes that a rule asks for as they are, and that belong to no series."""
    expressions: tuple[Expression, ...]
    asked: Asked | None
    """What the rules ask about a member beside the account; None: nothing."""
    stretch: Callable[[Instant], Stretch]

    def may_fail(self, amount: int) -> bool:
        """Whether judging a purchase of this amount asks an expression, which can fail."""
        return True in [expression.may_hold(amount) for expression in self.expressions]

    def timing(
        self, activation: forms.Activation | None = None, expiry: forms.Expiry | None = None
    ) -> Timing:
        """The timing of a grant that may say its own; None means the program's."""
        return Timing(
            self.form.activation if activation is None else activation,
            self.form.expiry if expiry is None else expiry,
        )


def compile_program(program: forms.Program, version: str | None = None) -> Compiled:
    """Compile a checked program. `version`: the recorded one, for a program out of the log.

    Raises ExpressionError, KeyError or ZoneInfoNotFoundError for a program that was not checked.
    """
    zone = ZoneInfo(program.time_zone)
    levels = program.tiers.levels if program.tiers is not None else ()
    ranks = {NO_TIER: 0} | {level.id: rank for rank, level in enumerate(levels, 1)}
    timings: list[Timing] = []
    places: dict[str, int] = {}
    budgets = {budget.id: budget for budget in budgets_of(program)}
    series = series_of(program)
    compiled = []
    for place, rule in enumerate(program.earn):
        timing = Timing(rule.activation or program.activation, rule.expiry or program.expiry)
        if timing not in timings:
            timings.append(timing)
        number = timings.index(timing)
        compiled.append(
            compile_rule(
                program, rule, zone, ranks, places, number, timing.plain, budgets, series.keys()
            )
        )
        places[rule.id] = place
    rules, measure = tuple(compiled), _measure(program.tiers, zone)
    frame = Frame(
        zone=zone,
        rules=rules,
        timings=tuple(timings),
        returns=program.returns.window,
        by_day=measure is not None and measure.rolling is not None,
    )
    return Compiled(
        version=version_of(program) if version is None else version,
        form=program,
        zone=zone,
        effective_from=to_instant(program.effective_from),
        rules=rules,
        default_timing=Timing(program.activation, program.expiry),
        ranks=ranks,
        levels=tuple((level.at_least, level.id) for level in levels),
        welcomes={level.id: level.welcome for level in levels if level.welcome is not None},
        measure=measure,
        surveys={survey.id: survey for survey in program.surveys},
        charities={charity.id: charity for charity in program.charities},
        rewards={reward.id: reward for reward in program.rewards},
        activities=frozenset[str]().union(*(rule.activities or () for rule in rules)),
        contested=any(
            rule.group is not None or rule.exclusive for rule in rules if rule.activities is None
        ),
        budgeted=any(rule.budget is not None for rule in rules),
        budgets=budgets,
        series=series,
        words={normal(each.code): each for each in series.values() if each.code is not None},
        plain_codes=frozenset[str]().union(*(rule.words for rule in rules)),
        idles=_idles(program),
        expressions=tuple(rule.expression for rule in rules if rule.expression is not None),
        asked=asked_by(program.earn),
        stretch=Stretches(frame).at,
    )


def _idles(program: forms.Program) -> bool:
    referral = program.referral
    expiries = [program.expiry, *(each.expiry for each in program.earn)]
    expiries += [each.expiry for each in program.surveys]
    if referral is not None:
        expiries += [each.expiry for each in (referral.referrer, referral.referee) if each]
    return any(isinstance(e, forms.ExpireBy) and e.after_inactivity is not None for e in expiries)


def _measure(tiers: forms.Tiers | None, zone: ZoneInfo) -> Measure | None:
    if tiers is None:
        return None
    by = tiers.qualify_by
    for what, qualify in enumerate((by.amount_spent, by.points_earned, by.purchases)):
        if qualify is not None:
            per = _PERIODS.get(qualify.window)
            grace = tiers.downgrade.grace
            if qualify.rolling is not None:
                return Measure(what, None, Rolling(qualify.rolling, grace, zone))
            return Measure(what, None if per is None else Windows(per, grace, zone).at)
    raise AssertionError("a checked program says what qualifies for its tiers")
