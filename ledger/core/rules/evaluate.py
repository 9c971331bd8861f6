"""What one purchase earns: the awards of a program version, in its order of evaluation.

Rules in file order: condition, value, limits (provisionally); then of each group the largest award;
then exclusive rules; last the budgets. Every rule that fired is told, with what made its award
smaller. The purchase is judged with the account's standing before it counts; nothing here changes
that standing.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from ledger.core.program import form
from ledger.core.program.compiled import Compiled
from ledger.core.program.conditions import NO_TIER, Scene
from ledger.core.program.rule import Numbers, Rule
from ledger.core.rules.allocate import allocate
from ledger.core.rules.budgets import pay
from ledger.core.rules.contest import contest
from ledger.core.rules.limits import capped
from schemas.decisions import NO_LOT, Award, Cap, Facts, LineShare
from schemas.fields import Instant
from schemas.inputs import PurchaseData

NO_CAPS: tuple[Cap, ...] = ()
NO_COUNTERS: tuple[str, ...] = ()
NO_SHARES: tuple[LineShare, ...] = ()


class Standing(Struct, frozen=True):
    """What a rule may know of the account at occurred_at, before the purchase itself counts.

    `balance`: points available, net of debt. `used`: limit counter key → (points, times).
    """

    tier: str = NO_TIER
    balance: int = 0
    purchases_before: int = 0
    used: Mapping[str, tuple[int, int]] = {}
    facts: Facts = Facts()


def evaluate(
    program: Compiled, purchase: PurchaseData, at: Instant, standing: Standing, first_lot: int
) -> tuple[Award, ...]:
    """The awards of every rule that fired, in file order; those with points get the lots
    `first_lot`, `first_lot` + 1, …, and those with the same activation and expiry share one. Raises
    Undecidable (`expression_failed`)."""
    lines = purchase.lines
    amounts = [line.amount for line in lines]
    total = sum(amounts)
    every_line: Sequence[int] = range(len(lines))
    scene = Scene(
        purchase,
        total,
        at,
        standing.tier,
        standing.balance,
        standing.purchases_before,
        standing.facts,
    )
    if standing.facts.codes:
        good = [fact.series for fact in standing.facts.codes if fact.status == "ok"]
        scene.codes = frozenset(good)
    stretch = program.stretch(at)
    awards: dict[int, Award] = {}
    places: dict[int, Sequence[int]] = {}  # of the lines that each award matched
    lots: dict[tuple[object, ...], int] = {}
    for place, rule in stretch.rules(standing.tier):
        for condition in rule.conditions:
            if not condition(scene):
                break
        else:
            numbers = _numbers(rule, scene) if rule.variants else rule.numbers
            matched = every_line if rule.match is None else rule.match(lines)
            if not matched:
                continue
            if numbers.of < 0:
                amount = total if matched is every_line else sum([amounts[i] for i in matched])
                value = numbers.worth(amount)
            else:
                base = awards.get(numbers.of)
                if base is None or not base.points:
                    continue
                multiplied, matched = base.points, _both(places[numbers.of], matched, every_line)
                amount = base.matched_amount
                if rule.match is not None:
                    wanted = set(matched)
                    multiplied = sum([s.points for s in base.lines if s.line in wanted])
                    amount = sum([amounts[i] for i in matched])
                value = numbers.worth(multiplied)
            if value <= 0:
                continue
            points, caps, counters = value, NO_CAPS, NO_COUNTERS
            if rule.limits:
                points, caps, counters = capped(
                    rule.limits, value, stretch.counters(place), standing.used
                )
            activates_at, expires_at = moments = stretch.moments(rule.timing, at)
            lot, shares, terms = NO_LOT, NO_SHARES, None
            if not rule.plain:
                terms = stretch.terms(rule.timing, at)
            if points:
                same = moments if terms is None else (*moments, terms)
                lot = lots.setdefault(same, first_lot + len(lots))
                of_lines = amounts if matched is every_line else [amounts[i] for i in matched]
                allocated = allocate(points, of_lines)
                shares = tuple(map(LineShare, matched, allocated))
                if not all(allocated):
                    shares = tuple([share for share in shares if share.points])
            places[place] = matched
            awards[place] = Award(
                rule.id,
                numbers.kind,
                value,
                points,
                at,
                activates_at,
                expires_at,
                amount,
                shares,
                lot,
                caps,
                rule.counts_for_tier,
                counters if points else NO_COUNTERS,
                terms,
            )
    kept = tuple(awards.values())
    if program.contested:
        kept = contest(program.rules, awards, first_lot)
    if program.budgeted:
        kept = pay(program.rules, awards, kept, first_lot, standing.facts.budgets)
    return kept


def _numbers(rule: Rule, scene: Scene) -> Numbers:
    for variant in rule.variants:
        if all(condition(scene) for condition in variant.conditions):
            return variant.numbers
    return rule.numbers


def _both(of_base: Sequence[int], own: Sequence[int], every_line: Sequence[int]) -> Sequence[int]:
    """The lines that a multiplier and its base both match, in order."""
    if own is every_line or own == of_base:
        return of_base
    wanted = set(own)
    return [i for i in of_base if i in wanted]


def grant(
    program: Compiled,
    *,
    rule: str,
    kind: str,
    points: int,
    at: Instant,
    activation: form.Activation | None = None,
    expiry: form.Expiry | None = None,
    lot: int = NO_LOT,
    counts_for_tier: bool = False,
) -> Award:
    """An award that no purchase earns: a survey's, a referral's. `activation` and `expiry` None:
    the program's."""
    timing = program.timing(activation, expiry)
    activates, expires = timing.moments(at, program.zone)
    return Award(
        rule=rule,
        kind=kind,
        value=points,
        points=points,
        granted_at=at,
        activates_at=activates,
        expires_at=expires,
        lot=lot,
        counts_for_tier=counts_for_tier,
        terms=timing.terms(at, program.zone),
    )
