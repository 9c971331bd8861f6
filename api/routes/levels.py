"""Tiers and segments of the program in force: what they are, how many members and who is in them.

Who is in them tell the read models, which follow the log.
"""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Request
from msgspec import Struct
from starlette.responses import Response

from api.caller import Caller, require
from api.fresh import fresh, question
from api.pages import DEFAULT, NOTHING_BEFORE, Cursor, Limit, after_of, cursor_of, cut
from api.problems import Problem
from api.reading import AsOf, in_thread, moment_of, now, reading, state_of
from api.routes.catalogue import in_force
from api.scopes import Scope
from api.state import State
from ledger.core.calendar import from_instant
from projections import queries

group = APIRouter(prefix="/v1", tags=["members"])

NO_TIER = "none"
"""Who has reached no level."""

Name = Annotated[
    str,
    Path(min_length=1, max_length=128, pattern=r"^[^\x00]*$", description="As the program has it."),
]


class TierRow(Struct, frozen=True):
    """A level. `at_least`: of what qualifies (points, minor units, or purchases: `measure` tells);
    null of `none`. `members`: who have it now."""

    tier: str
    at_least: int | None
    members: int


class TiersAnswer(Struct, frozen=True):
    """The levels in rising order, `none` first. `measure` null: the program has no tiers."""

    measure: str | None
    items: list[TierRow]


class SegmentRow(Struct, frozen=True):
    """A segment. `when`: its conditions as the program has them; `members`: who are in it now."""

    segment: str
    when: dict[str, Any]
    members: int


class SegmentRows(Struct, frozen=True):
    """The segments, in the program's order."""

    items: list[SegmentRow]


class InSegment(Struct, frozen=True):
    """In it from `entered_at` to `left_at` (exclusive; null: for good, so far)."""

    member_id: str
    entered_at: datetime
    left_at: datetime | None


class SegmentMembers(Struct, frozen=True):
    """Members of a segment, by id."""

    items: list[InSegment]
    next: str | None


@group.get("/tiers", operation_id="list_tiers", **question(TiersAnswer))
async def tiers(
    request: Request, _: Annotated[Caller, Depends(require(Scope.PROGRAMS_READ))]
) -> Response:
    """The tiers of the program in force, with how many members have each now."""
    state = state_of(request)
    program = (await in_force(state)).form.tiers
    if program is None:
        return fresh(request, TiersAnswer(None, []))
    counted = await in_thread(_counted_tiers, state)
    rows = [TierRow(NO_TIER, None, counted.get(NO_TIER, 0))]
    rows += [
        TierRow(level.id, level.at_least, counted.get(level.id, 0)) for level in program.levels
    ]
    return fresh(request, TiersAnswer(_measure(program.qualify_by), rows))


def _measure(by: Struct) -> str:
    """Which of the measures is set."""
    return next(name for name in by.__struct_fields__ if getattr(by, name) is not None)


def _counted_tiers(state: State) -> dict[str, int]:
    with reading(state) as connection:
        return queries.members_of_tiers(connection, from_instant(now()))


@group.get("/segments", operation_id="list_segments", **question(SegmentRows))
async def segments(
    request: Request, _: Annotated[Caller, Depends(require(Scope.PROGRAMS_READ))]
) -> Response:
    """The segments of the program in force, with how many members are in each now."""
    state = state_of(request)
    program = (await in_force(state)).form
    counted = await in_thread(_counted_segments, state)
    rows = [
        SegmentRow(each.id, _plain(each.when), counted.get(each.id, 0)) for each in program.segments
    ]
    return fresh(request, SegmentRows(rows))


def _plain(when: Struct) -> dict[str, Any]:
    """The conditions that are set."""
    found: dict[str, Any] = msgspec.to_builtins(when, enc_hook=str)
    return {name: value for name, value in found.items() if value is not None}


def _counted_segments(state: State) -> dict[str, int]:
    with reading(state) as connection:
        return dict(queries.members_of_segments(connection, from_instant(now())))


@group.get(
    "/segments/{segment}/members",
    operation_id="list_segment_members",
    **question(SegmentMembers, problems=(404,)),
)
async def segment_members(
    request: Request,
    segment: Name,
    _: Annotated[Caller, Depends(require(Scope.MEMBERS_READ))],
    as_of: AsOf = None,
    limit: Limit = DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """Who is in a segment at a moment, by id."""
    state, at = state_of(request), moment_of(as_of)
    programs = await state.ledger.reload_programs()
    if all(segment != each.id for _, one in programs.versions for each in one.form.segments):
        raise Problem(
            404,
            "unknown_segment",
            "No version of the program has this segment: `GET /v1/segments` lists those in force.",
            path="segment",
        )
    listing = ("segment-members", segment, as_of)
    after = after_of(listing, cursor, str) or NOTHING_BEFORE
    moment = from_instant(now() if at is None else at)
    found = await in_thread(_members, state, segment, moment, after, limit + 1)
    page, more = cut(found, limit)
    following = cursor_of(listing, page[-1].member_id) if more else None
    return fresh(request, SegmentMembers(list(page), following))


def _members(state: State, segment: str, at: datetime, after: str, limit: int) -> list[InSegment]:
    with reading(state) as connection:
        found = queries.in_segment(connection, segment, at, after, limit)
    return [InSegment(*row) for row in found]
