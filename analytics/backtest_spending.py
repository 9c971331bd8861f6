"""Spending as it happened: what a member took out, out of what another program would have given.

The amount is the recorded one, where the balance allows it, else as much as there is; what is
missing is the shortfall. No limit of spending is asked again (minimum, share of the basket, day):
the till has taken the points, and what was refused stays refused. A shortfall counts where points
would have left the account, not where they are only held.
"""

from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from audit.recorded_inputs import input_of
from ledger.core.account import Account
from ledger.core.adjustments import decide_adjust
from ledger.core.context import NO_FACTS, Context
from ledger.core.postings import Draft
from ledger.core.program.timeline import Timeline
from ledger.core.restoring import paid_with, restore_spent
from ledger.core.spending import decide_cancel, decide_confirm
from schemas import inputs
from schemas.decisions import (
    AccountEvent,
    MovedLot,
    PointsAdjusted,
    PointsDonated,
    PointsRedeemed,
    PointsReserved,
    PointsSent,
    ReservationCancelled,
    ReservationConfirmed,
    RewardClaimed,
)

T = TypeVar("T", bound=inputs.InputEvent)

SPENDING = (
    PointsReserved,
    ReservationConfirmed,
    ReservationCancelled,
    PointsRedeemed,
    PointsDonated,
    RewardClaimed,
    PointsSent,
)
"""Events that are applied with the points that they recorded."""

KEPT_REFUSED = frozenset(
    kind.__struct_config__.tag
    for kind in (
        inputs.PointsReserve,
        inputs.ReservationConfirm,
        inputs.ReservationCancel,
        inputs.PointsRedeem,
        inputs.PointsDonate,
        inputs.RewardClaim,
        inputs.PointsTransfer,
        inputs.AccountMerge,
        inputs.PointsAdjust,
    )
)
"""Inputs of which a refusal stays one: what was not spent then is not spent now."""


class Spent(NamedTuple):
    """What a recorded spending comes to: the event, if anything is left of it, and the points that
    were spent then and are not there."""

    event: AccountEvent | None
    shortfall: int = 0


def spend(account: Account, stored: AccountEvent, programs: Timeline) -> Spent:
    """Apply a recorded spending to `account`, which is settled to its moment and is not changed."""
    at = stored.occurred_at
    context = Context.of(
        account, at, programs.at(at), programs, stored.cause, NO_FACTS, stored.addressed
    )
    match stored:
        case ReservationConfirmed():
            return _confirm(context, stored)
        case ReservationCancelled():
            if stored.reservation_id not in account.reservations:
                return Spent(None)
            return Spent(decide_cancel(context, _asked(stored, account, inputs.ReservationCancel)))
        case PointsAdjusted():
            return _taken(context, stored)
    assert isinstance(
        stored, PointsReserved | PointsRedeemed | PointsDonated | RewardClaimed | PointsSent
    ), "everything else is no spending"
    points = min(stored.points, _available(account))
    held = isinstance(stored, PointsReserved)
    shortfall = 0 if held else stored.points - points
    if not points:
        return Spent(None, shortfall)
    draft = Draft(account.holdings)
    more: dict[str, Any] = {}
    match stored:
        case PointsReserved():
            draft.reserve(points, at)
        case PointsSent():
            more["lots"] = tuple(
                MovedLot(lot.number, part, lot.granted_at, lot.activates_at, lot.expires_at)
                for lot, part in draft.send(points, at)
            )
        case PointsRedeemed():
            draft.draw("redeemed", points, at)
            spent = [(p.lot, p.points) for p in draft.postings if p.account == "redeemed"]
            name = stored.redemption_id
            restore_spent(context, stored.order_id or paid_with(account, name), draft, spent)
            more["returnable_until"] = context.returnable_until
        case _:
            draft.draw("redeemed", points, at)
    event = replace(
        stored,
        program=context.program.version,
        late_by=context.late_by,
        postings=tuple(draft.postings),
        points=points,
        **more,
    )
    return Spent(event, shortfall)


def _available(account: Account) -> int:
    return max(0, account.holdings.available - account.holdings.debt)


def _confirm(context: Context, stored: ReservationConfirmed) -> Spent:
    reservation = context.account.reservations.get(stored.reservation_id)
    if reservation is None:
        return Spent(None, stored.points)
    points = min(stored.points, sum(held for _, held in reservation.draws))
    stored_so = replace(stored, points=points)
    asked = _asked(stored_so, context.account, inputs.ReservationConfirm)
    return Spent(decide_confirm(context, asked), stored.points - points)


def _taken(context: Context, stored: PointsAdjusted) -> Spent:
    """Points taken by hand, down to zero; below it where the command allowed that."""
    points = stored.points
    if points < 0 and not stored.allow_debt:
        points = -min(-points, _available(context.account))
    if not points:
        return Spent(None, -stored.points)
    asked = _asked(replace(stored, points=points), context.account, inputs.PointsAdjust)
    return Spent(decide_adjust(context, asked), points - stored.points)


def _asked(stored: AccountEvent, account: Account, kind: type[T]) -> T:
    """The command that led to a recorded event."""
    found = input_of(stored, account.member_id)
    assert found is not None, "a command led to it"
    assert isinstance(found.event, kind), "and it is this one"
    return found.event
