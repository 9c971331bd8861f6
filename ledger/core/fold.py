"""Folding: how an event of the log changes the account that it belongs to.

A pure function of event and state: no program, no rule and no clock is asked here, so the log alone
gives the same account for ever. The invariants that one event can break are checked with it; a full
recount is made every `RECOUNT_EVERY` events.
"""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from ledger.core.account import Account, check_invariants
from ledger.core.errors import InvariantBroken
from ledger.core.keep import LIFETIME, forget
from ledger.core.records import (
    FirstPurchase,
    Order,
    OrderAward,
    Redemption,
    Referral,
    Reservation,
    Reward,
    WaitingReturn,
)
from schemas.decisions import (
    NO_LOT,
    AccountEvent,
    AccountSettled,
    Award,
    Clawback,
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
from schemas.fields import Instant

RECOUNT_EVERY = 256
"""Events between two full recounts: dear enough to be rare, cheap enough to be left on."""


def evolve(account: Account, event: AccountEvent) -> None:
    """Apply a recorded decision. Raises InvariantBroken (1, 2, 3, 10)."""
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
    total = 0
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
    if held.debt and held.available:
        raise InvariantBroken(2, f"a debt of {held.debt} beside {held.available} available")
    held.drop_empty(lots)


def _change_tier(account: Account, changes: tuple[TierChange, ...]) -> None:
    first = changes[0].at
    account.tiers = tuple(change for change in account.tiers if change[0] < first) + tuple(
        (change.at, change.to) for change in changes
    )


def _count(account: Account, month: Instant, amount: int, points: int, purchases: int) -> None:
    old = account.months.get(month, (0, 0, 0))
    account.months[month] = (old[0] + amount, old[1] + points, old[2] + purchases)
    all_time = account.lifetime
    account.lifetime = (all_time[0] + amount, all_time[1] + points, all_time[2] + purchases)


def _use(account: Account, awards: Iterable[Award], at: Instant) -> None:
    for award in awards:
        for key in award.counters:
            points, times = account.used.get(key, (0, 0))
            account.used[key] = (points + award.points, times + 1)
            if not key.endswith(LIFETIME):
                account.used_at.pop(key, None)
                account.used_at[key] = at


def _give_back(account: Account, counters: tuple[tuple[str, int, int], ...]) -> None:
    for key, points, times in counters:
        if key in account.used:  # else its window is long over
            had_points, had_times = account.used[key]
            account.used[key] = (had_points - points, had_times - times)


def _expire_at(account: Account, expiries: tuple[tuple[int, Instant | None], ...]) -> None:
    for lot, expires_at in expiries:
        account.holdings.set_expiry(lot, expires_at)


def _order_awards(awards: tuple[Award, ...], first: int) -> tuple[OrderAward, ...]:
    return tuple(
        [
            OrderAward(
                index,
                award.points,
                award.lot,
                award.lines,
                award.counters,
                award.counts_for_tier,
                award.kind == "referee",
            )
            for index, award in enumerate(awards, first)
            if award.points
        ]
    )


# --- purchases and returns --------------------------------------------------------------------


def _open_purchase(account: Account, event: PurchaseRewarded) -> None:
    purchase = event.purchase
    account.orders[purchase.order_id] = Order(
        purchase.order_id,
        event.occurred_at,
        event.month,
        event.returnable_until,
        tuple([line.line_id for line in purchase.lines]),
        tuple([line.amount for line in purchase.lines]),
        len(event.awards),
        _order_awards(event.awards, 0),
        purchase.redemption_id,
    )
    account.holdings.open_lots(event.awards, purchase.order_id)


def _purchase(account: Account, event: PurchaseRewarded) -> None:
    purchase, at = event.purchase, event.occurred_at
    amount = sum([line.amount for line in purchase.lines])
    points = sum([award.points for award in event.awards if award.counts_for_tier])
    _count(account, event.month, amount, points, 1)
    _use(account, event.awards, at)
    account.purchases += 1
    if account.first_purchase is None or at < account.first_purchase.at:
        account.first_purchase = FirstPurchase(purchase.order_id, at, amount)
    if event.referral is not None and account.referral is not None:
        order_id = purchase.order_id if event.referral == "qualified" else None
        account.referral = replace(account.referral, status=event.referral, order_id=order_id)
    # Returns that waited for this purchase are decided by the events that follow it.
    account.waiting.pop(purchase.order_id, None)
    spent = account.redemptions.get(purchase.redemption_id or "")
    if spent is not None and spent.order_id is None:
        account.redemptions[purchase.redemption_id or ""] = replace(
            spent,
            order_id=purchase.order_id,
            returnable_until=max(spent.returnable_until, event.returnable_until),
        )


def _take_back(account: Account, order: Order, clawbacks: tuple[Clawback, ...]) -> Order:
    gone = {award.index: award.gone for award in order.awards}
    lots = {award.index: award.lot for award in order.awards}
    for clawback in clawbacks:
        gone[clawback.award] += clawback.points
        if clawback.expired:
            _set_against(account, lots[clawback.award], clawback.expired)
    for award in order.awards:
        if gone[award.index] > award.points:
            raise InvariantBroken(
                10, f"order {order.order_id} would lose more than award {award.index} granted"
            )
    return replace(
        order,
        awards=tuple(replace(award, gone=gone[award.index]) for award in order.awards),
    )


def _set_against(account: Account, lot: int, points: int) -> None:
    left = account.expired_unspent[lot] - points
    if left < 0:
        raise InvariantBroken(10, f"more of lot {lot} counts as expired than expired")
    if left:
        account.expired_unspent[lot] = left
    else:
        del account.expired_unspent[lot]


def _reopen_restored(account: Account, event: PurchaseReturned) -> None:
    """Lots that were spent to nothing live again before points are posted back to them."""
    restored = {p.lot for p in event.postings if p.account == "redeemed"}
    if restored:
        spent = account.redemptions[_redemption_of(account, event.returned.order_id)]
        for lot, _ in spent.draws:
            if lot.number in restored:
                account.holdings.reopen(lot)
    _expire_at(account, event.lot_expiries)


def _redemption_of(account: Account, order_id: str) -> str:
    found = redemption_of(account, account.orders[order_id])
    if found is None:
        raise InvariantBroken(10, f"order {order_id} was not paid with points")
    return found


def redemption_of(account: Account, order: Order) -> str | None:
    """The id of the redemption that paid for the order, if one did."""
    named = account.redemptions.get(order.redemption_id or "")
    if named is not None and named.order_id == order.order_id:
        return order.redemption_id
    for redemption_id, spent in account.redemptions.items():
        if spent.order_id == order.order_id:
            return redemption_id
    return None


def _return(account: Account, event: PurchaseReturned) -> None:
    order_id = event.returned.order_id
    order = account.orders[order_id]
    was_whole = order.wholly_returned
    returned = list(order.returned or [0] * len(order.amounts))
    whole = list(order.whole or [False] * len(order.amounts))
    amount = 0
    for line in event.lines:
        amount += line.amount
        returned[line.line] += line.amount
        if returned[line.line] > order.amounts[line.line]:
            raise InvariantBroken(10, f"more of order {order_id} returned than was bought")
        whole[line.line] = returned[line.line] == order.amounts[line.line]
    counting = {award.index for award in order.awards if award.counts_for_tier}
    points = sum(c.points for c in event.clawbacks if c.award in counting)
    order = replace(
        _take_back(account, order, event.clawbacks), returned=tuple(returned), whole=tuple(whole)
    )
    account.orders[order_id] = order
    _count(account, order.month, -amount, -points, -int(order.wholly_returned and not was_whole))
    _give_back(account, event.counters)
    if event.referral is not None and account.referral is not None:
        account.referral = replace(account.referral, status=event.referral)
    restored = -sum(p.points for p in event.postings if p.account == "redeemed")
    if restored:
        _restored(account, _redemption_of(account, order_id), restored, event)


def _restored(account: Account, redemption_id: str, points: int, event: PurchaseReturned) -> None:
    spent = account.redemptions[redemption_id]
    if spent.restored + points > sum(drawn for _, drawn in spent.draws):
        raise InvariantBroken(10, f"redemption {redemption_id} restored more than was spent")
    expiries = dict(event.lot_expiries)
    account.redemptions[redemption_id] = replace(
        spent,
        restored=spent.restored + points,
        draws=tuple(
            (replace(lot, expires_at=expiries.get(lot.number, lot.expires_at)), drawn)
            for lot, drawn in spent.draws
        ),
    )


def _wait(account: Account, event: ReturnWaiting) -> None:
    order_id = event.returned.order_id
    waiting = WaitingReturn(event.returned, event.occurred_at, event.deadline, event.cause)
    account.waiting[order_id] = (*account.waiting.get(order_id, ()), waiting)


# --- time -------------------------------------------------------------------------------------


def _before_settling(account: Account, event: AccountSettled) -> None:
    _expire_at(account, event.lot_expiries)


def _settle(account: Account, event: AccountSettled) -> None:
    for reservation_id in event.lapsed:
        del account.reservations[reservation_id]
    if event.refused_returns:
        refused = set(event.refused_returns)
        for order_id, waiting in list(account.waiting.items()):
            left = tuple(w for w in waiting if w.returned.return_id not in refused)
            if left:
                account.waiting[order_id] = left
            else:
                del account.waiting[order_id]


# --- surveys, referrals, rewards --------------------------------------------------------------


def _open_survey(account: Account, event: SurveyRewarded) -> None:
    account.holdings.open_lots(event.awards, "")


def _survey(account: Account, event: SurveyRewarded) -> None:
    account.surveys |= {event.survey_id}
    _use(account, event.awards, event.occurred_at)


def _open_referral(account: Account, event: ReferralAccepted) -> None:
    account.holdings.open_lots(event.awards, event.order_id or "")
    order = account.orders.get(event.order_id or "")
    if order is not None:
        account.orders[order.order_id] = replace(
            order,
            awards=order.awards + _order_awards(event.awards, order.awards_recorded),
            awards_recorded=order.awards_recorded + len(event.awards),
        )


def _referral(account: Account, event: ReferralAccepted) -> None:
    account.referral = Referral(
        event.referrer_id,
        event.occurred_at,
        event.referral or "open",
        event.order_id if event.referral == "qualified" else None,
    )


def reward_source(referee_id: str, order_id: str) -> str:
    """The source of a referrer's lot; an order id has no slash, so the two never meet."""
    return f"{referee_id}/{order_id}"


def _open_reward(account: Account, event: RewardReceived) -> None:
    source = reward_source(event.referee_id, event.order_id)
    for award in event.awards:
        account.rewards[source] = Reward(event.returnable_until, award.points, award.lot)
    account.holdings.open_lots(event.awards, source)


def _reward_taken(account: Account, event: RewardTakenBack) -> None:
    reward = account.rewards.pop(reward_source(event.referee_id, event.order_id))
    if sum(c.points for c in event.clawbacks) > reward.points:
        raise InvariantBroken(10, "more than a referral's reward was taken back")
    account.expired_unspent.pop(reward.lot, None)


# --- spending ---------------------------------------------------------------------------------


def _reserve(account: Account, event: PointsReserved) -> None:
    draws = tuple((p.lot, p.points) for p in event.postings if p.account == "reserved")
    account.reservations[event.reservation_id] = Reservation(event.lapses_at, draws)


def _before_confirming(account: Account, event: ReservationConfirmed) -> None:
    lots = account.holdings.lots
    spent = [(p.lot, p.points) for p in event.postings if p.account == "redeemed"]
    draws = tuple(
        (replace(lots[lot], pending=0, available=0, reserved=0), points) for lot, points in spent
    )
    until, order_id = event.returnable_until, event.order_id
    for order in account.orders.values() if order_id is None else ():
        if order.redemption_id == event.reservation_id:
            order_id = order.order_id
    if order_id is not None and order_id in account.orders:
        until = max(until, account.orders[order_id].returnable_until)
    account.redemptions[event.reservation_id] = Redemption(until, draws, order_id)
    _expire_at(account, event.lot_expiries)


def _confirm(account: Account, event: ReservationConfirmed) -> None:
    del account.reservations[event.reservation_id]


def _before_cancelling(account: Account, event: ReservationCancelled) -> None:
    _expire_at(account, event.lot_expiries)


def _cancel(account: Account, event: ReservationCancelled) -> None:
    del account.reservations[event.reservation_id]


# --- members ----------------------------------------------------------------------------------


def _profile(account: Account, event: MemberProfiled) -> None:
    account.profile = dict(event.outcomes)


def _erase(account: Account, _event: MemberErased) -> None:
    account.status = "erased"
    account.profile = {}
    account.reservations = {}
    account.waiting = {}
    if account.referral is not None and account.referral.status == "open":
        account.referral = replace(account.referral, status="closed")


_Step = Callable[[Account, Any], None]
_BEFORE: dict[type, _Step] = {
    AccountSettled: _before_settling,
    PurchaseRewarded: _open_purchase,
    PurchaseReturned: _reopen_restored,
    ReferralAccepted: _open_referral,
    SurveyRewarded: _open_survey,
    RewardReceived: _open_reward,
    ReservationConfirmed: _before_confirming,
    ReservationCancelled: _before_cancelling,
}
"""What must be there before the postings can be applied."""

_AFTER: dict[type, _Step] = {
    AccountSettled: _settle,
    PurchaseRewarded: _purchase,
    PurchaseReturned: _return,
    ReturnWaiting: _wait,
    ReferralAccepted: _referral,
    SurveyRewarded: _survey,
    RewardTakenBack: _reward_taken,
    PointsReserved: _reserve,
    ReservationConfirmed: _confirm,
    ReservationCancelled: _cancel,
    MemberProfiled: _profile,
    MemberErased: _erase,
}
