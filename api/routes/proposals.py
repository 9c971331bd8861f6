"""What waits for a second person: looked at, approved, turned down."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request
from msgspec import Meta, Struct
from starlette.responses import Response

from api.access import approvals
from api.access.pages import CURSOR_CHARACTERS_MAX, cursor_of, place_of
from api.access.proposal_answers import ProposalAnswer, answer_of
from api.access.proposals import REASON_CHARACTERS_MAX
from api.caller import Caller, require
from api.documents import body_of, json_of, operation
from api.events import checked_id
from api.fresh import fresh, question
from api.limits import PAGE_DEFAULT, PAGE_MAX
from api.problems import Problem
from api.reading import MEMBER_PATTERN
from api.scopes import Scope

group = APIRouter(prefix="/v1/proposals", tags=["approvals"])

ProposalId = Annotated[
    str, Path(json_schema_extra={"pattern": MEMBER_PATTERN}, description="As `id` told it.")
]
Approver = Annotated[Caller, Depends(require(Scope.APPROVE))]
Reader = Annotated[Caller, Depends(require(Scope.PROPOSALS_READ))]


class ProposalsAnswer(Struct, frozen=True):
    """A page, newest first. `next`: the cursor of the page after it, null at the end."""

    items: list[ProposalAnswer]
    next: str | None


class Rejection(Struct, frozen=True, forbid_unknown_fields=True):
    """Why the proposal is turned down."""

    reason: Annotated[str, Meta(min_length=1, max_length=REASON_CHARACTERS_MAX)]


@group.get(
    "",
    name="proposals",
    operation_id="proposals",
    summary="Proposals, newest first.",
    **question(ProposalsAnswer),
)
async def proposals(
    request: Request,
    _: Reader,
    state: Literal["open", "approved", "rejected", "expired", "done", "failed"] | None = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
    cursor: Annotated[str | None, Query(max_length=CURSOR_CHARACTERS_MAX)] = None,
) -> Response:
    """A page of them. Raises Problem (422 bad_cursor)."""
    before = None if cursor is None else _before(cursor)
    found = await approvals.of(request).page(state, limit, before)
    last = found[-1] if len(found) == limit else None
    return fresh(
        request,
        ProposalsAnswer(
            [answer_of(each, content=False) for each in found],
            None if last is None else cursor_of(last.proposed_at.isoformat(), last.id),
        ),
    )


@group.get(
    "/{proposal_id}",
    name="proposal",
    operation_id="proposal",
    summary="One proposal with all that it would change.",
    **question(ProposalAnswer, problems=(404,)),
)
async def proposal(request: Request, _: Reader, proposal_id: ProposalId) -> Response:
    """Raises Problem (404)."""
    found = await approvals.of(request).find(checked_id(proposal_id, "proposal_id"))
    return fresh(request, answer_of(found))


@group.post(
    "/{proposal_id}/approve",
    name="approve",
    operation_id="approve",
    summary="Approve somebody else's proposal, and carry it out. Once more changes nothing.",
    **operation(answer=ProposalAnswer, problems=(404, 409)),
)
async def approve(request: Request, caller: Approver, proposal_id: ProposalId) -> Response:
    """Raises Problem (403, 404, 409)."""
    checked_id(proposal_id, "proposal_id")
    return json_of(answer_of(await approvals.of(request).approve(request, caller, proposal_id)))


@group.post(
    "/{proposal_id}/reject",
    name="reject",
    operation_id="reject",
    summary="Turn somebody else's proposal down.",
    **operation(body=Rejection, answer=ProposalAnswer, problems=(404, 409)),
)
async def reject(
    request: Request,
    caller: Approver,
    proposal_id: ProposalId,
    said: Annotated[Rejection, Depends(body_of(Rejection))],
) -> Response:
    """Raises Problem (403, 404, 409)."""
    checked_id(proposal_id, "proposal_id")
    found = await approvals.of(request).reject(request, caller, proposal_id, said.reason)
    return json_of(answer_of(found))


def _before(cursor: str) -> tuple[str, str]:
    at, proposal_id = place_of(cursor, tuple[str, str])
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None or "\0" in proposal_id:
        raise Problem(422, "bad_cursor", "The cursor is none of ours.", path="cursor")
    return at, proposal_id
