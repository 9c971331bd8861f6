"""Analyses of KPIs that compute more than a query: hold-out groups, member values, uplift.

What fits models or reads every member is a job. All figures but the historical ones are estimates.
"""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from msgspec import Meta, Struct
from starlette.responses import Response

from analytics.holdout import in_holdout, members_after
from api.caller import Caller, require
from api.documents import body_of
from api.fresh import fresh, question
from api.moments import AskedMoment
from api.pages import DEFAULT, NOTHING_BEFORE, Cursor, Limit, after_of, cursor_of, cut
from api.problems import Problem
from api.reading import moment_of, now, reading, state_of
from api.routes.jobs import accepted, job_begun
from api.scopes import Scope
from ledger.core.calendar import format_instant

group = APIRouter(prefix="/v1", tags=["reports"])

HOLDOUT_MEMBERS_MAX = 50_000
"""Named in one request: what its mebibyte holds."""

TOP_MAX = 10_000
"""Members of a value report: a result of some megabytes. All of them tells `points kpi value`."""

TOP = 100
"""Members of a value report where no number is asked for."""

SCANNED = 5_000
"""Members looked at in one query while a page of a hold-out group is filled."""

Reader = Annotated[Caller, Depends(require(Scope.REPORTS_READ))]
Share = Annotated[float, Meta(ge=0.01, le=99.99)]
Name = Annotated[str, Meta(min_length=1, max_length=128)]


class HoldoutAnswer(Struct, frozen=True):
    """Members of the group (or, if asked, all others), by id; merged accounts left out."""

    items: list[str]
    next: str | None


class ValueBody(Struct, frozen=True, forbid_unknown_fields=True):
    """`at`: by what was bought before this moment, RFC 3339; null: now. `days`: predict so many
    ahead. `top`: so many members are told, those expected to be worth the most."""

    at: AskedMoment | None = None
    days: Annotated[int, Meta(ge=1, le=3_650)] = 365
    top: Annotated[int, Meta(ge=1, le=TOP_MAX)] = TOP


class UpliftBody(Struct, frozen=True, forbid_unknown_fields=True):
    """The campaign's `rule`, over [`since`, `until`) (RFC 3339; null: from the first of all, until
    now). Its hold-out group by one of: `holdout_percent` (as `GET /v1/kpis/holdout` chooses),
    `holdout_tag` of profiles, or `holdout_members` named here. `margin`: per cent of turnover that
    is income; `confidence` of the intervals."""

    rule: Name
    since: AskedMoment | None = None
    until: AskedMoment | None = None
    holdout_percent: Share | None = None
    holdout_tag: Name | None = None
    holdout_members: Annotated[list[Name], Meta(max_length=HOLDOUT_MEMBERS_MAX)] | None = None
    margin: Annotated[float, Meta(ge=0.01, le=100)] = 100.0
    confidence: Annotated[float, Meta(ge=0.5, le=0.999)] = 0.95


@group.get("/kpis/holdout", operation_id="list_holdout", **question(HoldoutAnswer))
def holdout(
    request: Request,
    _: Reader,
    campaign: Annotated[
        str,
        Query(
            min_length=1,
            max_length=128,
            pattern=r"^[^\x00]*$",
            description="The rule's id, or any name of the campaign.",
        ),
    ],
    percent: Annotated[
        float, Query(ge=0.01, le=99.99, description="Share of the members, per cent.")
    ] = 10.0,
    others: Annotated[bool, Query(description="Those who are not of the group.")] = False,
    limit: Limit = DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """The members of a hold-out group, chosen by a hash of campaign and member: the same whoever
    asks, and another group for each campaign."""
    listing = ("holdout", campaign, percent, others)
    after = after_of(listing, cursor, str) or NOTHING_BEFORE
    found: list[str] = []
    with reading(state_of(request)) as connection:
        while len(found) <= limit:
            members = members_after(connection, after, SCANNED)
            found += [m for m in members if in_holdout(campaign, m, percent) is not others]
            if len(members) < SCANNED:
                break
            after = members[-1]
    page, more = cut(found, limit)
    following = cursor_of(listing, page[-1]) if more else None
    return fresh(request, HoldoutAnswer(list(page), following))


@group.post("/kpis/value/reports", operation_id="begin_value", **accepted(ValueBody))
async def value(
    request: Request,
    caller: Reader,
    body: Annotated[ValueBody, Depends(body_of(ValueBody))],
) -> Response:
    """What members have been worth, and are expected to be worth (BG/NBD, gamma-gamma), as a job.
    With too few members for the models it tells the past alone, and why."""
    asked = {
        "at": format_instant(moment_of(body.at, "at") or now()),
        "days": body.days,
        "top": body.top,
    }
    return job_begun(request, "value", asked, caller)


@group.post("/kpis/uplift/reports", operation_id="begin_uplift", **accepted(UpliftBody))
async def uplift(
    request: Request,
    caller: Reader,
    body: Annotated[UpliftBody, Depends(body_of(UpliftBody))],
) -> Response:
    """A campaign's uplift against its hold-out group, with intervals; income, cost and ROI, as a
    job."""
    named = (body.holdout_percent, body.holdout_tag, body.holdout_members)
    if sum(one is not None for one in named) != 1:
        raise Problem(
            422,
            "holdout_group",
            "Name the hold-out group by one of holdout_percent, holdout_tag, holdout_members.",
            path="$.holdout_percent",
        )
    since = moment_of(body.since, "since")
    asked = {
        "rule": body.rule,
        "since": None if since is None else format_instant(since),
        "until": format_instant(moment_of(body.until, "until") or now()),
        "percent": body.holdout_percent,
        "tag": body.holdout_tag,
        "members": body.holdout_members,
        "margin": body.margin,
        "confidence": body.confidence,
    }
    return job_begun(request, "uplift", asked, caller)
