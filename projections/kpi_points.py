"""How one event moved points in or out of a member's hands, for the read model `kpis`.

Five flows, each positive for what it is named after: `granted` by awards (those of purchases stand
with the sale), `redeemed` (below 0: restored), `expired`, `revoked` and `adjusted` by hand. At
each moment a flow's rows sum to what the postings say; a clawback's row names the award that the
points are taken back of. What only changes its state within the account is no flow.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from schemas.decisions import (
    AccountEvent,
    AccountSettled,
    ActivityRewarded,
    Award,
    PointsDonated,
    PointsRedeemed,
    PostingAccount,
    PurchaseReturned,
    PurchaseRewarded,
    ReferralAccepted,
    ReservationConfirmed,
    RewardClaimed,
    RewardReceived,
    RewardTakenBack,
    SurveyRewarded,
    TierOverridden,
)
from schemas.fields import Instant

Movement = tuple[Instant, str, str | None, str | None, int | None, int]
"""When, flow, detail (the rule; of points redeemed what for), order, the place of the award among
those of the order's purchase, points."""

_SIGNS = {
    PostingAccount.REDEEMED.value: 1,
    PostingAccount.EXPIRED.value: 1,
    PostingAccount.REVOKED.value: 1,
    PostingAccount.ADJUSTED.value: -1,
}
"""The flows that postings tell. Points given by hand post -n to `adjusted`."""

_REVOKED = PostingAccount.REVOKED.value
_REDEEMED = PostingAccount.REDEEMED.value

REFERRAL = "referral"
"""The rule under which a referral's rewards are told."""


def movements(event: AccountEvent) -> Sequence[Movement]:
    """The movements of points that the event tells, but for what a purchase grants."""
    # Most events of a shopper move nothing in or out beside what the purchase grants, so this comes
    # first and makes nothing.
    totals: dict[tuple[Instant, str], int] | None = None
    for posting in event.postings:
        account = posting.account
        if account in _SIGNS:
            if totals is None:
                totals = {}
            key = (posting.effective_at, account)
            totals[key] = totals.get(key, 0) + _SIGNS[account] * posting.points
    # A purchase's own awards stand with the sale; those of time come with a change of tier.
    told_by_sale = type(event) in _MOSTLY_NONE and not event.tier_changes
    telling = None if told_by_sale else _TELLING.get(type(event))
    if totals is None and telling is None:
        return ()
    told = [] if telling is None else [moved for moved in telling(event) if moved[-1]]
    if totals is not None:
        for at, flow, *_, points in told:
            if flow == _REVOKED:
                totals[at, flow] = totals.get((at, flow), 0) - points
        for (at, flow), points in totals.items():
            if points:
                detail, order_id = _bought(event) if flow == _REDEEMED else (None, None)
                told.append((at, flow, detail, order_id, None, points))
    return told


def _of_purchase(event: PurchaseRewarded) -> Iterator[Movement]:
    """The sale tells an award at the purchase's moment; a welcome may be of another."""
    at = event.occurred_at
    for award in event.awards:
        if award.granted_at != at:
            yield at, "granted", award.rule, None, None, -award.points
            yield _grant(award, None)


def _of_return(event: PurchaseReturned) -> Iterator[Movement]:
    at, order_id = event.occurred_at, event.returned.order_id
    for back in event.clawbacks:
        yield at, _REVOKED, None, order_id, back.award, back.taken
    for welcome in event.welcomes:
        yield at, _REVOKED, welcome.level, None, None, welcome.taken


def _of_reward_back(event: RewardTakenBack) -> Iterator[Movement]:
    for back in event.clawbacks:
        yield event.occurred_at, _REVOKED, REFERRAL, event.order_id, None, back.taken


def _of_reward(event: RewardReceived) -> Iterator[Movement]:
    for award in event.awards:
        yield _grant(award, event.order_id)


def _of_awards(event: AccountSettled | SurveyRewarded) -> Iterator[Movement]:
    for award in event.awards:
        yield _grant(award, None)


def _grant(award: Award, order_id: str | None) -> Movement:
    return award.granted_at, "granted", award.rule, order_id, None, award.points


_TELLING: dict[type, Callable[[Any], Iterator[Movement]]] = {
    PurchaseRewarded: _of_purchase,
    PurchaseReturned: _of_return,
    RewardTakenBack: _of_reward_back,
    RewardReceived: _of_reward,
    **dict.fromkeys(
        (ReferralAccepted, SurveyRewarded, ActivityRewarded, AccountSettled, TierOverridden),
        _of_awards,
    ),
}
"""What events tell in more detail than their postings. What is adjusted by hand is not granted."""

_MOSTLY_NONE = frozenset((PurchaseRewarded, AccountSettled))
"""Events whose awards beside a purchase's own are welcomes."""


def _bought(event: AccountEvent) -> tuple[str | None, str | None]:
    """What points were redeemed for, and for which order."""
    match event:
        case PointsRedeemed() | ReservationConfirmed():
            return "discount", event.order_id
        case PurchaseReturned():
            return "discount", event.returned.order_id
        case PurchaseRewarded():
            return "discount", event.purchase.order_id
        case PointsDonated():
            return "donation", None
        case RewardClaimed():
            return event.kind, None
        case _:
            return None, None
