"""The inputs behind stored events, so that `ledger.core` can decide them again by itself.

An event of an account holds its input: type, moment, data, cause, and the facts from outside that
were copied onto it (invariant 9). What it does not hold is either without effect on the decision or
told by its outcome; each such case is said where it is met below, and together in docs/backtest.md,
"What an event does not hold". Inputs that were dead-lettered or duplicates are not in the log. Two
kinds of events are no inputs of the account itself: the second halves of transfers and merges are
made from the first half, and an `InputForwarded` only passes on.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from ledger.core.account import ANONYMOUS
from ledger.core.calendar import SECOND_US, from_instant
from ledger.core.context import NO_FACTS
from schemas import decisions, inputs
from schemas.decisions import AccountEvent, Cause, Facts
from schemas.fields import Instant
from schemas.inputs import InputEvent, Profile
from schemas.routing import TYPE_NAMES

TTL_SECONDS_MAX = 86_400
"""Longest time to live that a reservation can be asked for; a longer one is the program's own."""

ENROLLED, RECOMPUTED = "enrolled", "recomputed"

NO_CAUSE = Cause("", "")
"""Of an event that names none; the ledger writes no such decision on an input."""


class Recorded(Struct, frozen=True):
    """An input of one account, as its event recorded it. `addressed`: the member whom it named,
    where that account was merged into this one, else empty."""

    event: InputEvent
    occurred_at: Instant
    facts: Facts = NO_FACTS
    addressed: str = ""


def input_of(decision: AccountEvent, member_id: str) -> Recorded | None:
    """The input that led to `decision` on the account of `member_id`; None for a decision that no
    input of its own led to: a settling, a profile looked at again, the second half of a transfer or
    merge, an input passed on. Raises msgspec.ValidationError for a refusal whose data is no input.
    """
    made = _DATA.get(type(decision))
    if made is None:
        return None
    found = made(decision)
    if found is None:
        return None
    kind, data = found
    facts = getattr(decision, "facts", None)
    cause = decision.cause or NO_CAUSE
    subject: str | None = decision.addressed or member_id
    if member_id == ANONYMOUS:
        subject = None
    event = kind(
        specversion="1.0",
        id=cause.id,
        source=cause.source,
        time=from_instant(decision.occurred_at),
        subject=subject,
        data=data,
    )
    return Recorded(
        event,
        decision.occurred_at,
        NO_FACTS if facts is None else facts,
        decision.addressed,
    )


def profile_of(profiled: decisions.MemberProfiled) -> Profile:
    """A profile of which the recorded outcomes hold. The profile itself never reaches the log: of a
    condition only its outcome does, and the outcome is what is decided on."""
    held = [c.partition(":") for c, holds in profiled.outcomes.items() if holds]
    regions = [text for kind, _, text in held if kind == "region"]
    return Profile(
        region=regions[0] if regions else None,
        tags=tuple(text for kind, _, text in held if kind == "tag"),
    )


# --- the data of each kind of input -------------------------------------------------------------

Made = tuple[type, Any]


def _purchase(e: decisions.PurchaseRewarded | decisions.AnonymousPurchaseRecorded) -> Made:
    return inputs.PurchaseCompleted, e.purchase


def _return(e: decisions.PurchaseReturned | decisions.ReturnWaiting) -> Made:
    # Whether the purchase was ever taken (a dedupe row) is on the event where it was asked for:
    # a return that waits was decided because it had not been.
    return inputs.PurchaseReturned, e.returned


def _refused(e: decisions.InputRefused) -> Made:
    kind = _BY_NAME[e.input_type]
    return kind, msgspec.json.decode(e.data, type=_DATA_TYPE[kind])


def _referral(e: decisions.ReferralAccepted) -> Made:
    return inputs.ReferralRegistered, inputs.ReferralData(e.referrer_id, e.code)


def _survey(e: decisions.SurveyRewarded) -> Made:
    return inputs.SurveyCompleted, inputs.SurveyData(e.survey_id, e.completion_id, e.score)


def _activity(e: decisions.ActivityRewarded) -> Made:
    return inputs.ActivityCompleted, e.activity


def _reward(e: decisions.RewardReceived) -> Made:
    # The version by which the other account decided is not on this event; nothing depends on it.
    share = sum(award.points for award in e.awards if award.kind == "share")
    points = sum(award.points for award in e.awards)
    return inputs.RewardGranted, inputs.RewardEffectData(
        "referral", e.referee_id, e.order_id, points, e.program, share
    )


def _revocation(e: decisions.RewardTakenBack) -> Made:
    # Whether "all of it" or just so many points were asked for makes no difference to what is left.
    points = sum(clawback.points for clawback in e.clawbacks)
    return inputs.RewardRevoked, inputs.RevokeEffectData(
        "referral", e.referee_id, e.order_id, points
    )


