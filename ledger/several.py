"""Deciding one input on several accounts: points given, accounts merged, inputs passed on.

All of it is one append: the events of every account concerned, the one row by which the input is
known (in the shard of the member that it names), or nothing. Heads are locked in ascending order as
ever, and if one of them moved, the input is decided again on all.
"""

from collections.abc import Sequence

from ledger.accounts import AccountKey
from ledger.batch import Batch
from ledger.core.account import Account
from ledger.core.decide import decide
from ledger.core.fold import evolve
from ledger.core.lifecycle import passes_on
from ledger.core.pairs import PAIRS, decide_pair, other_of
from ledger.core.program.timeline import Timeline
from ledger.forking import facts_of, fork_of, pack
from ledger.work import Fork, Part, Work
from schemas.decisions import AccountEvent, AccountSettled, Cause, InputForwarded

Decided = list[tuple[AccountKey, Sequence[AccountEvent]]]
"""By account: what was decided on it; the one that the input is decided by comes first."""


def concerns_several(work: Work, account: Account) -> bool:
    """Whether the input, which names `account`, is decided on others too, or instead."""
    event = work.item.event
    return isinstance(event, PAIRS) or (event is not None and passes_on(account, event))


def decide_several(
    batch: Batch, work: Work, programs: Timeline, touched: list[Fork]
) -> Sequence[AccountEvent]:
    """Decide; the events that answer the input. `work` gets the events of every account concerned.
    `touched` names the forks that are changed, also if this raises as `decide` does."""
    own = (work.shard, work.member_id)
    fork = fork_of(batch, own)
    event = work.item.event
    assert event is not None
    if not passes_on(fork.account, event):
        decided = _decide(batch, work, own, programs, touched)
        answer = work.events = decided[0][1]
        rest = decided[1:]
    else:
        place = own
        while (merged_into := batch.known(place).merged_into) is not None:
            place = batch.place_of(merged_into)
        rest = _decide(batch, work, place, programs, touched)
        answer = rest[0][1]
        at = work.item.occurred_at
        passed_on = InputForwarded(
            occurred_at=at,
            program=programs.at(at).version,
            cause=Cause(event.source, event.id),
            to=place[1],
            input_type=work.type_name,
        )
        touched.append(fork)
        evolve(fork.account, passed_on)
        work.events = [passed_on]
    work.decisive = _decisive(work.events)
    work.packed = pack(fork, work.events)
    work.parts = [
        Part(*other, events, pack(fork_of(batch, other), events), _decisive(events))
        for other, events in rest
    ]
    batch.linked = True
    return answer


def _decide(
    batch: Batch, work: Work, place: AccountKey, programs: Timeline, touched: list[Fork]
) -> Decided:
    """Decide on the account at `place`, and on the second one that the input names."""
    fork, event, at = fork_of(batch, place), work.item.event, work.item.occurred_at
    assert event is not None
    addressed = "" if place[1] == work.member_id else work.member_id
    touched.append(fork)
    if not isinstance(event, PAIRS):
        facts = facts_of(batch, work, event, place[1], programs)
        return [(place, decide(fork.account, event, at, programs, facts, addressed))]
    named = other_of(event)
    assert named is not None
    other = batch.place_of(named)

    def take() -> Account:
        taken = fork_of(batch, other)
        touched.append(taken)
        return taken.account

    known = batch.known(other)
    events, others = decide_pair(fork.account, known, take, event, at, programs, addressed)
    return [(place, events), (other, others)] if others else [(place, events)]


def _decisive(events: Sequence[AccountEvent]) -> int:
    return 1 if isinstance(events[0], AccountSettled) else 0
