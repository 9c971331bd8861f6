"""Changes of one member's points and standing: each is one command or event of the contract."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Annotated, Any, NamedTuple

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from api.access import approvals
from api.access.proposal_answers import ProposalAnswer
from api.caller import Caller, require
from api.changing import ChangeAnswer, IdempotencyKey, changed
from api.documents import operation, waits, without
from api.events import checked_id, event_of
from api.moments import HAPPENED
from api.reading import MemberId, ReservationId, moment_of
from api.routes.referral_codes import referrer_told
from api.scopes import Scope
from ledger.core.calendar import from_instant
from schemas import inputs
from schemas.fields import MemberId as Referrer
from schemas.fields import Text

group = APIRouter(prefix="/v1", tags=["changes"])

OccurredAt = Annotated[
    str | None,
    Query(
        description="When it happened, RFC 3339 with an offset; left out: now.",
        json_schema_extra=HAPPENED,
    ),
]


class Change(NamedTuple):
    """One operation: its path after /v1, what it needs, the event that it makes."""

    path: str
    name: str
    scope: Scope
    kind: type[Any]
    summary: str
    actor: bool = False
    method: str = "POST"


_MEMBER = "/members/{member_id}"

CHANGES = (
    Change(_MEMBER + "/reservations", "reserve", Scope.REDEEM, inputs.PointsReserve,
           "Hold points for a purchase."),
    Change(_MEMBER + "/reservations/{reservation_id}/confirm", "confirm", Scope.REDEEM,
           inputs.ReservationConfirm, "Spend a reservation, or a part of it."),
    Change(_MEMBER + "/reservations/{reservation_id}/cancel", "cancel", Scope.REDEEM,
           inputs.ReservationCancel, "Give a reservation back."),
    Change(_MEMBER + "/redemptions", "redeem", Scope.REDEEM, inputs.PointsRedeem,
           "Spend points at once."),
    Change(_MEMBER + "/donations", "donate", Scope.REDEEM, inputs.PointsDonate,
           "Give points to a charity of the program."),
    Change(_MEMBER + "/claims", "claim", Scope.REDEEM, inputs.RewardClaim,
           "Take one of a reward of the catalogue."),
    Change(_MEMBER + "/transfers", "transfer", Scope.TRANSFER, inputs.PointsTransfer,
           "Give points to another member."),
    Change(_MEMBER + "/adjustments", "adjust", Scope.ADJUST, inputs.PointsAdjust,
           "Give or take points by hand, for a reason.", actor=True),
    Change(_MEMBER + "/freeze", "freeze", Scope.MEMBERS_STANDING, inputs.AccountFreeze,
           "Stop all spending.", actor=True),
    Change(_MEMBER + "/unfreeze", "unfreeze", Scope.MEMBERS_STANDING, inputs.AccountUnfreeze,
           "Allow spending again.", actor=True),
    Change(_MEMBER + "/close", "close", Scope.MEMBERS_STANDING, inputs.AccountClose,
           "End the account; what is left is forfeited after the program's notice.", actor=True),
    Change(_MEMBER + "/merge", "merge", Scope.MEMBERS_STANDING, inputs.AccountMerge,
           "End the account and move all that it holds to another.", actor=True),
    Change(_MEMBER + "/tier", "hold_tier", Scope.MEMBERS_STANDING, inputs.TierOverride,
           "Hold the tier at a level until a moment.", actor=True),
    Change(_MEMBER + "/enrolment", "enrol", Scope.MEMBERS_WRITE, inputs.MemberEnrolled,
           "Enrol a member."),
    Change(_MEMBER + "/profile", "update", Scope.MEMBERS_WRITE, inputs.MemberUpdated,
           "Change what is known of a member; a key left out stays, null forgets.",
           method="PATCH"),
    Change(_MEMBER + "/erasure", "erase", Scope.MEMBERS_ERASE, inputs.MemberErased,
           "Forget all personal data of a member, for ever."),
    Change(_MEMBER + "/referral", "refer", Scope.MEMBERS_WRITE, inputs.ReferralRegistered,
           "Register who brought the member in."),
    Change(_MEMBER + "/surveys", "survey", Scope.MEMBERS_WRITE, inputs.SurveyCompleted,
           "A survey was completed."),
    Change(_MEMBER + "/activities", "activity", Scope.MEMBERS_WRITE, inputs.ActivityCompleted,
           "A review, visit, subscription … was completed."),
    Change(_MEMBER + "/purchases", "purchase", Scope.PURCHASES, inputs.PurchaseCompleted,
           "A purchase was paid; the answer tells what it earned."),
    Change(_MEMBER + "/returns", "return_goods", Scope.PURCHASES, inputs.PurchaseReturned,
           "Goods came back."),
    Change("/purchases", "anonymous_purchase", Scope.PURCHASES, inputs.PurchaseCompleted,
           "A purchase without a member was paid."),
)  # fmt: skip


def _body_type(change: Change, told: tuple[str, ...]) -> Any:
    """The data of the event without what the request tells."""
    data = next(f for f in msgspec.structs.fields(change.kind) if f.name == "data").type
    if change.kind is inputs.ReferralRegistered:
        return ReferralBody
    if not told:
        return data
    name = data.__name__.removesuffix("Data") + "Body"
    if change.name in ("freeze", "unfreeze", "close"):
        name = "StandingBody"
    body = _BODIES.get(name)
    if body is None:
        body = _BODIES[name] = without(data, told, name)
        body.__doc__ = data.__doc__
    return body


_BODIES: dict[str, Any] = {}


class ReferralBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Who brought the member in. `referrer_id` left out: whose referral code `code` is."""

    code: Text
    referrer_id: Referrer | msgspec.UnsetType = msgspec.UNSET


