"""What inputs would lead to, decided as ever, and nothing stored: for who asks before acting.

Decided on what is committed, without a lock: between the answer and the act another input may come.
A budget over all members counts as what the account's shard holds of it and what no shard does,
so that an award near the end of a budget, which calls back what others hold, may be told smaller
than it will be.
"""

import time
from collections.abc import Sequence

from msgspec import Struct

from ledger.batch import Batch
from ledger.cache import AccountCache, Cached
from ledger.core.account import Account
from ledger.core.program.timeline import Timeline
from ledger.deciding import decide_work
from ledger.lookups import Connection
from ledger.preparing import check_call
from ledger.programs import Programs
from ledger.reading import Reader
from ledger.received import Outcome, Received
from ledger.work import Work, outcome_of
from schemas.decisions import InputForwarded


class Previewed(Struct, frozen=True):
    """What would become of one input. `account`: as it would be after it; it must not be changed.
    None for an input that belongs to no member."""

    outcome: Outcome
    account: Account | None


async def preview(
    connection: Connection,
    inputs: Sequence[Received],
    reader: Reader,
    cache: AccountCache,
    programs: Programs,
    shards: int,
    skew: int,
) -> list[Previewed]:
    """Read for all, and decide on each as if there were no other. What was loaded stays in the
    cache: who previews mostly acts next."""
    check_call(inputs, None, None)
    batch = Batch(inputs, shards, time.time_ns() // 1_000, skew, may_call_back=False)
    wanted = batch.shards()
    await reader.read(connection, batch, wanted)
    _keep(cache, batch)
    if batch.leases is not None:
        batch.leases.presume()
    timeline: Timeline = programs.timeline
    return [_alone(batch, work, timeline) for work in batch.works]


def _alone(batch: Batch, work: Work, programs: Timeline) -> Previewed:
    decide_work(batch, work, {work.shard}, programs)
    previewed = Previewed(outcome_of(work), _account(batch, work))
    batch.undecide()
    return previewed


def _keep(cache: AccountCache, batch: Batch) -> None:
    """Let the cache have the accounts that were loaded, as of the heads that were read before them.
    One that is newer than its head is named by an event after it, which evicts it in time."""
    loaded: dict[int, dict[str, Cached]] = {}
    for place, base in batch.bases.items():
        if place[0] in batch.based_on and place not in cache:
            loaded.setdefault(place[0], {})[place[1]] = base
    for shard, entries in loaded.items():
        cache.commit(shard, batch.based_on[shard], entries)


def _account(batch: Batch, work: Work) -> Account | None:
    place = (work.shard, work.member_id)
    if work.events and isinstance(work.events[-1], InputForwarded):
        place = (work.parts[0].shard, work.parts[0].member_id)
    fork = batch.forks.get(place)
    if fork is not None:
        return fork.account
    base = batch.bases.get(place)
    return None if base is None else base.account
