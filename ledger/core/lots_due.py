"""Settling where nothing but lots falls due: the postings are read off, no draft is made.

Before most purchases some lots became available or expired since the one before, and nothing else
fell due. Then the two sorted lists of the account's points already say what happens and when.
Wherever one thing could bring about another (a debt that is paid, a lot that expires soon after it
becomes available, points that wait for an event), `settle` steps through the moments on a draft.
"""

from operator import attrgetter

from ledger.core.account import Account
from ledger.core.lots import Holdings
from ledger.core.program.timeline import Timeline
from schemas.decisions import AccountSettled, Posting
from schemas.fields import Instant

_moment = attrgetter("effective_at")


def settled_lots(account: Account, until: Instant, programs: Timeline) -> AccountSettled | None:
    """What fell due up to and including `until` on an account whose tier has no boundary until
    then, and of which something is due; None where it takes a draft to tell.

    The account is not changed. Raises NoProgram when no version is in force at `until`.
    """
    held = account.holdings
    if held.debt or held.awaits or account.reservations or account.waiting:
        return None
    if account.forfeits_at is not None:
        return None
    postings = _postings(held, until)
    if postings is None:
        return None
    version = programs.at(until).version
    return AccountSettled(occurred_at=until, program=version, postings=tuple(postings))


def _postings(held: Holdings, until: Instant) -> list[Posting] | None:
    """In the order of the moments, at one moment what becomes available first. None when a lot
    becomes available and expires within."""
    lots, postings = held.lots, list[Posting]()
    for at, number in held.due:
        if at > until:
            break
        lot = lots[number]
        if lot.expires_at is not None and lot.expires_at <= until:
            return None
        points = lot.pending
        postings.append(Posting("pending", -points, number, at))
        postings.append(Posting("available", points, number, at))
    activated = len(postings)
    for at, _, number in held.draw:
        if at > until:
            break
        points = lots[number].available
        postings.append(Posting("available", -points, number, at))
        postings.append(Posting("expired", points, number, at))
    if 0 < activated < len(postings):
        postings.sort(key=_moment)  # stable: the two sides of an entry stay side by side
    return postings
