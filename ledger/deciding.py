"""Decide the inputs of a batch on forks, in their order, without any I/O.

Each input ends as one of five outcomes. What cannot be decided becomes a dead letter and changes
nothing; an exception of our own becomes one too, with the code `internal_error`, and the account is
folded anew without it. Deciding again after a head moved is the same call on the same batch.
"""

import logging
import secrets
from collections.abc import Sequence, Set

from msgspec import Raw
from msgspec.structs import replace

from ledger.batch import Batch
from ledger.core.account import Account
from ledger.core.decide import (
    decide,
    decide_profile_again,
    outcome_of,
    refusal_of,
)
from ledger.core.errors import Undecidable
from ledger.core.program.timeline import NoProgram, Timeline
from ledger.core.tick import decide_tick
from ledger.dedupe import MEMBER_KEY_BYTES, WITH_PROFILE, content_of
from ledger.errors import TakenBefore
from ledger.forking import facts_of, fold_anew, fork_of, pack
from ledger.leases import Moved, moved_by
from ledger.lookups import InputKey
from ledger.member_facts import note_birthday
from ledger.preparing import OWN
from ledger.received import COMMANDS, INTERNAL_ERROR, Problem
from ledger.several import concerns_several, decide_several
from ledger.work import Work, claimed_by
from schemas.decisions import (
    AccountEvent,
    AccountSettled,
    InputForwarded,
    InputRefused,
    MemberErased,
)
from schemas.inputs import RewardClaim

log = logging.getLogger(__name__)

_NO_DATA = Raw(b"{}")


def decide_all(batch: Batch, shards: Set[int], programs: Timeline) -> None:
    """Decide every input of these shards (and, once, those that belong to none). Raises
    TakenBefore."""
    for work in batch.works:
        decide_work(batch, work, shards, programs)


def decide_work(batch: Batch, work: Work, shards: Set[int], programs: Timeline) -> None:
    """Decide one input, if it is of these shards or of none, and not decided yet."""
    if work.kind is not None:
        return
    if work.rejected is not None:
        work.kind, work.problem = "dead_lettered", work.rejected
    elif work.shard in shards and not _known_before(batch, work):
        _decide_one(batch, work, programs)


def log_failures(batch: Batch) -> None:
    """Write to the log what failed for reasons of ours; under the lock, when it is final. Before
    it, an account may be newer than the dedupe rows: then it is decided again, and nothing was
    wrong."""
    for work, error in batch.failures.values():
        if work.problem is not None and work.problem.code == INTERNAL_ERROR:
            log.error(
                "deciding failed",
                exc_info=error,
                extra={"member_id": work.member_id, "type": work.type_name},
            )


def _known_before(batch: Batch, work: Work) -> bool:
    """Whether the input is a duplicate or a conflict of one taken before; if so it has its end.
    Raises TakenBefore for one that has no moment of its own to be compared by."""
    if not work.key:
        return False
    if work.request is not None and _key_of_another(batch, work, work.request):
        return True
    place = (work.shard, work.key)
    if work.item.untimed and (place in batch.stored or place in batch.taken):
        raise TakenBefore("An input without a moment of its own was taken before.")
    if not work.content:
        _profile_content(batch, work)
    first = batch.taken.get(place)
    if first is not None:
        content: bytes = first.content
        work.twin = first
    elif place in batch.stored:
        content, work.position = batch.stored[place]
    else:
        return False
    # Without a key (the member was erased) contents cannot be compared: the key decides.
    if content == work.content or not work.content:
        work.kind = "duplicate"
        return True
    work.kind = "dead_lettered"
    work.twin = None
    work.problem = Problem(
        "conflict",
        "$.data",
        "An input with the same key but another content was taken before"
        + (f" (shard {work.shard}, position {work.position})" if work.position else "")
        + ": give it a key of its own.",
    )
    return True


def _key_of_another(batch: Batch, work: Work, request: InputKey) -> bool:
    """Whether the sender's idempotency key is that of another input; if so this one is a conflict,
    whatever it says, and whenever it happened."""
    first = batch.requests.get(request)
    if first is not None:
        key = first.key
    elif request in batch.stored:
        key, _ = batch.stored[request]
    else:
        return False
    if key == work.key:
        return False
    work.kind = "dead_lettered"
    work.problem = Problem(
        "conflict",
        "$.id",
        "Another change was made under the same idempotency key before: give each a key of its"
        " own.",
    )
    return True


def _profile_content(batch: Batch, work: Work) -> None:
    """The content hash under the member's key; a new key for an input that is new. None where the
    first was hashed under another key, which is gone: the member was erased since."""
    event = work.item.event
    if event is None:
        return
    place = (work.shard, work.key)
    first = batch.taken.get(place)
    key = batch.member_keys.get(work.member_id)
    if first is not None:
        comparable = key == first.member_key
    elif place in batch.stored:
        comparable = work.member_id not in batch.fresh_keys
    else:
        comparable = True
        if key is None:
            key = batch.member_keys[work.member_id] = secrets.token_bytes(MEMBER_KEY_BYTES)
            batch.fresh_keys.add(work.member_id)
    if key is not None and comparable:
        work.member_key = key
        work.content = content_of(event, work.item.occurred_at, key)


