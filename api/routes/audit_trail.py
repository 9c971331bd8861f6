"""The audit trail, for auditors."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query, Request
from msgspec import Struct
from starlette.responses import Response

from api.access import layer, trail_pages
from api.access.pages import CURSOR_CHARACTERS_MAX, cursor_of, place_of
from api.access.trail_pages import NEWEST, Asked, TrailRow
from api.caller import Caller, require
from api.fresh import fresh, question
from api.limits import PAGE_DEFAULT, PAGE_MAX
from api.moments import ASKED
from api.problems import Problem
from api.reading import moment_of
from api.scopes import Scope
from ledger.core.calendar import from_instant
from ledger.database import translated

group = APIRouter(prefix="/v1", tags=["access"])

Name = Annotated[str | None, Query(max_length=200, pattern=r"^[\x20-\x7e]*$")]
Moment = Annotated[
    str | None,
    Query(description="RFC 3339 with an offset.", json_schema_extra=ASKED),
]


class TrailAnswer(Struct, frozen=True):
    """A page, newest first. `next`: the cursor of the page after it, null at the end."""

    items: list[TrailRow]
    next: str | None


@group.get(
    "/audit-trail",
    name="audit_trail",
    operation_id="audit_trail",
    summary="Refused and privileged calls, newest first.",
    **question(TrailAnswer),
)
async def audit_trail(
    request: Request,
    _: Annotated[Caller, Depends(require(Scope.AUDIT_READ))],
    kind: Literal["refused", "begun", "ended", "command"] | None = None,
    who: Name = None,
    person: Name = None,
    operation: Name = None,
    correlation_id: Name = None,
    since: Moment = None,
    until: Moment = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = PAGE_DEFAULT,
    cursor: Annotated[str | None, Query(max_length=CURSOR_CHARACTERS_MAX)] = None,
) -> Response:
    """A page of it. Raises Problem (422 bad_cursor, bad_time)."""
    begins, ends = moment_of(since, "since"), moment_of(until, "until")
    asked = Asked(
        kind=kind,
        who=who,
        person=person,
        operation=operation,
        correlation_id=correlation_id,
        since=None if begins is None else from_instant(begins),
        until=None if ends is None else from_instant(ends),
    )
    before = NEWEST if cursor is None else _before(cursor)
    with translated():
        async with layer.of(request).pool.connection() as connection:
            rows = await trail_pages.page(connection, asked, limit, before)
    more = len(rows) == limit
    return fresh(request, TrailAnswer(rows, cursor_of(rows[-1].id) if more else None))


def _before(cursor: str) -> int:
    (before,) = place_of(cursor, tuple[int])
    if not 0 <= before <= NEWEST:
        raise Problem(422, "bad_cursor", "The cursor is none of ours.", path="cursor")
    return before
