"""Folding purchases and returns: the order's record, what counts for tiers, what has come back."""

from msgspec.structs import replace

from ledger.core.account import Account
from ledger.core.errors import InvariantBroken
from ledger.core.fold_counts import count, expire_at, give_back, grant, use
from ledger.core.names import known_name
from ledger.core.promo_codes import counter_of
from ledger.core.records import (
    FirstPurchase,
    Order,
    OrderAward,
    WaitingReturn,
    award_fields,
    pack_purchase,
)
from schemas.decisions import Award, Clawback, PurchaseReturned, PurchaseRewarded, ReturnWaiting


def order_awards(awards: tuple[Award, ...], first: int) -> tuple[OrderAward, ...]:
    """The records of those awards that have points; `first`: the index of the first."""
    return tuple([OrderAward(*fields) for fields in award_fields(awards, first)])


def fold_purchase(account: Account, event: PurchaseRewarded) -> int:
    """Remember the order, grant its awards, and count it: tier amounts, limits, the referral, the
    redemption that it names. Returns how many postings the grants were."""
    purchase, at, awards = event.purchase, event.occurred_at, event.awards
    if purchase.order_id in account.orders:
        raise InvariantBroken(5, f"order {purchase.order_id} was applied before")
    amounts = tuple([line.amount for line in purchase.lines])
    if event.idle:
        account.holdings.move_on(event.idle)
    paid = purchase.redemption_id
    if paid is not None:
        paid = known_name(account, paid, event.addressed)
    account.orders[purchase.order_id] = pack_purchase(event, amounts, paid)
    granted = grant(account, awards, event.postings, purchase.order_id)
    amount = sum(amounts)
    points = sum([award.points for award in awards if award.counts_for_tier])
    count(account, event.month, amount, points, 1)
    use(account, awards, at)
    for used in event.codes:
        key = counter_of(used.series)
        account.used[key] = (0, account.used.get(key, (0, 0))[1] + 1)
    account.purchases += 1
    if account.first_purchase is None or at < account.first_purchase.at:
        account.first_purchase = FirstPurchase(purchase.order_id, at, amount)
    if event.referral is not None and account.referral is not None:
        order_id = purchase.order_id if event.referral == "qualified" else None
        account.referral = replace(account.referral, status=event.referral, order_id=order_id)
    if event.shared and account.referral is not None:
        shared = account.referral.shared + event.shared
        account.referral = replace(account.referral, shared=shared)
    # Returns that waited for this purchase are decided by the events that follow it.
    account.waiting.pop(purchase.order_id, None)
    if paid is not None:
        _name_order(account, event, paid)
    return granted


def _name_order(account: Account, event: PurchaseRewarded, redemption_id: str) -> None:
    """A redemption that has no order yet paid for this one."""
    spent = account.redemptions.get(redemption_id)
    if spent is not None and spent.order_id is None:
        account.redemptions[redemption_id] = replace(
            spent,
            order_id=event.purchase.order_id,
            returnable_until=max(spent.returnable_until, event.returnable_until),
        )


def _take_back(account: Account, order: Order, clawbacks: tuple[Clawback, ...]) -> Order:
    gone = {award.index: award.gone for award in order.awards}
    let_go = {award.index: award.let_go for award in order.awards}
    lots = {award.index: award.lot for award in order.awards}
    for clawback in clawbacks:
        gone[clawback.award] += clawback.points
        let_go[clawback.award] += clawback.let_go
        if clawback.expired:
            set_against(account, lots[clawback.award], clawback.expired)
    for award in order.awards:
        if gone[award.index] > award.points:
            raise InvariantBroken(
                10, f"order {order.order_id} would lose more than award {award.index} granted"
            )
    awards = [
        replace(award, gone=gone[award.index], let_go=let_go[award.index]) for award in order.awards
    ]
    return replace(order, awards=tuple(awards))


def set_against(account: Account, lot: int, points: int) -> None:
    """Points of a lot that expired unspent were set against a clawback."""
    left = account.expired_unspent[lot] - points
    if left < 0:
        raise InvariantBroken(10, f"more of lot {lot} counts as expired than expired")
    if left:
        account.expired_unspent[lot] = left
    else:
        del account.expired_unspent[lot]


def before_return(account: Account, event: PurchaseReturned) -> int:
    """Lots that were spent to nothing live again before points are posted back to them."""
    restored = {p.lot for p in event.postings if p.account == "redeemed"}
    if restored:
        order = _order(account, event.returned.order_id)
        names = redemptions_of(account, order)
        if not names:
            raise InvariantBroken(10, f"order {order.order_id} was not paid with points")
        for name in names:
            for lot, _ in account.redemptions[name].draws:
                if lot.number in restored:
                    account.holdings.reopen(lot)
    expire_at(account, event.lot_expiries)
    return 0


def _order(account: Account, order_id: str) -> Order:
    order = account.order(order_id)
    if order is None:
        raise InvariantBroken(10, f"order {order_id} is returned and was not bought")
    return order


def redemptions_of(account: Account, order: Order) -> list[str]:
    """The ids of the redemptions that paid for the order: first the one that it names."""
    order_id, named = order.order_id, order.redemption_id
    found = [name for name, spent in account.redemptions.items() if spent.order_id == order_id]
    if len(found) > 1 and named in found:
        found.remove(named)
        found.insert(0, named)
    return found


def fold_return(account: Account, event: PurchaseReturned) -> None:
    """Take what came back off the order, the tier amounts and the limits."""
    order_id = event.returned.order_id
    order = _order(account, order_id)
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
    account.keep(order)
    count(account, order.month, -amount, -points, -int(order.wholly_returned and not was_whole))
    give_back(account, event.counters)
    if event.referral is not None:
        _end_referrals(account, order_id, event.referral)
    for taken in event.welcomes:
        (welcome,) = (one for one in account.welcomes if one.level == taken.level)
        account.welcomes = tuple(one for one in account.welcomes if one is not welcome)
        if taken.expired:
            set_against(account, welcome.lot, taken.expired)
    restored = -sum(p.points for p in event.postings if p.account == "redeemed")
    if restored:
        alone = ((redemptions_of(account, order)[0], restored),)
        each = event.restored or alone
        if sum([points for _, points in each]) != restored:
            raise InvariantBroken(10, f"redemptions get back other than {restored} points")
        for name, points in each:
            _restored(account, name, points, event)


def _end_referrals(account: Account, order_id: str, status: str) -> None:
    own = account.referral
    if own is not None and own.status == "qualified" and own.order_id == order_id:
        account.referral = replace(own, status=status)
    if account.other_referrals:
        left = tuple(one for one in account.other_referrals if one.order_id != order_id)
        account.other_referrals = left


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


def fold_waiting(account: Account, event: ReturnWaiting) -> None:
    """Remember a return until its purchase comes."""
    order_id = event.returned.order_id
    waiting = WaitingReturn(
        event.returned, event.occurred_at, event.deadline, event.cause, event.addressed
    )
    account.waiting[order_id] = (*account.waiting.get(order_id, ()), waiting)
