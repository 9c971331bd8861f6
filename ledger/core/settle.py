"""Settling: bringing an account up to a moment, in the order in which things fell due.

At one instant: a program version takes effect, lots activate (then debt is paid), those whose event
did not come are revoked, reservations lapse, waiting returns are refused, tiers set by hand end and
tiers requalify (with welcome awards), lots expire, a closed account forfeits. Settling in one step
or in many gives the same balances (invariant 11), so it does not matter whether a scheduler ever
ran.
"""

from collections.abc import Sequence

from ledger.core.account import Account
from ledger.core.activation import Activated, reached, waits
from ledger.core.lots import NEVER, Holdings
from ledger.core.lots_due import settled_lots
from ledger.core.postings import Draft
from ledger.core.program.compiled import Compiled
from ledger.core.program.timeline import Timeline
from ledger.core.rules.tiers import NO_TIER
from ledger.core.tiers import next_boundary, next_tier_due, qualified
from ledger.core.welcome import welcome
from schemas.decisions import AccountSettled, Award, Posting, TierChange
from schemas.fields import Instant


def settle(
    account: Account, until: Instant, programs: Timeline, names: Sequence[str] = ()
) -> AccountSettled | None:
    """What fell due up to and including `until`, as one event; None when nothing did. `names`:
    those of the event that happened at `until`, which points may have waited for.

    The account is not changed. Raises NoProgram when no version is in force at `until`.
    """
    if names and reached(account.holdings, names, until):
        return _settle_with(account, until, programs, names)
    if account.version == 0 or until <= account.settled_to:
        return None
    boundary = next_boundary(account, account.tiers, account.settled_to, programs)
    moment = min(_next_held(account), boundary)
    if moment > until:
        return None
    if boundary > until and (settled := settled_lots(account, until, programs)) is not None:
        return settled
    settling = Settling(account, programs, boundary)
    while moment <= until:
        settling.step(moment)
        moment = settling.next_moment()
    return settling.event(until)


def _settle_with(
    account: Account, until: Instant, programs: Timeline, names: Sequence[str]
) -> AccountSettled | None:
    """Settle where an event at `until` reaches points that waited for it, late or not."""
    boundary = next_boundary(account, account.tiers, account.settled_to, programs)
    settling = Settling(account, programs, boundary)
    if until <= account.settled_to:
        settling.reach(names, until)
    else:
        while (moment := settling.next_moment()) < until:
            settling.step(moment)
        settling.reach(names, until)
        if settling.next_moment() <= until:
            settling.step(until)
    return settling.event(until)


def next_due(account: Account, programs: Timeline) -> Instant | None:
    """The next moment at which `settle` has something to do if nothing more arrives."""
    if account.version == 0:
        return None
    due = _next_held(account)
    if next_boundary(account, account.tiers, account.settled_to, programs) < due:
        due = min(due, next_tier_due(account, programs))
    return None if due >= NEVER else due


def _next_held(account: Account) -> Instant:
    """The next moment at which something other than the tier falls due."""
    due = account.holdings.next_due()
    if account.reservations:
        due = min(due, *(each.lapses_at for each in account.reservations.values()))
    if account.waiting:
        due = min(due, *(one.deadline for each in account.waiting.values() for one in each))
    if account.forfeits_at is not None:
        due = min(due, account.forfeits_at)
    return due