def _own(name: str, addressed: str) -> str:
    """The id that the input gave: what is made for a merged member is kept as MEMBER/ID."""
    return name.removeprefix(f"{addressed}/") if addressed else name


def _reserve(e: decisions.PointsReserved) -> Made:
    # Whether the time to live was asked for or is the program's own is told by neither: it is taken
    # from the moment at which the reservation lapses.
    held_us = e.lapses_at - e.occurred_at
    seconds, rest = divmod(held_us, SECOND_US)
    asked = seconds if not rest and 1 <= seconds <= TTL_SECONDS_MAX else None
    return inputs.PointsReserve, inputs.ReserveData(
        _own(e.reservation_id, e.addressed), e.points, asked, e.basket
    )


def _confirm(e: decisions.ReservationConfirmed) -> Made:
    return inputs.ReservationConfirm, inputs.ConfirmData(
        _own(e.reservation_id, e.addressed), e.points, e.order_id
    )


def _cancel(e: decisions.ReservationCancelled) -> Made:
    return inputs.ReservationCancel, inputs.CancelData(_own(e.reservation_id, e.addressed))


def _redeem(e: decisions.PointsRedeemed) -> Made:
    return inputs.PointsRedeem, inputs.RedeemData(
        _own(e.redemption_id, e.addressed), e.points, e.order_id, e.basket
    )


def _adjust(e: decisions.PointsAdjusted) -> Made:
    # Without terms the lot's expiry cannot move: then the moment itself is as good as the rule that
    # it came from, the command's or the program's.
    expires_at = None
    if e.awards and e.awards[0].terms is None and e.awards[0].expires_at is not None:
        expires_at = from_instant(e.awards[0].expires_at)
    return inputs.PointsAdjust, inputs.AdjustData(
        e.points, e.reason, e.actor, expires_at, e.allow_debt
    )


def _donate(e: decisions.PointsDonated) -> Made:
    return inputs.PointsDonate, inputs.DonateData(e.charity_id, e.points)


def _claim(e: decisions.RewardClaimed) -> Made:
    return inputs.RewardClaim, inputs.ClaimData(e.reward_id)


def _tier(e: decisions.TierOverridden) -> Made:
    return inputs.TierOverride, inputs.TierData(e.tier, from_instant(e.until), e.actor, e.reason)


def _profile(e: decisions.MemberProfiled) -> Made | None:
    if e.kind == RECOMPUTED:
        return None
    kind = inputs.MemberEnrolled if e.kind == ENROLLED else inputs.MemberUpdated
    return kind, inputs.MemberData(profile_of(e))


def _erased(e: decisions.MemberErased) -> Made:
    return inputs.MemberErased, inputs.ErasureData(e.reason)


def _standing(kind: type) -> Callable[[Any], Made]:
    return lambda e: (kind, inputs.StandingData(e.actor, e.reason))


def _transfer(e: decisions.PointsSent) -> Made:
    return inputs.PointsTransfer, inputs.TransferData(e.to, e.points)


def _merge(e: decisions.AccountMerged) -> Made:
    return inputs.AccountMerge, inputs.MergeData(e.into, e.actor, e.reason)


_DATA: dict[type, Callable[[Any], Made | None]] = {
    decisions.PurchaseRewarded: _purchase,
    decisions.AnonymousPurchaseRecorded: _purchase,
    decisions.PurchaseReturned: _return,
    decisions.ReturnWaiting: _return,
    decisions.InputRefused: _refused,
    decisions.ReferralAccepted: _referral,
    decisions.SurveyRewarded: _survey,
    decisions.ActivityRewarded: _activity,
    decisions.RewardReceived: _reward,
    decisions.RewardTakenBack: _revocation,
    decisions.PointsReserved: _reserve,
    decisions.ReservationConfirmed: _confirm,
    decisions.ReservationCancelled: _cancel,
    decisions.PointsRedeemed: _redeem,
    decisions.PointsAdjusted: _adjust,
    decisions.PointsDonated: _donate,
    decisions.RewardClaimed: _claim,
    decisions.TierOverridden: _tier,
    decisions.MemberProfiled: _profile,
    decisions.MemberErased: _erased,
    decisions.AccountFrozen: _standing(inputs.AccountFreeze),
    decisions.AccountUnfrozen: _standing(inputs.AccountUnfreeze),
    decisions.AccountClosed: _standing(inputs.AccountClose),
    decisions.PointsSent: _transfer,
    decisions.AccountMerged: _merge,
}

_BY_NAME: dict[str, type] = {name: kind for kind, name in TYPE_NAMES.items()}
_DATA_TYPE: dict[type, Any] = {
    kind: next(f.type for f in msgspec.structs.fields(kind) if f.name == "data")
    for kind in TYPE_NAMES
}
