"""A program version made ready to be asked: what is worked out once and not per purchase.

Everything here follows from the program's form alone and never changes afterwards. A compiled
program holds no state of any account and reads no clock.
"""

from collections.abc import Mapping
from typing import Literal
from zoneinfo import ZoneInfo

from msgspec import Struct

from ledger.core.calendar import INSTANT_MAX, INSTANT_MIN, add, end_of, to_instant
from ledger.core.program import form as forms
from ledger.core.program.canonical import version_of
from ledger.core.program.conditions import (
    NO_TIER,
    Condition,
    LineCondition,
    compile_lines,
    compile_override,
    compile_when,
)
from schemas.fields import Instant

AwardKind = Literal["rate", "fixed", "table", "multiplier"]


class Timing(Struct, frozen=True):
    """When points become available and when they expire."""

    activation: forms.Activation
    expiry: forms.Expiry

    def moments(self, at: Instant, zone: ZoneInfo) -> tuple[Instant, Instant | None]:
        """(activates_at, expires_at or None for never) of points granted at `at`."""
        activates = at
        if isinstance(self.activation, forms.ActivateAfter) and self.activation.after is not None:
            activates = add(at, self.activation.after, zone)
        expiry = self.expiry
        if not isinstance(expiry, forms.ExpireBy):
            return activates, None
        expires = activates if expiry.after is None else add(activates, expiry.after, zone)
        if expiry.end_of is not None:
            expires = end_of(expires, expiry.end_of, zone)
        return activates, expires


class Numbers(Struct, frozen=True):
    """The numbers of an award: a value is `numerator` / `denominator` of the amount (rate) or of
    the other rule's points (multiplier), `fixed` points, or the highest of `steps` reached."""

    kind: AwardKind
    numerator: int = 0
    denominator: int = 1
    fixed: int = 0
    steps: tuple[tuple[int, int], ...] = ()
    of: int = -1


class Variant(Struct, frozen=True):
    """Other numbers where all conditions hold."""

    conditions: tuple[Condition, ...]
    numbers: Numbers


class Rule(Struct, frozen=True):
    """One earn rule. `start`, `end`: its validity, [start, end). `timing`: an index into the
    program's timings. `group`: of best_of_group, or None."""

    id: str
    numbers: Numbers
    start: Instant
    end: Instant
    conditions: tuple[Condition, ...]
    lines: tuple[LineCondition, ...]
    variants: tuple[Variant, ...]
    limits: tuple[forms.Limit, ...]
    group: str | None
    exclusive: bool
    rounding: forms.Rounding
    timing: int
    counts_for_tier: bool


class Compiled(Struct, frozen=True, eq=False):
    """A program version. `default_timing` is for what says nothing else; `ranks` gives each
    tier's rank (no tier 0, then rising), `levels` their thresholds in rising order."""

    version: str
    form: forms.Program
    zone: ZoneInfo
    effective_from: Instant
    rules: tuple[Rule, ...]
    timings: tuple[Timing, ...]
    default_timing: Timing
    ranks: Mapping[str, int]
    levels: tuple[tuple[int, str], ...]
    surveys: Mapping[str, forms.Survey]
    contested: bool
    """Whether any rule stands in a group or is exclusive."""

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
    rules = []
    for place, rule in enumerate(program.earn):
        timing = Timing(rule.activation or program.activation, rule.expiry or program.expiry)
        if timing not in timings:
            timings.append(timing)
        rules.append(_rule(program, rule, zone, ranks, places, timings.index(timing)))
        places[rule.id] = place
    return Compiled(
        version=version_of(program) if version is None else version,
        form=program,
        zone=zone,
        effective_from=to_instant(program.effective_from),
        rules=tuple(rules),
        timings=tuple(timings),
        default_timing=Timing(program.activation, program.expiry),
        ranks=ranks,
        levels=tuple((level.at_least, level.id) for level in levels),
        surveys={survey.id: survey for survey in program.surveys},
        contested=any(rule.group is not None or rule.exclusive for rule in rules),
    )


def _rule(
    program: forms.Program,
    rule: forms.EarnRule,
    zone: ZoneInfo,
    ranks: Mapping[str, int],
    places: Mapping[str, int],
    timing: int,
) -> Rule:
    valid = rule.valid or forms.Validity()
    stacking = rule.stacking
    return Rule(
        id=rule.id,
        numbers=_numbers(rule.award, places),
        start=INSTANT_MIN if valid.start is None else to_instant(valid.start),
        # One past the last moment, so that a rule without an end holds at every moment.
        end=INSTANT_MAX + 1 if valid.end is None else to_instant(valid.end),
        conditions=compile_when(rule.id, rule.when, ranks, zone),
        lines=compile_lines(rule.lines),
        variants=tuple(
            Variant(compile_override(override), _numbers(override.award, places))
            for override in rule.overrides
        ),
        limits=rule.limits,
        group=stacking.best_of_group if isinstance(stacking, forms.BestOfGroup) else None,
        exclusive=stacking == "exclusive",
        rounding=rule.rounding or program.rounding,
        timing=timing,
        counts_for_tier=rule.counts_for_tier,
    )


def _numbers(award: forms.Award, places: Mapping[str, int]) -> Numbers:
    if award.rate is not None:
        return Numbers("rate", numerator=award.rate.points, denominator=award.rate.per_amount)
    if award.multiplier is not None:
        by = award.multiplier.by
        return Numbers(
            "multiplier",
            numerator=by.numerator,
            denominator=by.denominator,
            of=places[award.multiplier.of],
        )
    if award.table is not None:
        return Numbers("table", steps=tuple((s.at_least, s.points) for s in award.table))
    return Numbers("fixed", fixed=award.fixed or 0)
