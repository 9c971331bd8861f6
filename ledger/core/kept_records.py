"""The account's records in the form in which a merge writes them into the log.

The log is for ever, the account's own records are not: what is written has named fields of its own,
each of which may get company with a default, and never goes or changes. A record that gets a field
does not convert until its form here has it too.
"""

from typing import Any, TypeVar

from msgspec import Struct

from ledger.core.lots import Lot
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
from schemas.decisions import BudgetShare, Cause, CodeUse, LineShare, Terms
from schemas.fields import Instant
from schemas.inputs import ReturnData

T = TypeVar("T", bound=Struct)


class KeptAward(Struct, frozen=True, omit_defaults=True):
    """See `OrderAward`."""

    index: int
    points: int
    lot: int
    shares: tuple[LineShare, ...]
    counters: tuple[str, ...] = ()
    counts_for_tier: bool = False
    referee: bool = False
    gone: int = 0
    budget: BudgetShare | None = None
    let_go: int = 0


class KeptOrder(Struct, frozen=True, omit_defaults=True):
    """See `Order`."""

    order_id: str
    at: Instant
    month: Instant
    returnable_until: Instant
    line_ids: tuple[str, ...]
    amounts: tuple[int, ...]
    awards_recorded: int
    awards: tuple[KeptAward, ...] = ()
    redemption_id: str | None = None
    returned: tuple[int, ...] = ()
    whole: tuple[bool, ...] = ()
    codes: tuple[CodeUse, ...] = ()


class KeptReservation(Struct, frozen=True, omit_defaults=True):
    """See `Reservation`."""

    lapses_at: Instant
    draws: tuple[tuple[int, int], ...]
    counter: str | None = None


class KeptLot(Struct, frozen=True, omit_defaults=True):
    """A lot that was drawn on, see `Lot`; it is told emptied."""

    number: int
    granted: int
    granted_at: Instant
    activates_at: Instant
    expires_at: Instant | None
    source: str = ""
    terms: Terms | None = None


class KeptDraw(Struct, frozen=True):
    """Points that a redemption drew from a lot."""

    lot: KeptLot
    points: int


class KeptRedemption(Struct, frozen=True, omit_defaults=True):
    """See `Redemption`."""

    returnable_until: Instant
    draws: tuple[KeptDraw, ...]
    order_id: str | None = None
    restored: int = 0


class KeptReward(Struct, frozen=True, omit_defaults=True):
    """See `Reward`."""

    returnable_until: Instant
    points: int
    lot: int
    gone: int = 0
    counter: str = ""


class KeptWelcome(Struct, frozen=True):
    """See `Welcome`."""

    level: str
    at: Instant
    points: int
    lot: int


class KeptReturn(Struct, frozen=True, omit_defaults=True):
    """See `WaitingReturn`."""

    returned: ReturnData
    at: Instant
    deadline: Instant
    cause: Cause | None
    addressed: str


class KeptReferral(Struct, frozen=True, omit_defaults=True):
    """See `Referral`."""

    referrer_id: str
    at: Instant
    status: str
    order_id: str | None = None
    referee_id: str | None = None
    shared: tuple[tuple[str, int], ...] = ()


class KeptPurchase(Struct, frozen=True):
    """See `FirstPurchase`."""

    order_id: str
    at: Instant
    amount: int


def told(form: type[T], record: Struct, **changed: Any) -> T:
    """The record in that form, which has all its fields."""
    return form(**{name: getattr(record, name) for name in record.__struct_fields__} | changed)


def told_order(order: Order, shift: int, redemption_id: str | None) -> KeptOrder:
    """An order whose lots' numbers are raised by `shift`."""
    awards = tuple(
        told(KeptAward, award, lot=award.lot + shift if award.lot else award.lot)
        for award in order.awards
    )
    return told(KeptOrder, order, awards=awards, redemption_id=redemption_id)


def told_redemption(redemption: Redemption, shift: int) -> KeptRedemption:
    """A redemption whose lots' numbers are raised by `shift`."""
    draws = tuple(
        KeptDraw(
            KeptLot(
                lot.number + shift,
                lot.granted,
                lot.granted_at,
                lot.activates_at,
                lot.expires_at,
                lot.source,
                lot.terms,
            ),
            points,
        )
        for lot, points in redemption.draws
    )
    return told(KeptRedemption, redemption, draws=draws)


def order_of(kept: KeptOrder) -> Order:
    """The account's record."""
    return told(Order, kept, awards=tuple(told(OrderAward, award) for award in kept.awards))


def redemption_of(kept: KeptRedemption) -> Redemption:
    """The account's record."""
    draws = tuple((told(Lot, draw.lot), draw.points) for draw in kept.draws)
    return told(Redemption, kept, draws=draws)


def reservation_of(kept: KeptReservation) -> Reservation:
    """The account's record."""
    return told(Reservation, kept)


def reward_of(kept: KeptReward) -> Reward:
    """The account's record."""
    return told(Reward, kept)


def return_of(kept: KeptReturn) -> WaitingReturn:
    """The account's record."""
    return told(WaitingReturn, kept)


def referral_of(kept: KeptReferral) -> Referral:
    """The account's record."""
    return told(Referral, kept)


def first_purchase_of(kept: KeptPurchase) -> FirstPurchase:
    """The account's record."""
    return told(FirstPurchase, kept)
