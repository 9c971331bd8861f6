"""Budgets over all members: an award is paid whole or not at all, and what lost to it stays lost.

How much there is for a decision is handed in (`Facts.budgets`), and what is needed to decide again
is kept on its event. Asked last: after limits, groups and exclusive rules.
"""

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from ledger.core.program.budgets import Budget
from ledger.core.program.compiled import Compiled
from ledger.core.program.rule import Rule
from ledger.core.rules.contest import void
from schemas.decisions import (
    AccountEvent,
    Award,
    BudgetShare,
    Facts,
    PurchaseReturned,
    PurchaseRewarded,
)

NO_FACTS = Facts()

CAP = "budget:"
"""How the cap of an award that found too little begins; the budget's id follows."""


def pay(
    rules: Sequence[Rule],
    places: Iterable[int],
    awards: tuple[Award, ...],
    first_lot: int,
    had: Iterable[BudgetShare],
) -> tuple[Award, ...]:
    """The awards (`places`: the numbers of their rules) after their budgets, in file order; those
    that keep their points are given the lots from `first_lot` on anew. `had`: what there is."""
    of = list(zip(places, awards, strict=True))
    if not any(award.points and rules[place].budget is not None for place, award in of):
        return awards
    rooms = {share.budget: share.amount for share in had}
    kept: dict[int, Award] = {}
    lots: dict[tuple[object, ...], int] = {}
    for place, award in of:
        paid, rule = award, rules[place]
        if award.points and award.kind == "multiplier" and not kept[rule.numbers.of].points:
            paid = void(award, f"multiplier_of:{rules[rule.numbers.of].id}")
        elif award.points and rule.budget is not None:
            paid = pay_one(award, rule.budget, rooms)
        if paid.points:
            lot = lots.setdefault(
                (paid.activates_at, paid.expires_at, paid.terms), first_lot + len(lots)
            )
            paid = paid if paid.lot == lot else replace(paid, lot=lot)
        kept[place] = paid
    return tuple(kept.values())


def pay_one(award: Award, budget: Budget, rooms: dict[str, int]) -> Award:
    """The award, paid from the budget's room, or without its points where that is too small."""
    need, room = budget.need(award.points), rooms.get(budget.id, 0)
    if need > room:
        return void(award, CAP + budget.id, room)
    rooms[budget.id] = room - need
    return replace(award, budget=BudgetShare(budget.id, need))


def rooms_of(facts: Facts) -> dict[str, int]:
    """What there is of each budget."""
    return {share.budget: share.amount for share in facts.budgets}


def facts_kept(facts: Facts, awards: Iterable[Award]) -> Facts | None:
    """The facts as the event keeps them: of budgets only what deciding again needs, so that its
    bytes do not depend on how much happened to be at hand. None where there are none."""
    if not facts.budgets:
        return None if facts == NO_FACTS else facts
    kept: dict[str, int] = {}
    short = set()
    for award in awards:
        if award.budget is not None:
            share = award.budget
            kept[share.budget] = kept.get(share.budget, 0) + share.amount
        for cap in award.capped:
            if cap.by.startswith(CAP):
                short.add(cap.by.removeprefix(CAP))
    rooms = rooms_of(facts)
    kept |= {budget: rooms.get(budget, 0) for budget in short}
    facts = replace(facts, budgets=tuple(BudgetShare(*each) for each in sorted(kept.items())))
    return None if facts == NO_FACTS else facts


def short_of(event: AccountEvent, program: Compiled) -> list[tuple[str, int, int]]:
    """(budget, need, what was left) of each award and promo code of the event for which its budget
    had too little."""
    found = []
    if isinstance(event, PurchaseRewarded) and event.facts is not None:
        spent = [program.series.get(f.series) for f in event.facts.codes if f.status == "spent"]
        limited = [of for of in spent if of is not None and of.code and of.uses is not None]
        found = [(series.budget, 1, 0) for series in limited]
    for award in getattr(event, "awards", ()):
        if award.capped and award.capped[-1].by.startswith(CAP):
            *before, last = award.capped
            # What the limits before it had left of its value.
            points = min([award.value, *(cap.left for cap in before)])
            budget = last.by.removeprefix(CAP)
            found.append((budget, program.budgets[budget].need(points), last.left))
    return found


def moves_of(event: AccountEvent) -> Sequence[BudgetShare]:
    """What the event uses of budgets; below 0 what it gives back."""
    if isinstance(event, PurchaseReturned):
        return [BudgetShare(share.budget, -share.amount) for share in event.budgets]
    awards: tuple[Award, ...] = getattr(event, "awards", ())
    moves = [award.budget for award in awards if award.budget is not None]
    if isinstance(event, PurchaseRewarded) and event.codes:
        moves += [BudgetShare(code.budget, 1) for code in event.codes if code.budget]
    return moves