class Settling:
    """One settling under way: steps through the due moments on a draft. `boundary`: the next one
    of the account's tier (see `next_boundary`)."""

    __slots__ = (
        "account",
        "activated",
        "awards",
        "boundary",
        "changes",
        "draft",
        "forfeited",
        "forfeits_at",
        "grants",
        "lapsed",
        "programs",
        "refused",
        "reservations",
        "tiers",
        "waiting",
    )

    def __init__(self, account: Account, programs: Timeline, boundary: Instant) -> None:
        self.account = account
        self.programs = programs
        self.draft: Draft | None = None
        self.tiers = account.tiers
        self.changes: list[TierChange] = []
        self.awards: list[Award] = []
        self.grants: list[Posting] = []
        self.activated: list[Activated] = []
        self.lapsed: list[str] = []
        self.refused: list[str] = []
        self.reservations: list[tuple[Instant, str]] = []
        if account.reservations:
            self.reservations = sorted(
                (reservation.lapses_at, name) for name, reservation in account.reservations.items()
            )
        self.waiting: list[tuple[Instant, str]] = []
        if account.waiting:
            self.waiting = sorted(
                (one.deadline, one.name) for waiting in account.waiting.values() for one in waiting
            )
        self.boundary = boundary
        self.forfeits_at = NEVER if account.forfeits_at is None else account.forfeits_at
        self.forfeited = False

    @property
    def tier(self) -> str:
        """The tier so far."""
        return self.tiers[-1][1] if self.tiers else NO_TIER

    @property
    def held(self) -> Holdings:
        """The points so far."""
        return self.account.holdings if self.draft is None else self.draft.held

    def next_moment(self) -> Instant:
        """When the next thing falls due, or may; NEVER when nothing does."""
        moment = self.held.next_due()
        if self.boundary < moment:
            moment = self.boundary
        if self.reservations:
            moment = min(moment, self.reservations[0][0])
        if self.waiting:
            moment = min(moment, self.waiting[0][0])
        return min(moment, self.forfeits_at)

    def reach(self, names: Sequence[str], at: Instant) -> None:
        """Make available what waited for an event of these names, which happened at `at`."""
        draft = self.draft = self.draft or Draft(self.account.holdings)
        zone = self.programs.at(at).zone
        for lot in reached(draft.held, names, at):
            self.activated.append(draft.reach(lot, at, zone))
        draft.expire_due(self.account.settled_to)  # late, it may be over already
        if draft.held.debt:
            draft.pay_debt(at)

    def step(self, moment: Instant) -> None:
        """Do everything that falls due at `moment`, in the order of one instant."""
        if self.draft is None:
            self.draft = Draft(self.account.holdings)
        draft = self.draft
        held = draft.held
        if held.due and held.due[0][0] <= moment:
            self._activate(draft, moment)
        while self.reservations and self.reservations[0][0] <= moment:
            name = self.reservations.pop(0)[1]
            self.lapsed.append(name)
            draws = self.account.reservations[name].draws
            draft.give_back("reserved", draws, moment, moment, self.programs.at(moment))
        while self.waiting and self.waiting[0][0] <= moment:
            self.refused.append(self.waiting.pop(0)[1])
        if self.boundary <= moment:
            self._requalify(moment)
        if held.draw and held.draw[0][0] <= moment:
            draft.expire_due(moment)
        if self.forfeits_at <= moment:
            draft.empty("revoked", moment)
            self.forfeits_at, self.forfeited = NEVER, True
            self.reservations.clear()

    def _activate(self, draft: Draft, moment: Instant) -> None:
        held = draft.held
        if held.awaits:
            due = [held.lots[number] for at, number in held.due if at <= moment]
            over = [lot.number for lot in due if waits(lot)]
            for number in [lot.number for lot in due if not waits(lot)]:
                draft.activate(number)
        else:
            over = []
            while held.due and held.due[0][0] <= moment:
                draft.activate(held.due[0][1])
        if held.debt:
            draft.pay_debt(moment)
        for number in over:
            draft.revoke_waiting(number)

    def _requalify(self, moment: Instant) -> None:
        before, program = self.tier, self.programs.at(moment)
        tier = qualified(self.account, program, moment, self.tiers)
        if tier != before:
            self.tiers = (*self.tiers, (moment, tier))
            change = TierChange(moment, before, tier)
            self.changes.append(change)
            if program.welcomes:
                self._welcome(program, change)
        self.boundary = next_boundary(self.account, self.tiers, moment, self.programs)

    def _welcome(self, program: Compiled, change: TierChange) -> None:
        assert self.draft is not None, "a step is under way"
        held = self.draft.held
        known = {one.level for one in self.account.welcomes} | {one.rule for one in self.awards}
        award = welcome(program, change, change.previous, known, held.next_lot)
        if award is not None:
            self.awards.append(award)
            # Beside the draft's: when folding, grants come first.
            self.grants += self.draft.granted((award,), "")
            self.draft.pay_debt(change.at)

    def event(self, until: Instant) -> AccountSettled | None:
        """The event of what was done; None when it came to nothing."""
        draft = self.draft
        if draft is None or not (
            draft.postings or self.changes or self.lapsed or self.refused or self.forfeited
        ):
            return None
        return AccountSettled(
            occurred_at=until,
            program=self.programs.at(until).version,
            postings=(*self.grants, *draft.postings),
            tier_changes=tuple(self.changes),
            lapsed=tuple(self.lapsed),
            refused_returns=tuple(self.refused),
            lot_expiries=draft.lot_expiries,
            forfeited=self.forfeited,
            awards=tuple(self.awards),
            activated=tuple(self.activated),
            late_by=max(0, self.account.settled_to - until) if self.activated else 0,
        )
