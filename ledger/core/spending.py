"""Deciding on what pays for baskets: points held, then spent or given back; or spent at once.

Both ends of a reservation are final. Points are drawn soonest-expiring first. A reservation
remembers its lots, so what is given back goes to the same lots. None of the limits is met below
zero. What paid for an order that had come back is restored in the same decision.
"""

from ledger.core.account import Account
from ledger.core.calendar import SECOND_US, add
from ledger.core.context import Context, Refused
from ledger.core.names import known_name, own_name
from ledger.core.postings import Draft
from ledger.core.records import Reservation
from ledger.core.restoring import paid_with, restore_spent
from ledger.core.spending_limits import (
    asks_basket,
    check_amount,
    check_available,
    check_basket,
    day_counter,
)
from schemas.decisions import (
    PointsRedeemed,
    PointsReserved,
    ReservationCancelled,
    ReservationConfirmed,
)
from schemas.inputs import PointsRedeem, PointsReserve, ReservationCancel, ReservationConfirm


def decide_reserve(context: Context, event: PointsReserve) -> PointsReserved:
    """Hold points. Raises Refused."""
    account, program, data = context.account, context.program, event.data
    redemption, name = program.form.redemption, own_name(data.reservation_id, context.addressed)
    if name in account.reservations or name in account.redemptions:
        raise Refused("reservation_exists", f"there was a reservation {name} before")
    check_amount(context, data.points)
    check_basket(context, data.points, data.basket)
    check_available(context, data.points)
    counter = day_counter(context, data.points)
    lapses_at = (
        add(context.at, redemption.reservation_ttl, program.zone)
        if data.ttl_seconds is None
        else context.at + data.ttl_seconds * SECOND_US
    )
    if lapses_at <= account.settled_to:
        raise Refused("reservation_lapsed", "it arrived so late that it would have lapsed already")
    draft = Draft(account.holdings)
    draft.reserve(data.points, context.at)
    return PointsReserved(
        **context.head(),
        postings=tuple(draft.postings),
        reservation_id=name,
        points=data.points,
        lapses_at=lapses_at,
        basket=data.basket if asks_basket(redemption) else None,
        counter=counter,
    )


def decide_redeem(context: Context, event: PointsRedeem) -> PointsRedeemed:
    """Spend points at once: a reservation and its confirmation in one decision. Raises Refused."""
    account, data = context.account, event.data
    redemption = context.program.form.redemption
    name = own_name(data.redemption_id, context.addressed)
    if name in account.reservations or name in account.redemptions:
        raise Refused("redemption_exists", f"there was a redemption {name} before")
    check_amount(context, data.points)
    check_basket(context, data.points, data.basket, data.order_id)
    check_available(context, data.points)
    counter = day_counter(context, data.points)
    draft = Draft(account.holdings)
    draft.draw("redeemed", data.points, context.at)
    spent = [(p.lot, p.points) for p in draft.postings if p.account == "redeemed"]
    restore_spent(context, data.order_id or paid_with(account, name), draft, spent)
    return PointsRedeemed(
        **context.head(),
        postings=tuple(draft.postings),
        redemption_id=name,
        points=data.points,
        returnable_until=context.returnable_until,
        order_id=data.order_id,
        basket=data.basket if asks_basket(redemption) else None,
        counter=counter,
    )


def _open(account: Account, name: str) -> Reservation:
    reservation = account.reservations.get(name)
    if reservation is None:
        if name in account.redemptions:
            raise Refused("reservation_closed", f"reservation {name} was confirmed before")
        raise Refused(
            "unknown_reservation", f"reservation {name} is not there, or was cancelled or lapsed"
        )
    return reservation


def decide_confirm(context: Context, event: ReservationConfirm) -> ReservationConfirmed:
    """Spend a reservation, or the first `points` of it; the rest goes back. Raises Refused."""
    account, data = context.account, event.data
    name = known_name(account, data.reservation_id, context.addressed)
    reservation = _open(account, name)
    reserved = sum(points for _, points in reservation.draws)
    spent = reserved if data.points is None else data.points
    if spent > reserved:
        raise Refused("more_than_reserved", f"{reserved} points are reserved")
    draft = Draft(account.holdings)
    left, rest, paid = spent, [], []
    for number, points in reservation.draws:
        part = min(left, points)
        left -= part
        if part:
            at = max(context.at, draft.held.lots[number].activates_at)
            draft.move("reserved", "redeemed", part, number, at)
            paid.append((number, part))
        if points > part:
            rest.append((number, points - part))
    draft.give_back("reserved", rest, context.at, context.now, context.program)
    order_id = data.order_id or paid_with(account, name)
    restore_spent(context, order_id, draft, paid)
    draft.expire_due(context.now)
    return ReservationConfirmed(
        **context.head(),
        postings=tuple(draft.postings),
        reservation_id=name,
        points=spent,
        returnable_until=context.returnable_until,
        order_id=data.order_id,
        lot_expiries=draft.lot_expiries,
    )


def decide_cancel(context: Context, event: ReservationCancel) -> ReservationCancelled:
    """Give a reservation's points back to their lots. Raises Refused."""
    account, data = context.account, event.data
    name = known_name(account, data.reservation_id, context.addressed)
    reservation = _open(account, name)
    draft = Draft(account.holdings)
    draft.give_back("reserved", reservation.draws, context.at, context.now, context.program)
    draft.expire_due(context.now)
    return ReservationCancelled(
        **context.head(),
        postings=tuple(draft.postings),
        reservation_id=name,
        lot_expiries=draft.lot_expiries,
    )
