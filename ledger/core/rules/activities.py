"""What one activity earns: as with a purchase (see `evaluate`), but without lines and amounts.

The rules are those on this activity, in file order: condition, value, limits (provisionally); then
of each group the largest award; then exclusive rules.
"""

from ledger.core.program.compiled import Compiled
from ledger.core.program.conditions import NO_PURCHASE, Scene
from ledger.core.rules.budgets import pay
from ledger.core.rules.contest import contest
from ledger.core.rules.evaluate import NO_COUNTERS, Standing
from ledger.core.rules.limits import capped
from schemas.decisions import NO_LOT, Award
from schemas.fields import Instant
from schemas.inputs import ActivityData


def evaluate_activity(
    program: Compiled, activity: ActivityData, at: Instant, standing: Standing, first_lot: int
) -> tuple[Award, ...]:
    """The awards of every rule that fired, in file order, with lots as `evaluate` gives them."""
    scene = Scene(
        NO_PURCHASE,
        0,
        at,
        standing.tier,
        standing.balance,
        standing.purchases_before,
        standing.facts,
        activity,
    )
    stretch = program.stretch(at)
    awards: dict[int, Award] = {}
    lots: dict[tuple[object, ...], int] = {}
    for place, rule in stretch.activity_rules(activity.activity, standing.tier):
        if not all(condition(scene) for condition in rule.conditions):
            continue
        numbers = rule.numbers
        base = awards.get(numbers.of)  # of a multiplier; no rule has the number of none
        value = numbers.worth(base.points if base is not None else 0)
        if value <= 0:
            continue
        points, caps, counters = capped(rule.limits, value, stretch.counters(place), standing.used)
        activates_at, expires_at = moments = stretch.moments(rule.timing, at)
        terms = None if rule.plain else stretch.terms(rule.timing, at)
        awards[place] = Award(
            rule=rule.id,
            kind=numbers.kind,
            value=value,
            points=points,
            granted_at=at,
            activates_at=activates_at,
            expires_at=expires_at,
            lot=lots.setdefault((*moments, terms), first_lot + len(lots)) if points else NO_LOT,
            capped=caps,
            counts_for_tier=rule.counts_for_tier,
            counters=counters if points else NO_COUNTERS,
            terms=terms,
        )
    kept = contest(program.rules, awards, first_lot)
    if program.budgeted:
        kept = pay(program.rules, awards, kept, first_lot, standing.facts.budgets)
    return kept
