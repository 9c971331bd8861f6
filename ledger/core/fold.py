"""Folding: how an event of the log changes the account that it belongs to.

A pure function of event and state: no program, no rule and no clock is asked here, so the log alone
gives the same account for ever. The invariants that one event can break are checked with it; a full
recount is made now and then.
"""

from collections.abc import Callable
from typing import Any

from ledger.core import fold_orders, fold_others
from ledger.core.account import Account, check_invariants
from ledger.core.errors import InvariantBroken
from ledger.core.keep import forget
from schemas.decisions import (
    NO_LOT,
    AccountEvent,
    AccountSettled,
    MemberErased,
    MemberProfiled,
    PointsReserved,
    PurchaseReturned,
    PurchaseRewarded,
    ReferralAccepted,
    ReservationCancelled,
    ReservationConfirmed,
    ReturnWaiting,
    RewardReceived,
    RewardTakenBack,
    SurveyRewarded,
    TierChange,
)

RECOUNT_EVERY = 256
"""Events between two full recounts: dear enough to be rare, cheap enough to be left on."""


def evolve(account: Account, event: AccountEvent) -> None:
    """Apply a recorded decision. Raises InvariantBroken (1 to 5, 10)."""
    before = _BEFORE.get(type(event))
    if before is not None:
        before(account, event)
    if event.postings:
        _post(account, event)
    after = _AFTER.get(type(event))
    if after is not None:
        after(account, event)
    if event.tier_changes:
        _change_tier(account, event.tier_changes)
    if event.occurred_at > account.settled_to:
        account.settled_to = event.occurred_at
    account.version += 1
    forget(account)
    if account.version % RECOUNT_EVERY == 0:
        check_invariants(account)


def _post(account: Account, event: AccountEvent) -> None:
    held = account.holdings
    total, granted = 0, held.granted
    lots = set()
    for posting in event.postings:
        points, lot = posting.points, posting.lot
        total += points
        held.post(posting.account, points, lot)
        if lot != NO_LOT:
            lots.add(lot)
            if posting.account == "expired":
                source = held.lots[lot].source
                if source and (source in account.orders or source in account.rewards):
                    unspent = account.expired_unspent
                    unspent[lot] = unspent.get(lot, 0) + points
    if total:
        raise InvariantBroken(1, f"the postings of a {type(event).__name__} sum to {total}")
    if held.granted != granted and held.granted - granted != _awarded(event):
        raise InvariantBroken(4, f"a {type(event).__name__} issues other points than it awards")
    if held.debt and held.available:
        raise InvariantBroken(2, f"a debt of {held.debt} beside {held.available} available")
    held.drop_empty(lots)


def _awarded(event: AccountEvent) -> int:
    return sum(award.points for award in getattr(event, "awards", ()))


def _change_tier(account: Account, changes: tuple[TierChange, ...]) -> None:
    first = changes[0].at
    account.tiers = tuple(change for change in account.tiers if change[0] < first) + tuple(
        (change.at, change.to) for change in changes
    )


_Step = Callable[[Account, Any], None]
_BEFORE: dict[type, _Step] = {
    AccountSettled: fold_others.before_settling,
    PurchaseRewarded: fold_orders.open_purchase,
    PurchaseReturned: fold_orders.before_return,
    ReferralAccepted: fold_others.open_referral,
    SurveyRewarded: fold_others.open_survey,
    RewardReceived: fold_others.open_reward,
    ReservationConfirmed: fold_others.before_confirming,
    ReservationCancelled: fold_others.before_cancelling,
}
"""What must be there before the postings can be applied."""

_AFTER: dict[type, _Step] = {
    AccountSettled: fold_others.fold_settled,
    PurchaseRewarded: fold_orders.fold_purchase,
    PurchaseReturned: fold_orders.fold_return,
    ReturnWaiting: fold_orders.fold_waiting,
    ReferralAccepted: fold_others.fold_referral,
    SurveyRewarded: fold_others.fold_survey,
    RewardTakenBack: fold_others.fold_reward_taken,
    PointsReserved: fold_others.fold_reserved,
    ReservationConfirmed: fold_others.fold_confirmed,
    ReservationCancelled: fold_others.fold_cancelled,
    MemberProfiled: fold_others.fold_profile,
    MemberErased: fold_others.fold_erased,
}
