"""How one event moved points in or out of a member's hands, for the read model `kpis`.

Five flows, each positive for what it is named after: `granted` by awards (those of purchases stand
with the sale), `redeemed` (below 0: restored), `expired`, `revoked` and `adjusted` by hand. At
each moment a flow's rows sum to what the postings say; a clawback's row names the award that the
points are taken back of. What only changes its state within the account is no flow.
"""

from collections.abc import Iterable, Iterator

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

_GRANTING = (
    ReferralAccepted,
    SurveyRewarded,
    ActivityRewarded,
    RewardReceived,
    AccountSettled,
    TierOverridden,
)
"""The events that grant by awards, beside purchases; what is adjusted by hand is not granted."""

_REVOKED = PostingAccount.REVOKED.value
_REDEEMED = PostingAccount.REDEEMED.value

REFERRAL = "referral"
"""The rule under which a referral's rewards are told."""


def movements(event: AccountEvent) -> Iterable[Movement]:
    """The movements of points that the event tells, but for what a purchase grants."""
    if not event.postings:
        return ()
    totals: dict[tuple[Instant, str], int] = {}
    for posting in event.postings:
        sign = _SIGNS.get(posting.account)
        if sign is not None:
            key = (posting.effective_at, posting.account)
            totals[key] = totals.get(key, 0) + sign * posting.points
    told = [movement for movement in _told(event) if movement[-1]]
    for at, flow, *_, points in told:
        if flow == _REVOKED:
            totals[at, flow] = totals.get((at, flow), 0) - points
    for (at, flow), points in totals.items():
        if points:
            detail, order_id = _bought(event) if flow == _REDEEMED else (None, None)
            told.append((at, flow, detail, order_id, None, points))
    return told


def _told(event: AccountEvent) -> Iterator[Movement]:
    """What the event tells in more detail than its postings."""
    at = event.occurred_at
    match event:
        case PurchaseRewarded():
            for award in event.awards:
                if award.granted_at != at:  # the sale tells it at the purchase's moment
                    yield at, "granted", award.rule, None, None, -award.points
                    yield _grant(award, None)
        case PurchaseReturned():
            order_id = event.returned.order_id
            for back in event.clawbacks:
                yield at, _REVOKED, None, order_id, back.award, back.taken
            for welcome in event.welcomes:
                yield at, _REVOKED, welcome.level, None, None, welcome.taken
        case RewardTakenBack():
            for back in event.clawbacks:
                yield at, _REVOKED, REFERRAL, event.order_id, None, back.taken
        case _ if isinstance(event, _GRANTING):
            order = event.order_id if isinstance(event, RewardReceived) else None
            for award in event.awards:
                yield _grant(award, order)
        case _:
            pass


def _grant(award: Award, order_id: str | None) -> Movement:
    return award.granted_at, "granted", award.rule, order_id, None, award.points


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
