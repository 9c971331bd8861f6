"""Merging: an account ends and goes over into another, with all that a later input may ask for.

Lots keep their moments and what they hold; debt goes with them, and is paid there. Counters are
added up. An order that the other account has too (it was booked on both cards) stays as that one
has it; reservations and redemptions are told apart by their members. Lots get new numbers, all
raised by the same, so that whatever names one still does. A return that waited in one account for
an order of the other is decided.
"""

import msgspec
from msgspec import Raw

from ledger.core.account import Account
from ledger.core.activation import waits
from ledger.core.context import Context, Refused
from ledger.core.fold import evolve
from ledger.core.kept import add_counts, kept_of
from ledger.core.kept_records import return_of
from ledger.core.postings import Draft
from ledger.core.program.timeline import Timeline
from ledger.core.records import WaitingReturn
from ledger.core.returns import release
from ledger.core.rules.tiers import NO_TIER
from ledger.core.tick import decide_tick
from ledger.core.tiers import NOTHING, requalify
from ledger.core.transfers import NO_FACTS, check_receiver
from schemas.decisions import (
    NO_LOT,
    AccountAbsorbed,
    AccountEvent,
    AccountMerged,
    MovedLot,
    TierChange,
)
from schemas.inputs import AccountMerge

MERGED_MAX = 100
"""Most accounts that go over into one, directly or not: far more cards than one person has; as many
steps at most has the way from an account to the one that stays."""


def decide_merge(context: Context, event: AccountMerge) -> AccountMerged:
    """End an account; all it holds leaves it. Raises Refused."""
    account, data = context.account, event.data
    if data.into == account.member_id:
        raise Refused("merge_into_self", "an account cannot be merged into itself")
    check_receiver(context.facts)
    if 1 + len(account.merged_from) + context.facts.other_merged > MERGED_MAX:
        raise Refused("too_many_merges", f"{MERGED_MAX} accounts at most go over into one")
    draft = Draft(account.holdings)
    draft.empty("transferred", context.at)
    ended: tuple[TierChange, ...] = ()
    if account.tier != NO_TIER:
        ended = (TierChange(context.now, account.tier, NO_TIER),)
    return AccountMerged(
        **context.head(),
        postings=tuple(draft.postings),
        tier_changes=ended,
        into=data.into,
        actor=data.actor,
        reason=data.reason,
        facts=context.facts,
    )


def absorb(
    account: Account, ended: Account, merged: AccountMerged, programs: Timeline
) -> list[AccountEvent]:
    """The other half of `merged`: the account settles, then takes over what `ended` was before it.
    The account is a fork and afterwards has every returned event applied."""
    at = merged.occurred_at
    events = decide_tick(account, at, programs)
    context = Context.of(account, at, programs.at(at), programs, merged.cause, NO_FACTS)
    shift = account.holdings.next_lot - 1
    kept = kept_of(ended, shift)
    draft = Draft(account.holdings)
    lots = _receive(draft, ended, shift, context)
    debt = ended.holdings.debt
    if debt:
        draft.move("available", "transferred", debt, NO_LOT, at)
    draft.expire_due(context.now)
    draft.pay_debt(context.now)
    counted = account.fork()
    add_counts(counted, kept)
    absorbed = AccountAbsorbed(
        **context.head(),
        postings=tuple(draft.postings),
        tier_changes=requalify(counted, programs, context.now, NOTHING),
        merged=ended.member_id,
        actor=merged.actor,
        reason=merged.reason,
        next_lot=shift + ended.holdings.next_lot,
        kept=Raw(msgspec.json.encode(kept)),
        lots=lots,
    )
    waited = {**account.waiting}
    for order_id, came in kept.waiting.items():
        waited[order_id] = (*waited.get(order_id, ()), *map(return_of, came))
    evolve(account, absorbed)
    events.append(absorbed)
    for order_id, returns in waited.items():
        if order_id not in account.waiting:
            for one in returns:
                events += _release(account, one, programs)
    return events


def _release(account: Account, waiting: WaitingReturn, programs: Timeline) -> list[AccountEvent]:
    """Decide on a return whose order came, or had come, from the other account; before it, settle
    to its moment: it waited where time had gone further."""
    events = decide_tick(account, waiting.at, programs)
    released = release(account, waiting, programs)
    evolve(account, released)
    return [*events, released]


def _receive(draft: Draft, ended: Account, shift: int, context: Context) -> tuple[MovedLot, ...]:
    """Open the lots and put into them what they held; what is due here already activates."""
    lots, at, now = [], context.at, context.now
    for number, lot in sorted(ended.holdings.lots.items()):
        moved = MovedLot(
            number + shift,
            lot.granted,
            lot.granted_at,
            lot.activates_at,
            lot.expires_at,
            lot.source,
            lot.terms,
        )
        lots.append(moved)
        draft.held.receive(moved)
        for name, points, since in (
            ("pending", lot.pending, lot.granted_at),
            ("available", lot.available, lot.activates_at),
            ("reserved", lot.reserved, lot.activates_at),
        ):
            if points:
                due = name == "available" and lot.activates_at > now
                target = "pending" if due else name
                draft.move("transferred", target, points, moved.lot, max(at, since))
        if draft.held.lots[moved.lot].pending and lot.activates_at <= now:
            if waits(lot):
                draft.revoke_waiting(moved.lot)
            else:
                draft.activate(moved.lot)
    return tuple(lots)
