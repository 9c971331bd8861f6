"""Inputs that concern two accounts: both halves of one decision, in one transaction.

The first account decides; of the second it knows what is copied onto the event as facts. What it
decided is all that the second half is made from, and that half cannot refuse any more.
"""

from collections.abc import Callable, Sequence

from ledger.core.account import Account
from ledger.core.decide import decide
from ledger.core.fold import evolve
from ledger.core.merging import absorb
from ledger.core.program.timeline import Timeline
from ledger.core.transfers import receive
from schemas.decisions import AccountEvent, AccountMerged, AccountSettled, Facts, PointsSent
from schemas.fields import Instant
from schemas.inputs import AccountMerge, InputEvent, PointsTransfer

PAIRS = (PointsTransfer, AccountMerge)
"""The inputs that concern two accounts from the start."""


def other_of(event: InputEvent) -> str | None:
    """The second member whom an input names as one of two; None for all other inputs."""
    if isinstance(event, PointsTransfer):
        return event.data.to
    if isinstance(event, AccountMerge):
        return event.data.into
    return None


def facts_of(other: Account) -> Facts:
    """What the first half may know of the second account."""
    if not other.version:
        return Facts(other_status="unknown")
    return Facts(other_status=other.status, other_merged=len(other.merged_from))


def decide_pair(
    account: Account,
    known: Account,
    fork_of_other: Callable[[], Account],
    event: PointsTransfer | AccountMerge,
    occurred_at: Instant,
    programs: Timeline,
    addressed: str = "",
) -> tuple[list[AccountEvent], Sequence[AccountEvent]]:
    """Decide on `event`: the events of `account`, a fork, and those of the other, of which `known`
    is the state and `fork_of_other` gives a fork if it has a part in it. Both have them applied.
    Raises as `decide` does, before anything was applied."""
    before = account.fork() if isinstance(event, AccountMerge) else None
    events = decide(account, event, occurred_at, programs, facts_of(known), addressed)
    decision = events[-1]
    if isinstance(decision, PointsSent):
        return events, receive(fork_of_other(), decision, account.member_id, programs)
    if isinstance(decision, AccountMerged):
        assert before is not None, "only a merge merges"
        if isinstance(events[0], AccountSettled):
            evolve(before, events[0])
        return events, absorb(fork_of_other(), before, decision, programs)
    return events, ()