def _endpoint(change: Change) -> Callable[..., Awaitable[Response]]:
    type_name = str(change.kind.__struct_config__.tag)
    scope = Depends(require(change.scope))
    reservation = "{reservation_id}" in change.path

    async def endpoint(
        request: Request,
        key: IdempotencyKey,
        caller: Caller,
        member_id: str | None,
        reservation_id: str | None,
        occurred_at: str | None,
    ) -> Response:
        told: dict[str, Any] = {}
        if change.actor:
            told["actor"] = caller.name
        if reservation_id is not None:
            told["reservation_id"] = checked_id(reservation_id, "reservation_id")
        if change.kind is inputs.ReferralRegistered:
            told |= await referrer_told(request)
        event = await event_of(
            request,
            caller,
            type_name,
            key,
            member_id=member_id,
            occurred_at=_moment(occurred_at),
            told=told,
        )
        if isinstance(event, inputs.PointsAdjust):
            proposal = await approvals.of(request).adjustment(
                caller, event, timed=occurred_at is not None
            )
            if proposal is not None:
                return approvals.accepted(proposal)
        return await changed(request, event, timed=occurred_at is not None)

    if reservation:

        async def of_reservation(
            request: Request,
            member_id: MemberId,
            reservation_id: ReservationId,
            key: IdempotencyKey,
            caller: Annotated[Caller, scope],
            occurred_at: OccurredAt = None,
        ) -> Response:
            return await endpoint(request, key, caller, member_id, reservation_id, occurred_at)

        return of_reservation
    if "{member_id}" in change.path:

        async def of_member(
            request: Request,
            member_id: MemberId,
            key: IdempotencyKey,
            caller: Annotated[Caller, scope],
            occurred_at: OccurredAt = None,
        ) -> Response:
            return await endpoint(request, key, caller, member_id, None, occurred_at)

        return of_member

    async def of_nobody(
        request: Request,
        key: IdempotencyKey,
        caller: Annotated[Caller, scope],
        occurred_at: OccurredAt = None,
    ) -> Response:
        return await endpoint(request, key, caller, None, None, occurred_at)

    return of_nobody


def _described(change: Change, told: tuple[str, ...]) -> dict[str, Any]:
    described = operation(body=_body_type(change, told), answer=ChangeAnswer, problems=(404, 409))
    if change.kind is inputs.PointsAdjust:
        described["responses"] |= waits(ProposalAnswer)
    return described


def _moment(text: str | None) -> datetime | None:
    at = moment_of(text, "occurred_at")
    return None if at is None else from_instant(at)


for _change in CHANGES:
    _told = ("actor",) if _change.actor else ()
    if "{reservation_id}" in _change.path:
        _told = (*_told, "reservation_id")
    group.add_api_route(
        _change.path,
        _endpoint(_change),
        methods=[_change.method],
        name=_change.name,
        operation_id=_change.name,
        summary=_change.summary,
        **_described(_change, _told),
    )
