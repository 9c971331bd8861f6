"""The input events: CloudEvents 1.0 of everything that can happen to a member's points.

One struct per CloudEvents `type`; decoding is strict (unknown keys of `data`, floats in money,
negative amounts are refused with the path to the field). Unknown *envelope* attributes are
CloudEvents extensions (trace ids and the like) and are allowed. Meaning of each field:
docs/events.md.
"""

from datetime import date
from decimal import Decimal
from typing import Annotated, Literal, get_args

from msgspec import UNSET, Meta, Struct, UnsetType

from schemas.fields import (
    LINES_MAX,
    AmountMinor,
    Currency,
    Id,
    MemberId,
    PointsChange,
    PointsCount,
    Quantity,
    Text,
    Time,
)


class PurchaseLine(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One line of a purchase. `amount` is what was paid in money: after discounts, tax included."""

    line_id: Text
    sku: Text
    amount: AmountMinor
    quantity: Quantity = Decimal(1)
    category: Text | None = None
    brand: Text | None = None


class PurchaseData(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A completed purchase. `order_id` is unique over all stores of the program."""

    order_id: Id
    store_id: Id
    channel: Text
    currency: Currency
    lines: Annotated[tuple[PurchaseLine, ...], Meta(min_length=1, max_length=LINES_MAX)]
    region: Text | None = None
    payment_type: Text | None = None
    partner_id: Id | None = None
    redemption_id: Id | None = None
    promo_codes: Annotated[tuple[Text, ...], Meta(max_length=20)] = ()


class ReturnedLine(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """One line given back: `amount` is the money returned for it, minor units."""

    line_id: Text
    amount: AmountMinor


class ReturnData(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A return of some lines of an order, or of the whole order when `lines` is left out."""

    order_id: Id
    return_id: Id
    lines: Annotated[tuple[ReturnedLine, ...], Meta(min_length=1, max_length=LINES_MAX)] | None = (
        None
    )


class ReferralData(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The subject (referee) was brought in by `referrer_id`."""

    referrer_id: MemberId
    code: Text


class SurveyData(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A completed survey; the answers go to the member's profile, not to the ledger."""

    survey_id: Id
    completion_id: Id
    score: Annotated[int, Meta(ge=-1_000_000, le=1_000_000)] | None = None


class ActivityData(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """A review, visit, subscription, app install …; counts once per activity and reference."""

    activity: Id
    reference: Id
    store_id: Id | None = None


class Profile(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """What the CRM tells of a member. Kept in an erasable table, never in the log.

    In an update a key left out is unchanged, `null` forgets it.
    """

    birthday: date | UnsetType | None = UNSET
    region: Text | UnsetType | None = UNSET
    tags: Annotated[tuple[Text, ...], Meta(max_length=100)] | UnsetType | None = UNSET
    consents: Annotated[tuple[Text, ...], Meta(max_length=20)] | UnsetType | None = UNSET


class MemberData(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """The profile of an enrolment or of an update."""

    profile: Profile = Profile()


class ErasureData(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Erasure asked for by the member; `reason` is for the audit and holds no personal data."""

    reason: Text | None = None


class RewardEffectData(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """A reward that a decision on another account led to (made by the ledger, not by retailers).

    The event's `id` is `shard:position:n` of the decision that caused it.
    """

    kind: Literal["referral"]
    referee_id: MemberId
    order_id: Id
    points: PointsCount
    program_version: Text
    share: Annotated[int, Meta(ge=0, le=10**12)] = 0


class RevokeEffectData(
    Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False
):
    """A reward on another account is taken back, whole where `points` is left out: the order behind
    it no longer qualifies, or came back in part."""

    kind: Literal["referral"]
    referee_id: MemberId
    order_id: Id
    points: PointsCount | None = None


class BasketLine(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One line of a basket that points are to pay for: what it costs before they do."""

    amount: AmountMinor
    category: Text | None = None


Basket = Annotated[tuple[BasketLine, ...], Meta(min_length=1, max_length=LINES_MAX)]


class ReserveData(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Hold points for a redemption; `ttl_seconds` defaults to the program's reservation_ttl."""

    reservation_id: Id
    points: PointsCount
    ttl_seconds: Annotated[int, Meta(ge=1, le=86_400)] | None = None
    basket: Basket | None = None


class ConfirmData(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Spend a reservation: all of it, or `points` (the rest is released)."""

    reservation_id: Id
    points: PointsCount | None = None
    order_id: Id | None = None


class CancelData(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Release a reservation: the same points go back to the same lots."""

    reservation_id: Id


class StandingData(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Who changes what an account may do, and why; for the audit, no personal data."""

    actor: Id
    reason: Text


class TransferData(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The subject gives `points` to another member."""

    to: MemberId
    points: PointsCount


class MergeData(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """The subject's account ends, all it holds goes to the account of `into`."""

    into: MemberId
    actor: Id
    reason: Text


class RedeemData(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Spend points at once, without a reservation."""

    redemption_id: Id
    points: PointsCount
    order_id: Id | None = None
    basket: Basket | None = None


class AdjustData(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Points given or taken by hand; who did it and why is part of it."""

    points: PointsChange
    reason: Text
    actor: Id
    expires_at: Time | None = None
    allow_debt: bool = False


class DonateData(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Give points to a charity of the program."""

    charity_id: Id
    points: PointsCount


class ClaimData(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Take one of a reward of the program's catalogue, at its price."""

    reward_id: Id


class TierData(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Hold the member's tier at `tier` until a moment; `actor` says who decided it, and why."""

    tier: Id
    until: Time
    actor: Id
    reason: Text


class Envelope(Struct, frozen=True, kw_only=True, tag_field="type", gc=False):
    """CloudEvents 1.0 attributes. `subject` is the member; `time` is `occurred_at`."""

    specversion: Literal["1.0"]
    id: Text
    source: Text
    time: Time
    datacontenttype: Literal["application/json"] = "application/json"


class MemberEnvelope(Envelope, frozen=True, kw_only=True):
    """An event of one member."""

    subject: MemberId


class PurchaseCompleted(Envelope, frozen=True, kw_only=True, tag="purchase.completed.v1"):
    """Topic `purchases`. Without a subject it is an anonymous purchase (key: order_id)."""

    subject: MemberId | None = None
    data: PurchaseData


class PurchaseReturned(MemberEnvelope, frozen=True, kw_only=True, tag="purchase.returned.v1"):
    """Topic `purchases`."""

    data: ReturnData


class ReferralRegistered(MemberEnvelope, frozen=True, kw_only=True, tag="referral.registered.v1"):
    """Topic `referrals`. The subject is the referee."""

    data: ReferralData


class SurveyCompleted(MemberEnvelope, frozen=True, kw_only=True, tag="survey.completed.v1"):
    """Topic `surveys`."""

    data: SurveyData


class ActivityCompleted(MemberEnvelope, frozen=True, kw_only=True, tag="activity.completed.v1"):
    """Topic `activities`."""

    data: ActivityData


class MemberEnrolled(MemberEnvelope, frozen=True, kw_only=True, tag="member.enrolled.v1"):
    """Topic `members`."""

    data: MemberData = MemberData()


class MemberUpdated(MemberEnvelope, frozen=True, kw_only=True, tag="member.updated.v1"):
    """Topic `members`."""

    data: MemberData


class MemberErased(MemberEnvelope, frozen=True, kw_only=True, tag="member.erased.v1"):
    """Topic `members`."""

    data: ErasureData = ErasureData()


class RewardGranted(MemberEnvelope, frozen=True, kw_only=True, tag="effect.reward.v1"):
    """Topic `effects`, written by the ledger's effects publisher. The subject is the rewarded."""

    data: RewardEffectData


class RewardRevoked(MemberEnvelope, frozen=True, kw_only=True, tag="effect.revoke.v1"):
    """Topic `effects`, written by the ledger's effects publisher."""

    data: RevokeEffectData


class PointsReserve(MemberEnvelope, frozen=True, kw_only=True, tag="command.reserve.v1"):
    """A command; its idempotency key is (`source`, `id`)."""

    data: ReserveData


class ReservationConfirm(MemberEnvelope, frozen=True, kw_only=True, tag="command.confirm.v1"):
    """A command; its idempotency key is (`source`, `id`)."""

    data: ConfirmData


class ReservationCancel(MemberEnvelope, frozen=True, kw_only=True, tag="command.cancel.v1"):
    """A command; its idempotency key is (`source`, `id`)."""

    data: CancelData


class AccountFreeze(MemberEnvelope, frozen=True, kw_only=True, tag="command.freeze.v1"):
    """A command; its idempotency key is (`source`, `id`)."""

    data: StandingData


class AccountUnfreeze(MemberEnvelope, frozen=True, kw_only=True, tag="command.unfreeze.v1"):
    """A command; its idempotency key is (`source`, `id`)."""

    data: StandingData


class AccountClose(MemberEnvelope, frozen=True, kw_only=True, tag="command.close.v1"):
    """A command; its idempotency key is (`source`, `id`)."""

    data: StandingData


class PointsTransfer(MemberEnvelope, frozen=True, kw_only=True, tag="command.transfer.v1"):
    """A command on two accounts; the subject gives. Its idempotency key is (`source`, `id`)."""

    data: TransferData


class AccountMerge(MemberEnvelope, frozen=True, kw_only=True, tag="command.merge.v1"):
    """A command on two accounts; the subject's ends. Its idempotency key is (`source`, `id`)."""

    data: MergeData


class PointsRedeem(MemberEnvelope, frozen=True, kw_only=True, tag="command.redeem.v1"):
    """A command; its idempotency key is (`source`, `id`)."""

    data: RedeemData


class PointsAdjust(MemberEnvelope, frozen=True, kw_only=True, tag="command.adjust.v1"):
    """A command; its idempotency key is (`source`, `id`)."""

    data: AdjustData


class PointsDonate(MemberEnvelope, frozen=True, kw_only=True, tag="command.donate.v1"):
    """A command; its idempotency key is (`source`, `id`)."""

    data: DonateData


class RewardClaim(MemberEnvelope, frozen=True, kw_only=True, tag="command.claim.v1"):
    """A command; its idempotency key is (`source`, `id`)."""

    data: ClaimData


class TierOverride(MemberEnvelope, frozen=True, kw_only=True, tag="command.tier.v1"):
    """A command; its idempotency key is (`source`, `id`)."""

    data: TierData


InputEvent = (
    PurchaseCompleted
    | PurchaseReturned
    | ReferralRegistered
    | SurveyCompleted
    | ActivityCompleted
    | MemberEnrolled
    | MemberUpdated
    | MemberErased
    | RewardGranted
    | RewardRevoked
    | PointsReserve
    | ReservationConfirm
    | ReservationCancel
    | AccountFreeze
    | AccountUnfreeze
    | AccountClose
    | PointsTransfer
    | AccountMerge
    | PointsRedeem
    | PointsAdjust
    | PointsDonate
    | RewardClaim
    | TierOverride
)

TOPIC_OF_TYPE: dict[str, str] = {
    "purchase.completed.v1": "purchases",
    "purchase.returned.v1": "purchases",
    "referral.registered.v1": "referrals",
    "survey.completed.v1": "surveys",
    "activity.completed.v1": "activities",
    "member.enrolled.v1": "members",
    "member.updated.v1": "members",
    "member.erased.v1": "members",
    "effect.reward.v1": "effects",
    "effect.revoke.v1": "effects",
    **{
        name: "commands"
        for kind in get_args(InputEvent)
        if (name := str(kind.__struct_config__.tag)).startswith("command.")
    },
}
"""Which topic carries which type. Commands enter by `handle()` as well."""
