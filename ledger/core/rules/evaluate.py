"""What one purchase earns: the awards of a program version, in its order of evaluation.

Rules in file order: condition, value, limits (provisionally); then of each group the largest award;
then exclusive rules. Every rule that fired is told, with what made its award smaller. The purchase
is judged with the account's standing before it counts; nothing here changes that standing.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from ledger.core.program import form
from ledger.core.program.compiled import Compiled, Numbers, Rule
from ledger.core.program.conditions import NO_TIER, LineCondition, Scene
from ledger.core.rules.allocate import allocate, rounded
from ledger.core.rules.limits import capped
from schemas.decisions import NO_LOT, Award, Cap, Facts, LineShare
from schemas.fields import Instant
from schemas.inputs import PurchaseData, PurchaseLine


class Standing(Struct, frozen=True):
    """What a rule may know of the account at occurred_at, before the purchase itself counts.

    `balance`: points available, net of debt. `used`: limit counter key → (points, times).
    """

    tier: str = NO_TIER
    balance: int = 0
    purchases_before: int = 0
    used: Mapping[str, tuple[int, int]] = {}
    facts: Facts = Facts()


class _Draft:
    """An award in the making. `shares` fit `matched` (places of lines), once allocated."""

    __slots__ = ("amount", "capped", "counters", "kind", "matched", "points", "shares", "value")

    def __init__(self, kind: str, value: int, matched: Sequence[int], amount: int) -> None:
        self.kind = kind
        self.value = value
        self.points = value
        self.matched = matched
        self.amount = amount
        self.shares: list[int] = []
        self.capped: tuple[Cap, ...] = ()
        self.counters: tuple[str, ...] = ()

    def void(self, by: str) -> None:
        self.points = 0
        self.capped = (*self.capped, Cap(by, 0))


def evaluate(
    program: Compiled, purchase: PurchaseData, at: Instant, standing: Standing, first_lot: int
) -> tuple[Award, ...]:
    """The awards of every rule that fired, in file order; those with points get the lots
    `first_lot`, `first_lot` + 1, … Raises Undecidable (`expression_failed`)."""
    lines = purchase.lines
    amounts = [line.amount for line in lines]
    every_line: Sequence[int] = range(len(lines))
    scene = Scene(
        purchase,
        sum(amounts),
        at,
        standing.tier,
        standing.balance,
        standing.purchases_before,
    )
    drafts: dict[int, _Draft] = {}
    for place, rule in enumerate(program.rules):
        if not rule.start <= at < rule.end:
            continue
        for condition in rule.conditions:
            if not condition(scene):
                break
        else:
            numbers = _numbers(rule, scene) if rule.variants else rule.numbers
            matched: Sequence[int] = _matching(rule.lines, lines) if rule.lines else every_line
            draft = _value(numbers, rule, matched, amounts, scene, drafts)
            if draft is None:
                continue
            if rule.limits:
                draft.points, draft.capped, draft.counters = capped(
                    rule.id, rule.limits, draft.value, at, program.zone, standing.used
                )
            if draft.points:
                matched = draft.matched
                whole = matched is every_line
                draft.shares = allocate(
                    draft.points, amounts if whole else [amounts[i] for i in matched]
                )
            drafts[place] = draft
    if program.contested:
        _contest(program.rules, drafts)
    return _awards(program, drafts, at, first_lot)


def _numbers(rule: Rule, scene: Scene) -> Numbers:
    for variant in rule.variants:
        if all(condition(scene) for condition in variant.conditions):
            return variant.numbers
    return rule.numbers


def _matching(conditions: tuple[LineCondition, ...], lines: Sequence[PurchaseLine]) -> list[int]:
    if len(conditions) == 1:
        only = conditions[0]
        return [i for i, line in enumerate(lines) if only(line)]
    return [i for i, line in enumerate(lines) if all(holds(line) for holds in conditions)]


def _value(
    numbers: Numbers,
    rule: Rule,
    matched: Sequence[int],
    amounts: list[int],
    scene: Scene,
    drafts: dict[int, _Draft],
) -> _Draft | None:
    """The rule's award before its limits; None when it comes to nothing."""
    kind = numbers.kind
    if kind == "multiplier":
        base = drafts.get(numbers.of)
        if base is None or not base.points:
            return None
        multiplied = base.points
        if not rule.lines:
            matched = base.matched
        else:
            wanted = set(matched)
            multiplied = sum(
                share for i, share in zip(base.matched, base.shares, strict=True) if i in wanted
            )
            matched = [i for i in base.matched if i in wanted]
        product = multiplied * numbers.numerator
        value = rounded(product, numbers.denominator, rule.rounding) - multiplied
        amount = base.amount if not rule.lines else sum([amounts[i] for i in matched])
    else:
        if not matched:
            return None
        amount = scene.amount if not rule.lines else sum([amounts[i] for i in matched])
        if kind == "rate":
            value = rounded(amount * numbers.numerator, numbers.denominator, rule.rounding)
        elif kind == "fixed":
            value = numbers.fixed
        else:
            value = max((p for least, p in numbers.steps if amount >= least), default=0)
    return _Draft(kind, value, matched, amount) if value > 0 else None


def _contest(rules: tuple[Rule, ...], drafts: dict[int, _Draft]) -> None:
    """Groups, then exclusive rules: what loses awards 0 and multiplies to 0."""
    best: dict[str, int] = {}
    for place, draft in drafts.items():
        group = rules[place].group
        if group is not None and (group not in best or draft.points > drafts[best[group]].points):
            best[group] = place
    exclusive: str | None = None
    for place, draft in drafts.items():
        rule = rules[place]
        if not draft.points:
            continue
        if rule.group is not None and best[rule.group] != place:
            draft.void(f"best_of_group:{rule.group}")
        elif draft.kind == "multiplier" and not drafts[rule.numbers.of].points:
            draft.void(f"multiplier_of:{rules[rule.numbers.of].id}")
        elif exclusive is not None:
            draft.void(f"exclusive:{exclusive}")
        elif rule.exclusive:
            exclusive = rule.id


def _awards(
    program: Compiled, drafts: dict[int, _Draft], at: Instant, first_lot: int
) -> tuple[Award, ...]:
    moments: dict[int, tuple[Instant, Instant | None]] = {}
    awards = []
    lot = first_lot
    for place, draft in drafts.items():
        rule = program.rules[place]
        found = moments.get(rule.timing)
        if found is None:
            found = moments[rule.timing] = program.timings[rule.timing].moments(at, program.zone)
        shares: tuple[LineShare, ...] = ()
        if draft.points:
            shares = tuple(
                [LineShare(i, s) for i, s in zip(draft.matched, draft.shares, strict=True) if s]
            )
        awards.append(
            Award(
                rule=rule.id,
                kind=draft.kind,
                value=draft.value,
                points=draft.points,
                granted_at=at,
                activates_at=found[0],
                expires_at=found[1],
                matched_amount=draft.amount,
                lines=shares,
                lot=lot if draft.points else NO_LOT,
                capped=draft.capped,
                counts_for_tier=rule.counts_for_tier,
                counters=draft.counters if draft.points else (),
            )
        )
        lot += draft.points > 0
    return tuple(awards)


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
    activates, expires = program.timing(activation, expiry).moments(at, program.zone)
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
    )
