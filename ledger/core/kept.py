"""What an account remembers beside its points, on its way into another account.

It travels on the event of the account that stays, so that folding that account alone gives the same
again; lots are named by the numbers that they get there, reservations and redemptions by
`ledger.core.names`. Where both accounts know an order or a reward, the one that stays keeps its
own.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ledger.core.account import Account
from ledger.core.kept_records import (
    KeptOrder,
    KeptPurchase,
    KeptRedemption,
    KeptReferral,
    KeptReservation,
    KeptReturn,
    KeptReward,
    KeptWelcome,
    first_purchase_of,
    order_of,
    redemption_of,
    referral_of,
    reservation_of,
    return_of,
    reward_of,
    told,
    told_order,
    told_redemption,
)
from ledger.core.lots import idle_moment
from ledger.core.names import moved_name
from ledger.core.records import (
    FirstPurchase,
    Order,
    Redemption,
    Referral,
    Reward,
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
    its profile and its tiers stay its own. Fields are added with a default, and none ever goes."""

    used: dict[str, tuple[int, int]] = {}
    used_at: dict[str, Instant] = {}
    months: dict[Instant, Counted] = {}
    lifetime: Counted = (0, 0, 0)
    orders: tuple[KeptOrder, ...] = ()
    expired_unspent: dict[int, int] = {}
    reservations: dict[str, KeptReservation] = {}
    redemptions: dict[str, KeptRedemption] = {}
    rewards: dict[str, KeptReward] = {}
    waiting: dict[str, tuple[KeptReturn, ...]] = {}
    surveys: tuple[str, ...] = ()
    referral: KeptReferral | None = None
    other_referrals: tuple[KeptReferral, ...] = ()
    first_purchase: KeptPurchase | None = None
    purchases: int = 0
    merged_from: tuple[str, ...] = ()
    welcomes: tuple[KeptWelcome, ...] = ()


def kept_of(account: Account, shift: int) -> Kept:
    """What `account` remembers, its lots' numbers raised by `shift`."""
    member_id, first = account.member_id, account.first_purchase

    def referral(one: Referral) -> KeptReferral:
        return told(KeptReferral, one, referee_id=one.referee_id or member_id)

    return Kept(
        used=account.used,
        used_at=account.used_at,
        months=account.months,
        lifetime=account.lifetime,
        orders=tuple(_moved_order(unpack(o), shift, member_id) for o in account.orders.values()),
        expired_unspent={lot + shift: n for lot, n in account.expired_unspent.items()},
        reservations={
            moved_name(name, member_id): told(
                KeptReservation,
                one,
                draws=tuple((lot + shift, points) for lot, points in one.draws),
            )
            for name, one in account.reservations.items()
        },
        redemptions={
            moved_name(name, member_id): told_redemption(_moved_on(account, one), shift)
            for name, one in account.redemptions.items()
        },
        rewards={
            name: told(KeptReward, one, lot=one.lot + shift if one.lot else one.lot)
            for name, one in account.rewards.items()
        },
        waiting={
            order_id: tuple(
                told(KeptReturn, one, addressed=one.addressed or member_id) for one in each
            )
            for order_id, each in account.waiting.items()
        },
        surveys=tuple(sorted(account.surveys)),
        referral=None if account.referral is None else referral(account.referral),
        other_referrals=tuple(map(referral, account.other_referrals)),
        first_purchase=None if first is None else told(KeptPurchase, first),
        purchases=account.purchases,
        merged_from=(*account.merged_from, member_id),
        welcomes=tuple(told(KeptWelcome, one, lot=one.lot + shift) for one in account.welcomes),
    )


def _moved_on(account: Account, spent: Redemption) -> Redemption:
    """A redemption whose lots have what purchases have moved on meanwhile, as a return gives back
    to them: the other account does not know of it."""
    draws = []
    for lot, points in spent.draws:
        terms, expires_at = lot.terms, lot.expires_at
        if terms is not None and terms.idle and expires_at is not None:
            expires_at = max(expires_at, idle_moment(account.holdings.idle, terms.idle))
        draws.append((replace(lot, expires_at=expires_at), points))
    return replace(spent, draws=tuple(draws))


def _moved_order(order: Order, shift: int, member_id: str) -> KeptOrder:
    paid = order.redemption_id
    return told_order(order, shift, None if paid is None else moved_name(paid, member_id))


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
    orders = {order.order_id: pack(order_of(order)) for order in kept.orders}
    account.orders = _by_end(orders | account.orders, returnable_until)
    rewards = {source: reward_of(one) for source, one in kept.rewards.items()}
    account.rewards = _by_end(rewards | account.rewards, _until)
    spent = {name: redemption_of(one) for name, one in kept.redemptions.items()}
    account.redemptions = _by_end(spent | account.redemptions, _until)
    for name, reservation in kept.reservations.items():
        account.reservations[name] = reservation_of(reservation)
    account.expired_unspent.update(kept.expired_unspent)
    for order_id, returns in kept.waiting.items():
        waiting = account.waiting.get(order_id, ())
        account.waiting[order_id] = (*waiting, *map(return_of, returns))
    # Those whose order the other account had are decided by the events that follow.
    account.waiting = {o: each for o, each in account.waiting.items() if o not in account.orders}
    account.surveys |= frozenset(kept.surveys)
    account.purchases += kept.purchases
    account.merged_from = (*account.merged_from, *kept.merged_from)
    if kept.first_purchase is not None:
        _first(account, first_purchase_of(kept.first_purchase))
    _referrals(account, kept)
    known = {one.level for one in account.welcomes}
    account.welcomes += tuple(told(Welcome, one) for one in kept.welcomes if one.level not in known)


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


def _first(account: Account, other: FirstPurchase) -> None:
    own = account.first_purchase
    if own is None or other.at < own.at:
        account.first_purchase = other


def _referrals(account: Account, kept: Kept) -> None:
    """One person was brought in once: a referral that was rewarded goes before the own one, and
    several that were stay, as long as their orders can come back. One that is open ends when either
    account had bought before it, or is the referrer's: that member was no new one."""
    own, other = account.referral, None
    if kept.referral is not None:
        other = referral_of(kept.referral)
    others = (*account.other_referrals, *map(referral_of, kept.other_referrals))
    rewarded = [
        one for one in (own, other, *others) if one is not None and one.status == "qualified"
    ]
    found = rewarded[0] if rewarded else own or other
    account.other_referrals = tuple(
        one for one in rewarded if one is not found and one.order_id in account.orders
    )
    first = account.first_purchase
    if (
        found is not None
        and found.status == "open"
        and (
            found.referrer_id in (account.member_id, *account.merged_from)
            or (first is not None and first.at < found.at)
        )
    ):
        found = replace(found, status="closed")
    account.referral = found
