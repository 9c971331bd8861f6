"""Welcome awards: what a level gives to a member who enters it from below, once in a lifetime.

Granted at the moment of the tier change, within the event that caused it, in a lot of its own. A
return that takes the member below the level takes its welcome back, if what came back had been
bought by then; the level may then welcome again.
"""

from collections.abc import Iterable

from ledger.core.account import Account
from ledger.core.clawback import Clawing
from ledger.core.grants import WELCOME
from ledger.core.program.compiled import Compiled
from ledger.core.program.timeline import Timeline
from ledger.core.records import Order
from ledger.core.rules import grant
from ledger.core.rules.tiers import tier_rank
from schemas.decisions import WHOLE_AWARD, Award, TierChange, WelcomeTakenBack


def welcome(
    program: Compiled, change: TierChange, before: str, known: Iterable[str], lot: int
) -> Award | None:
    """The award of a tier change, in lot `lot`, if it is one up to a level that has one and that
    is not among `known`. `before`: the tier held until then."""
    points = program.welcomes.get(change.to)
    if points is None or change.to in known:
        return None
    if tier_rank(program, change.to) <= tier_rank(program, before):
        return None
    return grant(program, rule=change.to, kind=WELCOME, points=points, at=change.at, lot=lot)


def welcomes(
    account: Account, programs: Timeline, changes: tuple[TierChange, ...], first_lot: int
) -> tuple[Award, ...]:
    """The welcome awards of a decision's tier changes, in lots from `first_lot` on."""
    known = {one.level for one in account.welcomes}
    before = changes[0].previous
    found: list[Award] = []
    for change in changes:
        award = welcome(programs.at(change.at), change, before, known, first_lot + len(found))
        if award is not None:
            found.append(award)
            known.add(change.to)
        before = change.to
    return tuple(found)


def with_welcomes(
    account: Account,
    programs: Timeline,
    changes: tuple[TierChange, ...],
    awards: tuple[Award, ...],
) -> tuple[Award, ...]:
    """The awards of a decision, whose lots are numbered on from the account's, and after them the
    welcome awards of its tier changes."""
    if not changes:
        return awards
    lots = [award.lot for award in awards]
    return awards + welcomes(
        account, programs, changes, max([*lots, account.holdings.next_lot - 1]) + 1
    )


def take_back(
    account: Account,
    program: Compiled,
    changes: tuple[TierChange, ...],
    order: Order,
    clawing: Clawing,
) -> tuple[WelcomeTakenBack, ...]:
    """Take back the welcomes of the levels that a return of `order` takes away."""
    was, left = tier_rank(program, account.tier), tier_rank(program, changes[-1].to)
    found = []
    for one in account.welcomes:
        if left < tier_rank(program, one.level) <= was and order.at <= one.at:
            clawing.take(0, WHOLE_AWARD, one.points, one.lot, ())
            taken = clawing.clawbacks.pop()
            found.append(
                WelcomeTakenBack(one.level, one.points, taken.taken, taken.expired, taken.let_go)
            )
    return tuple(found)
