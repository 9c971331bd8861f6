"""Folding: how an event of the log changes the account that it belongs to.

A pure function of event and state: no program, no rule and no clock is asked here, so the log alone
gives the same account for ever. The invariants that one event can break are checked with it; a full
recount is made now and then.
"""

from collections.abc import Callable
from typing import Any

from ledger.core import fold_orders, fold_others, fold_pairs, fold_standing
from ledger.core.account import Account, check_invariants
from ledger.core.errors import InvariantBroken
from ledger.core.grants import WELCOME_MARK
from ledger.core.keep import forget
from schemas.decisions import (
    AccountAbsorbed,
    AccountClosed,
    AccountEvent,
    AccountFrozen,
    AccountMerged,
    AccountSettled,
    AccountUnfrozen,
    ActivityRewarded,
    MemberErased,
    MemberProfiled,
    PointsAdjusted,
    PointsDonated,
    PointsReceived,
    PointsRedeemed,
    PointsReserved,
    PointsSent,
    PurchaseReturned,
    PurchaseRewarded,
    ReferralAccepted,
    ReservationCancelled,
    ReservationConfirmed,
    ReturnWaiting,
    RewardClaimed,
    RewardReceived,
    RewardTakenBack,
    SurveyRewarded,
    TierChange,
    TierOverridden,
)

RECOUNT_EVERY = 256
"""Events between two full recounts: dear enough to be rare, cheap enough to be left on."""


def evolve(account: Account, event: AccountEvent) -> None:
    """Apply a recorded decision. Raises InvariantBroken (1 to 5, 10)."""
    postings, applied = event.postings, 0
    if len(postings) % 2:
        raise InvariantBroken(1, f"a posting of a {type(event).__name__} has no other side")
    before = _BEFORE.get(type(event))
    if before is not None:
        applied = before(account, event)
    held = account.holdings
    if len(postings) > applied:
        _post(account, event, applied)
    if held.debt and held.available:
        raise InvariantBroken(2, f"a debt of {held.debt} beside {held.available} available")
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


def _post(account: Account, event: AccountEvent, applied: int) -> None:
    """Apply the postings but for the first `applied`, pair by pair: each entry has two sides."""
    held, postings = account.holdings, event.postings
    granted = held.granted
    lots = set()
    for place in range(applied, len(postings), 2):
        source, target = postings[place], postings[place + 1]
        points, lot = target.points, target.lot
        if source.points + points:
            raise InvariantBroken(
                1, f"two sides of a {type(event).__name__} sum to {source.points + points}"
            )
        lots.add(lot)
        if source.lot == lot:
            held.move(source.account, target.account, points, lot)
            if target.account == "expired" or (
                target.account == "revoked"
                and source.account == "pending"
                and type(event) not in _TAKING_BACK
                and held.lots[lot].terms is not None
            ):
                _expired(account, lot, points)
        else:
            lots.add(source.lot)
            held.post(source.account, -points, source.lot)
            held.post(target.account, points, lot)
    if held.granted != granted:
        raise InvariantBroken(4, f"a {type(event).__name__} issues other points than it awards")
    held.drop_empty(lots)


def _expired(account: Account, lot: int, points: int) -> None:
    """Remember what expired of a lot that a return can still ask for."""
    source = account.holdings.lots[lot].source
    if source and (
        source in account.orders or source in account.rewards or source[0] == WELCOME_MARK
    ):
        unspent = account.expired_unspent
        unspent[lot] = unspent.get(lot, 0) + points


def _change_tier(account: Account, changes: tuple[TierChange, ...]) -> None:
    first = changes[0].at
    account.tiers = tuple(change for change in account.tiers if change[0] < first) + tuple(
        (change.at, change.to) for change in changes
    )


_TAKING_BACK = (PurchaseReturned, RewardTakenBack)
"""Events that revoke points because what earned them is gone. What others revoke of points that
waited for an event counts like what expired unspent."""

_Before = Callable[[Account, Any], int]
_After = Callable[[Account, Any], None]
_BEFORE: dict[type, _Before] = {
    AccountSettled: fold_others.before_settling,
    PurchaseRewarded: fold_orders.fold_purchase,
    PurchaseReturned: fold_orders.before_return,
    ReferralAccepted: fold_others.open_referral,
    SurveyRewarded: fold_others.open_survey,
    ActivityRewarded: fold_others.open_activity,
    RewardReceived: fold_others.open_reward,
    TierOverridden: fold_others.open_welcome,
    ReservationConfirmed: fold_others.before_confirming,
    ReservationCancelled: fold_others.before_cancelling,
    PointsReceived: fold_pairs.before_receiving,
    AccountAbsorbed: fold_pairs.before_absorbing,
    PointsRedeemed: fold_others.before_redeeming,
    PointsAdjusted: fold_others.open_adjustment,
}
"""What comes before the postings: what they need, and the grants. Each says how many of the first
postings it has applied itself."""

_AFTER: dict[type, _After] = {
    AccountSettled: fold_others.fold_settled,
    PurchaseReturned: fold_orders.fold_return,
    ReturnWaiting: fold_orders.fold_waiting,
    ReferralAccepted: fold_others.fold_referral,
    SurveyRewarded: fold_others.fold_survey,
    ActivityRewarded: fold_others.fold_activity,
    RewardTakenBack: fold_others.fold_reward_taken,
    PointsReserved: fold_others.fold_reserved,
    ReservationConfirmed: fold_others.fold_confirmed,
    ReservationCancelled: fold_others.fold_cancelled,
    PointsRedeemed: fold_others.fold_spent,
    PointsDonated: fold_others.fold_spent,
    RewardClaimed: fold_others.fold_spent,
    TierOverridden: fold_others.fold_override,
    MemberProfiled: fold_others.fold_profile,
    MemberErased: fold_others.fold_erased,
    AccountFrozen: fold_standing.fold_frozen,
    AccountUnfrozen: fold_standing.fold_unfrozen,
    AccountClosed: fold_standing.fold_closed,
    PointsSent: fold_pairs.fold_sent,
    AccountMerged: fold_pairs.fold_merged,
}
