"""Checks of earn rules: awards, references to other parts, conditions, limits and overrides."""

from itertools import pairwise

from ledger.core.program import form
from ledger.core.program.conditions import NO_TIER, texts
from ledger.core.program.judge import Judge
from ledger.core.program.samples import try_expression

_KINDS = ("rate", "fixed", "table", "multiplier")


def check_rules(program: form.Program, judge: Judge) -> None:
    """Tell the judge the problems of each earn rule."""
    for i, rule in enumerate(program.earn):
        at = ("earn", i)
        _check_award(rule, rule.award, judge, *at, "award")
        if isinstance(rule.when, str):
            _check_expression(rule.when, judge, *at, "when")
        elif rule.when is not None:
            _check_when(rule.when, judge, *at, "when")
        if rule.lines is not None:
            check_bounds(rule.lines.amount, judge, *at, "lines", "amount")
        for j, limit in enumerate(rule.limits):
            given = (("points", limit.points), ("times", limit.times))
            judge.exactly_one("limit_kinds", "a limit", given, *at, "limits", j)
        for j, override in enumerate(rule.overrides):
            _check_override(rule, override, judge, *at, "overrides", j)


def _given(award: form.Award) -> list[tuple[str, object]]:
    return [(kind, getattr(award, kind)) for kind in _KINDS]


def _check_award(rule: form.EarnRule, award: form.Award, judge: Judge, *path: str | int) -> None:
    if not judge.exactly_one("award_kinds", "an award", _given(award), *path):
        return
    if award.table is not None:
        for i, (lower, upper) in enumerate(pairwise(award.table), 1):
            if upper.at_least <= lower.at_least:
                message = f"each step must begin above the one before it ({lower.at_least})"
                judge.say("steps_not_rising", message, *path, "table", i, "at_least")
    if award.multiplier is not None:
        _check_multiplier(rule.id, award.multiplier, judge, *path, "multiplier")


def _check_multiplier(
    rule: str, multiplier: form.Multiplier, judge: Judge, *path: str | int
) -> None:
    if multiplier.by.numerator < multiplier.by.denominator:
        message = f"a multiplier is 1 or more; {multiplier.by} would take points away"
        judge.say("multiplier_below_one", message, *path, "by")
    of, names = multiplier.of, judge.names
    if of == rule:
        message = "the rule multiplies itself; name an earlier rule"
        judge.say("multiplier_of_itself", message, *path, "of")
    elif of not in names.rules:
        message = f"there is no rule {of} in earn; name an earlier rule"
        judge.say("unknown_rule", message, *path, "of")
    elif names.rules.index(of) > _place(judge, path):
        chain = _cycle(rule, names.multiplies)
        if chain:
            message = f"the rules multiply each other in a circle: {' → '.join(chain)}"
            judge.say("multiplier_cycle", message, *path, "of")
        else:
            message = f"{of} is a later rule; move it above this one"
            judge.say("multiplier_of_later", message, *path, "of")


def _place(judge: Judge, path: tuple[str | int, ...]) -> int:
    """The rule's place among the rules as written, misfits included."""
    return judge.names.rule_nodes.index(judge.node(*path[:2]))


def _cycle(start: str, multiplies: dict[str, str | None]) -> list[str]:
    """The rules from `start` round to itself again; empty when there is no way round."""
    chain = [start]
    while (following := multiplies.get(chain[-1])) is not None:
        if following in chain:
            return [*chain, start] if following == start else []
        chain.append(following)
    return []


def _check_override(
    rule: form.EarnRule, override: form.Override, judge: Judge, *path: str | int
) -> None:
    places = (override.store, override.region, override.channel, override.partner)
    if all(place is None for place in places):
        message = "name a store, region, channel or partner for which this holds"
        judge.say("override_nowhere", message, *path)
    _check_award(rule, override.award, judge, *path, "award")
    kinds = [
        next((kind for kind, value in _given(award) if value is not None), None)
        for award in (rule.award, override.award)
    ]
    if None not in kinds and kinds[0] != kinds[1]:
        message = f"the rule's award is a {kinds[0]}; an override gives other numbers for it"
        judge.say("override_kind", message, *path, "award")
    ours, theirs = rule.award.multiplier, override.award.multiplier
    if ours is not None and theirs is not None and ours.of != theirs.of:
        message = f"the rule multiplies {ours.of}; an override may change only `by`"
        judge.say("override_kind", message, *path, "award", "multiplier", "of")


def _check_when(when: form.When, judge: Judge, *path: str | int) -> None:
    check_bounds(when.purchase_amount, judge, *path, "purchase_amount")
    check_bounds(when.balance, judge, *path, "balance")
    check_tier_names(when.tier, judge, *path, "tier")
    check_tier_names(when.tier_at_least, judge, *path, "tier_at_least")
    if when.hours is not None and when.hours.start == when.hours.end:
        message = "from and to are the same; for the whole day leave hours out"
        judge.say("empty_condition", message, *path, "hours")
    if when.nth_purchase is not None and when.nth_purchase == form.Nth():
        message = "write {is: 1} for the first purchase or {every: 6} for each sixth"
        judge.say("empty_condition", message, *path, "nth_purchase")
    if when.expression is not None:
        _check_expression(when.expression, judge, *path, "expression")
    for segment in sorted(texts(when.segment) or ()):
        if segment not in judge.names.segments:
            message = f"there is no segment {segment} in segments"
            judge.say("unknown_segment", message, *path, "segment")


def _check_expression(text: str, judge: Judge, *path: str | int) -> None:
    wrong = try_expression(text)
    if wrong is not None:
        judge.say("bad_expression", wrong, *path)


def check_bounds(bounds: form.Bounds | None, judge: Judge, *path: str | int) -> None:
    """A range must bound something and contain something."""
    if bounds is None:
        return
    if bounds.at_least is None and bounds.at_most is None:
        judge.say("empty_condition", "give at_least, at_most or both", *path)
    elif (
        bounds.at_least is not None
        and bounds.at_most is not None
        and bounds.at_least > bounds.at_most
    ):
        judge.say("empty_condition", "at_least is above at_most: nothing can be both", *path)


def check_tier_names(tiers: form.Texts | None, judge: Judge, *path: str | int) -> None:
    """A tier that is named must be one of the program's levels, or `none`."""
    for tier in sorted(texts(tiers) or ()):
        if tier != NO_TIER and tier not in judge.names.levels:
            message = f"there is no tier {tier} in tiers.levels (and none means no tier)"
            judge.say("unknown_tier", message, *path)
