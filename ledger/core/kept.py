"""What an account remembers beside its points, on its way into another account.

It travels on the event of the account that stays, so that folding that account alone gives the same
again; lots are named by the numbers that they get there. Where both accounts know an id, the one
that stays keeps its own.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ledger.core.account import Account
from ledger.core.records import (
    FirstPurchase,
    Order,
    Redemption,
    Referral,
    Reservation,
    Reward,
    WaitingReturn,
    Welcome,
    pack,
    returnable_until,
    unpack,
)
from ledger.core.tiers import Counted
from schemas.fields import Instant

T = TypeVar("T")


class Kept(Struct, frozen=True, omit_defaults=True):
    """Each as in `ledger.core.account.Account`; what that account cannot do any more is not here:
    its profile and its tiers stay its own."""

    used: dict[str, tuple[int, int]] = {}
    used_at: dict[str, Instant] = {}
    months: dict[Instant, Counted] = {}
    lifetime: Counted = (0, 0, 0)
    orders: tuple[Order, ...] = ()
    expired_unspent: dict[int, int] = {}
    reservations: dict[str, Reservation] = {}
    redemptions: dict[str, Redemption] = {}
    rewards: dict[str, Reward] = {}
    waiting: dict[str, tuple[WaitingReturn, ...]] = {}
    surveys: tuple[str, ...] = ()
    referral: Referral | None = None
    first_purchase: FirstPurchase | None = None
    purchases: int = 0
    merged_from: tuple[str, ...] = ()
    welcomes: tuple[Welcome, ...] = ()


def kept_of(account: Account, shift: int) -> Kept:
    """What `account` remembers, its lots' numbers raised by `shift`."""
    member_id, referral = account.member_id, account.referral
    if referral is not None and referral.referee_id is None:
        referral = replace(referral, referee_id=member_id)
    return Kept(
        used=account.used,
        used_at=account.used_at,
        months=account.months,
        lifetime=account.lifetime,
        orders=tuple(_moved_order(unpack(each), shift) for each in account.orders.values()),
        expired_unspent={lot + shift: n for lot, n in account.expired_unspent.items()},
        reservations={
            name: replace(one, draws=tuple((lot + shift, points) for lot, points in one.draws))
            for name, one in account.reservations.items()
        },
        redemptions={
            name: replace(
                one,
                draws=tuple(
                    (replace(lot, number=lot.number + shift), points) for lot, points in one.draws
                ),
            )
            for name, one in account.redemptions.items()
        },
        rewards={
            name: replace(one, lot=one.lot + shift if one.lot else one.lot)
            for name, one in account.rewards.items()
        },
        waiting={
            order_id: tuple(replace(one, addressed=one.addressed or member_id) for one in each)
            for order_id, each in account.waiting.items()
        },
        surveys=tuple(sorted(account.surveys)),
        referral=referral,
        first_purchase=account.first_purchase,
        purchases=account.purchases,
        merged_from=(*account.merged_from, member_id),
        welcomes=tuple(replace(one, lot=one.lot + shift) for one in account.welcomes),
    )


def _moved_order(order: Order, shift: int) -> Order:
    return replace(
        order,
        awards=tuple(
            replace(award, lot=award.lot + shift if award.lot else award.lot)
            for award in order.awards
        ),
    )


def take_over(account: Account, kept: Kept) -> None:
    """Add what another account remembered to what this one does."""
    add_counts(account, kept)
    for key, (points, times) in kept.used.items():
        had = account.used.get(key, (0, 0))
        account.used[key] = (had[0] + points, had[1] + times)
    used_at = dict(account.used_at)
    for key, at in kept.used_at.items():
        used_at[key] = max(at, used_at.get(key, at))
    account.used_at = dict(sorted(used_at.items(), key=lambda item: item[1]))
    packed = {order.order_id: pack(order) for order in kept.orders}
    account.orders = _by_end(packed | account.orders, returnable_until)
    account.rewards = _by_end(dict(kept.rewards) | account.rewards, _until)
    spent = {n: one for n, one in kept.redemptions.items() if n not in account.reservations}
    account.redemptions = _by_end(spent | account.redemptions, _until)
    account.reservations.update(kept.reservations)
    account.expired_unspent.update(kept.expired_unspent)
    for order_id, waiting in kept.waiting.items():
        account.waiting[order_id] = (*account.waiting.get(order_id, ()), *waiting)
    account.surveys |= frozenset(kept.surveys)
    account.purchases += kept.purchases
    _first(account, kept.first_purchase)
    account.referral = _referral(account, kept.referral)
    account.merged_from = (*account.merged_from, *kept.merged_from)
    known = {one.level for one in account.welcomes}
    account.welcomes += tuple(one for one in kept.welcomes if one.level not in known)


def add_counts(account: Account, kept: Kept) -> None:
    """Add what counts for tiers."""
    months = dict(account.months)
    for month, counted in kept.months.items():
        months[month] = _sum(months.get(month, (0, 0, 0)), counted)
    account.months = dict(sorted(months.items()))
    account.lifetime = _sum(account.lifetime, kept.lifetime)


def _sum(one: Counted, other: Counted) -> Counted:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _until(record: Reward | Redemption) -> Instant:
    return record.returnable_until


def _by_end(found: Mapping[str, T], until: Callable[[T], Instant]) -> dict[str, T]:
    """In the order in which they may be forgotten (see `keep`)."""
    items: Iterable[tuple[str, T]] = sorted(found.items(), key=lambda item: until(item[1]))
    return dict(items)


def _first(account: Account, other: FirstPurchase | None) -> None:
    own = account.first_purchase
    if own is None or (other is not None and other.at < own.at):
        account.first_purchase = other


def _referral(account: Account, other: Referral | None) -> Referral | None:
    """Of two referrals the own one, unless only the other can still be taken back. One that is open
    ends when either account had bought before it: that member was no new one."""
    found = account.referral
    if found is None or (
        other is not None
        and other.status == "qualified"
        and found.status in ("closed", "taken_back")
    ):
        found = other
    first = account.first_purchase
    if (
        found is not None
        and found.status == "open"
        and (
            found.referrer_id in (account.member_id, *account.merged_from)
            or (first is not None and first.at < found.at)
        )
    ):
        return replace(found, status="closed")
    return found
