"""Referral codes: made for a member, told again, and looked up when somebody names one."""

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api import referral_codes
from api.caller import Caller, require
from api.documents import json_of, operation
from api.events import json_object
from api.fresh import fresh, question
from api.problems import Problem
from api.reading import MemberId, TypedCode, in_thread, known, reading, state_of, unknown_member
from api.referral_codes import ReferralCode
from api.scopes import Scope
from audit.member_history import is_member

group = APIRouter(prefix="/v1", tags=["catalogue"])


@group.post(
    "/members/{member_id}/referral-code",
    operation_id="make_referral_code",
    **operation(answer=ReferralCode, problems=(404,)),
)
def make(
    request: Request,
    member_id: MemberId,
    caller: Annotated[Caller, Depends(require(Scope.MEMBERS_WRITE))],
) -> Response:
    """The code that a member hands on: made the first time, the same ever after."""
    state = state_of(request)
    with reading(state) as connection:
        if not is_member(connection, known(state).facts(connection), member_id):
            raise unknown_member(member_id)
        return json_of(referral_codes.made(connection, member_id, caller.name))


@group.get(
    "/members/{member_id}/referral-code",
    operation_id="get_referral_code",
    **question(ReferralCode, problems=(404,)),
)
def of_member(
    request: Request,
    member_id: MemberId,
    _: Annotated[Caller, Depends(require(Scope.MEMBERS_READ))],
) -> Response:
    """The code that a member hands on."""
    with reading(state_of(request)) as connection:
        found = referral_codes.of_member(connection, member_id)
    if found is None:
        raise Problem(
            404,
            "no_referral_code",
            "The member has no referral code: POST makes one.",
            path="member_id",
        )
    return fresh(request, found)


@group.get(
    "/referral-codes/{code}",
    operation_id="check_referral_code",
    **question(ReferralCode, problems=(404,)),
)
def check(
    request: Request,
    code: TypedCode,
    _: Annotated[Caller, Depends(require(Scope.MEMBERS_WRITE))],
) -> Response:
    """Whose referral code it is."""
    with reading(state_of(request)) as connection:
        return fresh(request, referral_codes.whose(connection, code))


async def referrer_told(request: Request) -> dict[str, Any]:
    """The referrer of a registration whose body names the code alone. Raises LedgerError
    (unknown_referral_code), Problem (400, 415, 422)."""
    body = await json_object(request)
    if "referrer_id" in body or "code" not in body:
        return {}
    try:
        code = msgspec.json.decode(body["code"], type=str)
    except msgspec.ValidationError:
        return {}  # the event's own check says what is wrong

    def look() -> str:
        with reading(state_of(request)) as connection:
            return referral_codes.whose(connection, code).member_id

    return {"referrer_id": await in_thread(look)}
