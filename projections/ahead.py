"""What time alone will do to a balance: the steps that settling would yield if nothing more came.

The ledger's own settle says what they are. It moves every point through postings, though, which is
most of what a balance costs to show, and of most accounts the steps can be read off their lots:
points become available when their lot activates or their reservation lapses, and expire with their
lot. Where one thing depends on what came before it (a debt that is paid, a lot that gets a grace, a
level that welcomes), settle is asked.
"""

from functools import lru_cache
from operator import itemgetter
from typing import NamedTuple

from ledger.core.account import Account
from ledger.core.calendar import INSTANT_MAX
from ledger.core.lots import NEVER
from ledger.core.program.timeline import Timeline
from ledger.core.settle import settle
from ledger.core.tiers import next_boundary
from projections.history import changes_of
from schemas.fields import Instant

TIMELINES_KNOWN_MAX = 8
"""Timelines of which is remembered whether a level welcomes: one is in use, until the next."""


class Steps(NamedTuple):
    """The moments at which something changes, rising, and for each the balance from then on, in
    points; `available` is net of debt."""

    moments: list[Instant]
    available: list[int]
    pending: list[int]
    reserved: list[int]
    expired: list[int]
    granted: list[int]
    debt: list[int]


def steps_ahead(account: Account, programs: Timeline) -> Steps:
    """All steps after the moment to which the account is settled."""
    return _read_off(account, programs) or settled_ahead(account, programs)


def settled_ahead(account: Account, programs: Timeline) -> Steps:
    """The same by settle, of any account."""
    steps = Steps([], [], [], [], [], [], [])
    settled = settle(account, INSTANT_MAX, programs)
    if settled is None:
        return steps
    now = account.balances()
    available, pending, reserved = now.available, now.pending, now.reserved
    expired, granted, debt = now.expired, now.granted, now.debt
    for moment, change in sorted(changes_of(settled).items(), key=itemgetter(0)):
        if change:
            available += change.available
            pending += change.pending
            reserved += change.reserved
            expired += change.expired
            granted += change.granted
            debt += change.debt
            steps.moments.append(moment)
            steps.available.append(available)
            steps.pending.append(pending)
            steps.reserved.append(reserved)
            steps.expired.append(expired)
            steps.granted.append(granted)
            steps.debt.append(debt)
    return steps


def _read_off(account: Account, programs: Timeline) -> Steps | None:
    """The steps of an account whose points only activate, lapse and expire, each lot by itself;
    None of one of which more must be known."""
    held = account.holdings
    if held.debt or held.awaits or account.forfeits_at is not None:
        return None
    # Tiers move no points, except by a welcome; time alone changes none before its next boundary.
    if (
        _some_welcome(programs)
        and next_boundary(account, account.tiers, account.settled_to, programs) < NEVER
    ):
        return None
    lapsing: dict[Instant, int] = {}
    given_back: dict[int, int] = {}
    lots = held.lots
    for reservation in account.reservations.values():
        lapses_at = reservation.lapses_at
        for number, points in reservation.draws:
            lot = lots[number]
            if lot.expires_at is not None and lot.expires_at <= lapses_at:
                return None  # it lives on for the restore grace
            at = max(lapses_at, lot.activates_at)
            lapsing[at] = lapsing.get(at, 0) + points
            given_back[number] = given_back.get(number, 0) + points
    activating: dict[Instant, int] = {}
    expiring: dict[Instant, int] = {}
    for lot in lots.values():
        left = lot.available
        points = lot.pending
        if points:
            left += points
            at = lot.activates_at
            activating[at] = activating.get(at, 0) + points
        if lot.reserved:
            left += given_back.get(lot.number, 0)
        expires_at = lot.expires_at
        if left and expires_at is not None:
            expiring[expires_at] = expiring.get(expires_at, 0) + left
    moments = sorted({*activating, *lapsing, *expiring})
    if moments and moments[-1] > INSTANT_MAX:
        return None
    steps = Steps(moments, [], [], [], [], [held.granted] * len(moments), [0] * len(moments))
    available, pending = held.available, held.pending
    reserved, expired = held.reserved, held.expired
    for moment in moments:
        activated, over = activating.get(moment, 0), expiring.get(moment, 0)
        back = lapsing.get(moment, 0)
        available += activated + back - over
        pending -= activated
        reserved -= back
        expired += over
        steps.available.append(available)
        steps.pending.append(pending)
        steps.reserved.append(reserved)
        steps.expired.append(expired)
    return steps


@lru_cache(TIMELINES_KNOWN_MAX)
def _some_welcome(programs: Timeline) -> bool:
    return any(program.welcomes for _, program in programs.versions)
