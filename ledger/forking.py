"""Forks of accounts for one batch: made when needed, packed for the log, mended after a bug."""

from collections.abc import Sequence

from msgspec.structs import replace

from ledger.accounts import AccountKey
from ledger.batch import PAYING, Batch, Stock
from ledger.core.context import NO_FACTS
from ledger.core.fold import evolve
from ledger.core.program.timeline import Timeline
from ledger.dedupe import purchase_key
from ledger.linked import order_places
from ledger.member_facts import REWARDED, member_facts
from ledger.recorder import PackedEvent, pack_event, pack_owner
from ledger.work import Fork, Work
from schemas.decisions import AccountEvent, CodeFact, Facts
from schemas.inputs import (
    InputEvent,
    PurchaseCompleted,
    PurchaseReturned,
    ReferralRegistered,
    RewardClaim,
)
from schemas.log_events import encode_event


def fork_of(batch: Batch, place: AccountKey) -> Fork:
    """The account as the batch changes it."""
    fork = batch.forks.get(place)
    if fork is None:
        base = batch.bases[place]
        fork = batch.forks[place] = Fork(
            base.account,
            base.account.fork(),
            base.account_id,
            pack_owner(base.account_id, place[1]),
            base.due_at,
            base.due_epoch,
        )
    return fork


def pack(fork: Fork, events: Sequence[AccountEvent]) -> list[PackedEvent]:
    """The rows of the fork's latest events, but for their positions."""
    first = fork.account.version - len(events) + 1
    return [
        pack_event(
            fork.owner,
            version,
            type(event).__name__,
            event.occurred_at,
            len(event.effects),
            encode_event(event),
        )
        for version, event in enumerate(events, first)
    ]


def fold_anew(fork: Fork) -> None:
    """The fork may be half changed: build it again from what was decided before."""
    fork.account = fork.base.fork()
    for event in fork.events:
        evolve(fork.account, event)


def facts_of(
    batch: Batch, work: Work, event: InputEvent, member_id: str, programs: Timeline
) -> Facts:
    """What the decision on the account of `member_id` may know beside it."""
    if isinstance(event, PurchaseReturned):
        place = (work.shard, purchase_key(work.member_id, event.data.order_id))
        places = order_places(batch, work, event.data.order_id) if batch.linked else [place]
        return Facts(order_known=any(p in batch.stored or p in batch.taken for p in places))
    if isinstance(event, ReferralRegistered):
        referrer = batch.referrer(event.data.referrer_id)
        if referrer is None:
            return Facts(referrer_status="unknown")
        own = referrer.referral
        return Facts(
            referrer_status=referrer.status,
            referrer_referred_by=own.referrer_id if own is not None else None,
        )
    facts = NO_FACTS
    if programs.asks_outside and isinstance(event, REWARDED):
        facts = member_facts(batch, work, member_id, programs)
    if isinstance(event, RewardClaim):
        reward_id = event.data.reward_id
        of_reward = batch.stock.get(reward_id, Stock())
        given = of_reward.given + batch.given.get(reward_id, 0)
        return Facts(reward_given=given, codes_loaded=of_reward.loaded)
    if (batch.leases is None and batch.codes is None) or not isinstance(event, PAYING):
        return facts
    shard = work.shard if member_id == work.member_id else batch.place_of(member_id)[0]
    had = () if batch.leases is None else batch.leases.had(shard)
    codes: tuple[CodeFact, ...] = ()
    if batch.codes is not None and isinstance(event, PurchaseCompleted) and event.data.promo_codes:
        program = programs.at(work.item.occurred_at)
        rooms = {} if batch.leases is None else batch.leases.rooms.get(shard, {})
        # A code bound to an account that was merged is now that of the one which stays.
        whose = {work.member_id, member_id}
        codes = batch.codes.facts(whose, event.data.promo_codes, program, rooms)
    return replace(facts, budgets=had, codes=codes)
