"""Checks of earn rules on activities: what only a purchase has cannot be asked of an activity."""

from ledger.core.program import form
from ledger.core.program.conditions import texts
from ledger.core.program.judge import Judge

_OF_PURCHASES = (
    *("purchase_amount", "region", "channel", "payment_type", "partner", "nth_purchase"),
    *("promo_code", "expression"),
)
"""Conditions that look at a purchase."""


def check_activities(program: form.Program, judge: Judge) -> None:
    """Tell the judge what does not fit of the rules on activities, and of multipliers that would
    never meet the rule that they multiply."""
    by_id = {rule.id: rule for rule in program.earn}
    for i, rule in enumerate(program.earn):
        at = ("earn", i)
        if rule.on is not None:
            _check_rule(rule, judge, *at)
        multiplier = rule.award.multiplier
        of = None if multiplier is None else by_id.get(multiplier.of)
        if of is not None and not _meet(rule, of):
            message = f"{of.id} is never awarded together with this rule: see `on` of both"
            judge.say("multiplier_of_other", message, *at, "award", "multiplier", "of")


def _check_rule(rule: form.EarnRule, judge: Judge, *at: str | int) -> None:
    for kind in ("rate", "table"):
        if getattr(rule.award, kind) is not None:
            message = f"a {kind} counts what was paid; an activity's award is fixed or a multiplier"
            judge.say("purchase_only", message, *at, "award", kind)
    for key, given in (("lines", rule.lines), ("overrides", rule.overrides)):
        if given:
            message = f"{key} are of purchases; a rule on activities has none"
            judge.say("purchase_only", message, *at, key)
    if isinstance(rule.when, str):
        judge.say("purchase_only", "an expression looks at a purchase", *at, "when")
    elif rule.when is not None:
        for key in _OF_PURCHASES:
            if getattr(rule.when, key) is not None:
                message = f"{key} looks at a purchase; this rule is on activities"
                judge.say("purchase_only", message, *at, "when", key)
    for j, limit in enumerate(rule.limits):
        if limit.per == "order":
            message = "an activity is no order, and counts once; limit it per day or longer"
            judge.say("purchase_only", message, *at, "limits", j, "per")


def _meet(rule: form.EarnRule, other: form.EarnRule) -> bool:
    """Whether one input can be judged by both."""
    if rule.on is None or other.on is None:
        return rule.on is other.on
    mine, theirs = texts(rule.on.activity), texts(other.on.activity)
    return mine is not None and theirs is not None and not mine.isdisjoint(theirs)