def _decide_one(batch: Batch, work: Work, programs: Timeline) -> None:
    fork = fork_of(batch, (work.shard, work.member_id))
    touched = [fork]
    try:
        if (work.also or fork.account.merged_into) and concerns_several(work, fork.account):
            events = decide_several(batch, work, programs, touched)
            work.kind = outcome_of(events)
        else:
            events = _events(batch, work, fork.account, programs)
            if events:
                work.packed, work.events = pack(fork, events), events
            work.kind = "applied" if work.type_name in OWN else outcome_of(events)
        moved = _moved(batch, work, programs)
    except Undecidable as reason:
        _put_aside(work, Problem(reason.code, reason.path, reason.message))
        return
    except NoProgram as reason:
        _put_aside(work, Problem(NoProgram.code, "$.time", str(reason)))
        return
    except Exception as error:
        batch.failures[id(work)] = (work, error)
        _put_aside(
            work,
            Problem(INTERNAL_ERROR, "$", f"The ledger failed: {type(error).__name__}: {error}"),
        )
        for each in touched:
            fold_anew(each)
        return
    fork.events += work.events
    for part in work.parts:
        batch.forks[part.shard, part.member_id].events += part.events
    _follow(batch, work, moved)
    if work.source == COMMANDS or work.item.asked:
        work.balance = balance_of(batch, work)
    if work.key:
        batch.taken[work.shard, work.key] = work
        if work.request is not None:
            batch.requests[work.request] = work
    if batch.birthdays:
        note_birthday(batch, work, work.events[work.decisive] if work.events else None)
    if isinstance(work.item.event, RewardClaim) and (claimed := claimed_by(work)) is not None:
        batch.given[claimed.reward_id] = batch.given.get(claimed.reward_id, 0) + 1
    refusal = refusal_of(events)
    if refusal is not None:
        work.problem = Problem(refusal.code, "$.data", refusal.message)
    elif events and isinstance(events[work.decisive], MemberErased):
        batch.member_keys.pop(work.member_id, None)


def _events(batch: Batch, work: Work, account: Account, programs: Timeline) -> list[AccountEvent]:
    tick = work.item.tick
    if tick is not None:
        settled = decide_tick(account, tick.until, programs)
        batch.forks[work.shard, work.member_id].ticked = True
        return settled
    if work.item.profile is not None:
        known = batch.profiles.get(work.member_id)
        if known is None:  # erased meanwhile
            return []
        return decide_profile_again(account, known.profile, known.since, programs)
    event = work.item.event
    assert event is not None
    facts = facts_of(batch, work, event, work.member_id, programs)
    events = decide(account, event, work.item.occurred_at, programs, facts)
    work.decisive = 1 if isinstance(events[0], AccountSettled) else 0
    refusal = events[work.decisive]
    if isinstance(event, WITH_PROFILE) and isinstance(refusal, InputRefused):
        # A refusal tells what was refused; a profile must not get into the log that way.
        events[work.decisive] = replace(refusal, data=_NO_DATA)
    return events


def balance_of(batch: Batch, work: Work) -> tuple[int, int, int]:
    """Available, pending and reserved of the account that decided on the input."""
    place = (work.shard, work.member_id)
    if work.events and isinstance(work.events[-1], InputForwarded):
        place = (work.parts[0].shard, work.parts[0].member_id)
    held = batch.forks[place].account.holdings
    return held.available - held.debt, held.pending, held.reserved


def _moved(batch: Batch, work: Work, programs: Timeline) -> Sequence[Moved]:
    """What the events do to budgets, in the shard of the input and in those of its parts."""
    if batch.leases is None:
        return ()
    decided = [work.events, *(part.events for part in work.parts)]
    return [moved_by(events, work.item.occurred_at, programs) for events in decided]


def _follow(batch: Batch, work: Work, moved: Sequence[Moved]) -> None:
    """Take note of what the events use of budgets and of promo codes, each in its own shard."""
    if batch.leases is None and batch.codes is None:
        return
    decided = [(work.shard, work.events), *((part.shard, part.events) for part in work.parts)]
    if batch.leases is not None:
        for (shard, _), each in zip(decided, moved, strict=True):
            batch.leases.follow(shard, each)
    if batch.codes is not None:
        for shard, events in decided:
            batch.codes.follow(shard, events)


def _put_aside(work: Work, problem: Problem) -> None:
    work.kind = "dead_lettered"
    work.problem = problem
    work.events = work.packed = work.parts = ()
