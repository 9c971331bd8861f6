"""Which dedupe row an event of the log must have: its key, and as far as the event tells, content.

An event answers the input that it names as its cause, in the shard of the member whom that input
addressed. The input is put together again from the event and hashed as the ledger hashes it.
Content that the log does not hold (a profile, a basket's limits, a reservation's length) is not
compared.
"""

from collections.abc import Callable
from datetime import UTC
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from ledger.core.calendar import from_instant
from ledger.dedupe import HASH_BYTES, WITH_PROFILE, content_of, key_of
from schemas import inputs
from schemas.decisions import (
    AccountAbsorbed,
    AccountClosed,
    AccountEvent,
    AccountFrozen,
    AccountMerged,
    AccountUnfrozen,
    ActivityRewarded,
    AnonymousPurchaseRecorded,
    InputForwarded,
    InputRefused,
    MemberErased,
    MemberProfiled,
    PointsAdjusted,
    PointsDonated,
    PointsReceived,
    PointsRedeemed,
    PointsReserved,
    PointsSent,
    PurchaseReturned,
    PurchaseRewarded,
    ReferralAccepted,
    ReservationCancelled,
    ReservationConfirmed,
    ReturnWaiting,
    RewardClaimed,
    RewardReceived,
    RewardTakenBack,
    SurveyRewarded,
    TierOverridden,
)
from schemas.normal import ANONYMOUS_SUBJECT, BY_KEY, BY_SOURCE_AND_ID, joined_key
from schemas.routing import TYPE_NAMES

_KINDS = {name: kind for kind, name in TYPE_NAMES.items()}

_WHOLE: dict[type, tuple[type, Callable[[Any], object]]] = {
    PurchaseRewarded: (inputs.PurchaseCompleted, lambda event: event.purchase),
    PurchaseReturned: (inputs.PurchaseReturned, lambda event: event.returned),
    ReturnWaiting: (inputs.PurchaseReturned, lambda event: event.returned),
    ReferralAccepted: (
        inputs.ReferralRegistered,
        lambda event: inputs.ReferralData(event.referrer_id, event.code),
    ),
    SurveyRewarded: (
        inputs.SurveyCompleted,
        lambda event: inputs.SurveyData(event.survey_id, event.completion_id, event.score),
    ),
    ActivityRewarded: (inputs.ActivityCompleted, lambda event: event.activity),
    ReservationCancelled: (
        inputs.ReservationCancel,
        lambda event: inputs.CancelData(event.reservation_id),
    ),
    PointsDonated: (
        inputs.PointsDonate,
        lambda event: inputs.DonateData(event.charity_id, event.points),
    ),
    RewardClaimed: (inputs.RewardClaim, lambda event: inputs.ClaimData(event.reward_id)),
    PointsSent: (
        inputs.PointsTransfer,
        lambda event: inputs.TransferData(event.to, event.points),
    ),
    TierOverridden: (
        inputs.TierOverride,
        lambda event: inputs.TierData(
            event.tier, from_instant(event.until).astimezone(UTC), event.actor, event.reason
        ),
    ),
    AccountFrozen: (inputs.AccountFreeze, lambda event: _standing(event)),
    AccountUnfrozen: (inputs.AccountUnfreeze, lambda event: _standing(event)),
    AccountClosed: (inputs.AccountClose, lambda event: _standing(event)),
    AccountMerged: (
        inputs.AccountMerge,
        lambda event: inputs.MergeData(event.into, event.actor, event.reason),
    ),
    MemberErased: (inputs.MemberErased, lambda event: inputs.ErasureData(event.reason)),
}
"""Events that hold all that their input said."""

_KEY_ONLY: dict[type, type] = {
    PointsReserved: inputs.PointsReserve,
    ReservationConfirmed: inputs.ReservationConfirm,
    PointsRedeemed: inputs.PointsRedeem,
    PointsAdjusted: inputs.PointsAdjust,
    RewardReceived: inputs.RewardGranted,
    RewardTakenBack: inputs.RewardRevoked,
}
"""Events that tell by what their input is known, and not all that it said."""

_BY_ID = (inputs.RewardGranted, inputs.RewardRevoked)
"""Inputs known by their id alone."""

_ELSEWHERE = (PointsReceived, AccountAbsorbed)
"""The second half of an input on two accounts: the row is where the first half is."""


class Expected(NamedTuple):
    """The row that an event answers to. `key` and `content` are None where the event does not tell.

    `subject`: the member whom the input addressed; its shard holds the row.
    """

    subject: str
    key: bytes | None
    content: bytes | None


def expected_of(member_id: str, event: AccountEvent) -> Expected | None:
    """The row of the input that the event answers; None for one without an input, or whose row is
    that of the other account's event."""
    if event.cause is None or isinstance(event, _ELSEWHERE):
        return None
    subject = event.addressed or member_id
    if isinstance(event, AnonymousPurchaseRecorded):
        return _whole(inputs.PurchaseCompleted, None, event, event.purchase)
    whole = _WHOLE.get(type(event))
    if whole is not None:
        kind, data = whole
        return _whole(kind, subject, event, data(event))
    if isinstance(event, InputRefused):
        return _refused(subject, event)
    if isinstance(event, MemberProfiled):
        kind = inputs.MemberEnrolled if event.kind == "enrolled" else inputs.MemberUpdated
        return Expected(subject, _key(kind, subject, event), None)
    if isinstance(event, InputForwarded):
        return _forwarded(subject, event)
    return Expected(subject, _key(_KEY_ONLY[type(event)], subject, event), None)


def waits_elsewhere(event: AccountEvent) -> bool:
    """Whether the event may end a return that waited: its row is then at the event that says so."""
    return isinstance(event, PurchaseReturned) or (
        isinstance(event, InputRefused) and event.input_type == TYPE_NAMES[inputs.PurchaseReturned]
    )


def _standing(event: AccountFrozen | AccountUnfrozen | AccountClosed) -> inputs.StandingData:
    return inputs.StandingData(event.actor, event.reason)


def _whole(
    kind: type, subject: str | None, event: AccountEvent, data: object, *, content: bool = True
) -> Expected:
    assert event.cause is not None
    made = kind(
        specversion="1.0",
        id=event.cause.id,
        source=event.cause.source,
        time=from_instant(event.occurred_at),
        subject=subject,
        data=data,
    )
    told = content_of(made, event.occurred_at) if content else None
    return Expected(subject or ANONYMOUS_SUBJECT, key_of(made), told)


def _refused(subject: str, event: InputRefused) -> Expected:
    kind = _KINDS[event.input_type]
    if kind in WITH_PROFILE:  # what it said is personal: the log does not hold it
        return Expected(subject, _key(kind, subject, event), None)
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    data = msgspec.json.decode(event.data, type=fields["data"])
    return _whole(kind, subject, event, data)


def _forwarded(subject: str, event: InputForwarded) -> Expected:
    """What was passed on is told by the other account's event; known here is the key of inputs
    without a business key."""
    kind = _KINDS[event.input_type]
    by_id = event.input_type.startswith(("command.", "member.", "effect."))
    return Expected(subject, _key(kind, subject, event) if by_id else None, None)


def _key(kind: type, subject: str, event: AccountEvent) -> bytes:
    """The key of an input without a business key of its own in `data`."""
    assert event.cause is not None
    if kind in _BY_ID:
        text = joined_key(TYPE_NAMES[kind], subject, BY_KEY, event.cause.id)
    else:
        text = joined_key(
            TYPE_NAMES[kind], subject, BY_SOURCE_AND_ID, event.cause.source, event.cause.id
        )
    return sha256(text).digest()[:HASH_BYTES]
