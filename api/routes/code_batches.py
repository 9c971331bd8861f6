"""Making promo codes: a batch of a series that the program has."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request
from msgspec import Meta, Struct
from starlette.responses import Response

from api.caller import Caller, require
from api.changing import IdempotencyKey
from api.code_batches import CODES_MAX, PART, Code, CodeBatches
from api.documents import body_of, json_of, operation
from api.problems import Problem
from api.reading import MEMBER_PATTERN, state_of
from api.scopes import Scope
from schemas.fields import MemberId

group = APIRouter(prefix="/v1", tags=["catalogue"])


class CodesBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Either `count`: so many codes that everybody may use; or `member_ids`: a code for each, which
    nobody else may use."""

    count: Annotated[int, Meta(ge=1, le=CODES_MAX)] | None = None
    member_ids: Annotated[list[MemberId], Meta(min_length=1, max_length=CODES_MAX)] | None = None


class CodesAnswer(Struct, frozen=True):
    """New codes, in the order of the members: they are told here and nowhere else. `repeated`: they
    had been made before, under the same key."""

    series: str
    codes: list[Code]
    repeated: bool


@group.post(
    "/promo-codes/{series}/batches",
    operation_id="make_codes",
    **operation(body=CodesBody, answer=CodesAnswer, status=201, problems=(404, 409)),
)
async def make(
    request: Request,
    series: Annotated[
        str, Path(pattern=MEMBER_PATTERN, description="A series without a code of its own.")
    ],
    caller: Annotated[Caller, Depends(require(Scope.PROGRAMS_WRITE))],
    key: IdempotencyKey,
    body: Annotated[CodesBody, Depends(body_of(CodesBody))],
) -> Response:
    """Make unguessable promo codes of a series. The same request under the same key is told the
    same codes for a day. Raises Problem."""
    members, count = body.member_ids, body.count
    if (count is None) == (members is None):
        raise Problem(422, "count_or_members", "Name either count or member_ids.", path="$.count")
    state = state_of(request)
    await state.ledger.reload_programs()
    batches: CodeBatches = state.parts.setdefault(PART, CodeBatches(state))
    number = len(members) if members is not None else count
    assert number is not None
    codes, repeated = await batches.make((caller.client, key), series, number, members)
    return json_of(CodesAnswer(series, codes, repeated), 201, {"Cache-Control": "no-store"})
