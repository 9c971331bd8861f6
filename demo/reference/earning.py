"""What one purchase earns: every rule in file order, then groups, then exclusives.

Integers and fractions only; each award is rounded once and shared among the lines it matched by
largest remainder.
"""

from collections.abc import Callable
from dataclasses import dataclass

from demo.reference.program import Account, Limit, Program, Purchase, Rule, rounded

# (rule, limit) -> how much of the limit is used up in the purchase's window
Used = Callable[[Rule, Limit], int]


@dataclass(slots=True)
class Award:
    rule: Rule
    points: int
    matched: list[int]  # places of the lines, in the purchase's order
    shares: list[int]  # points of each matched line


def allocate(points: int, amounts: list[int]) -> list[int]:
    total = sum(amounts)
    if total == 0:
        return [points] + [0] * (len(amounts) - 1)
    shares = [points * amount // total for amount in amounts]
    if sum(shares) == points:
        return shares
    by_remainder = sorted(range(len(amounts)), key=lambda i: (-(points * amounts[i] % total), i))
    for i in by_remainder[: points - sum(shares)]:
        shares[i] += 1
    return shares


def awards(
    program: Program, purchase: Purchase, account: Account, used: Used, activity: str | None = None
) -> list[Award]:
    """The awards above 0, in file order. An activity is judged like a purchase of nothing."""
    drafts: dict[str, Award] = {}
    rules = [
        rule
        for rule in program.rules
        if (not rule.activities if activity is None else activity in rule.activities)
    ]
    for rule in rules:
        points, matched = _value(rule, purchase, account, drafts)
        for limit in rule.limits if points else ():
            left = max(0, limit.most - used(rule, limit))
            points = min(points, left) if limit.kind == "points" else points if left else 0
        amounts = [purchase.lines[i].amount for i in matched]
        drafts[rule.id] = Award(rule, points, matched, allocate(points, amounts) if points else [])
    for group in {rule.group for rule in rules if rule.group}:
        members = [draft for draft in drafts.values() if draft.rule.group == group]
        kept = max(members, key=lambda draft: draft.points)  # the first of equals
        for loser in members:
            if loser is not kept:
                loser.points = 0
    for draft in drafts.values():
        if draft.rule.of and drafts[draft.rule.of].points == 0:
            draft.points = 0  # a loser multiplies to nothing
    result = []
    for draft in drafts.values():
        if draft.points:
            result.append(draft)
            if draft.rule.exclusive:
                break
    return result


def _value(
    rule: Rule, purchase: Purchase, account: Account, drafts: dict[str, Award]
) -> tuple[int, list[int]]:
    """The rule's points before its limits, and the lines that it matched."""
    if not rule.valid_from <= purchase.occurred_at < rule.valid_to:
        return 0, []
    if not all(holds(purchase, account) for holds in rule.conditions):
        return 0, []
    matched = list(range(len(purchase.lines)))
    for condition in rule.line_conditions:
        matched = [i for i in matched if condition(purchase.lines[i])]
    award = next(
        award
        for conditions, award in rule.awards
        if all(holds(purchase, account) for holds in conditions)
    )
    if rule.of:
        base = drafts[rule.of]
        share_of = dict(zip(base.matched, base.shares, strict=False)) if base.points else {}
        both = [i for i in matched if i in share_of]
        multiplied = sum(share_of[i] for i in both)
        return rounded(award.rate * multiplied, rule.rounding) - multiplied, both
    if not matched:
        return 0, []
    amount = sum(purchase.lines[i].amount for i in matched)
    if award.kind == "rate":
        return rounded(award.rate * amount, rule.rounding), matched
    reached = [points for at_least, points in award.steps if amount >= at_least]
    return (reached[-1] if reached else 0), matched
