"""Reports: KPIs and the liability, as JSON or CSV; what folds the whole log is a job."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from msgspec import Meta, Struct
from starlette.responses import Response

from analytics import kpis
from analytics.liability_log import owed_at
from analytics.liability_report import MONTH_PATTERN, SHARE_PATTERN, check_month, share
from api.caller import Caller, require
from api.documents import body_of
from api.fresh import CSV, csv_of, fresh, of_content, question, wants
from api.moments import ASKED, AskedMoment
from api.problems import Problem
from api.reading import AsOf, known, moment_of, now, reading, state_of
from api.routes.jobs import accepted, job_begun
from api.scopes import Scope
from ledger.core.calendar import format_instant, from_instant
from ledger.core.program.timeline import NoProgram
from ledger.errors import LedgerError

group = APIRouter(prefix="/v1", tags=["reports"])

ROWS_MAX = 10_000
"""Of one figure: three years of days by ten stores, a megabyte or two."""

Reader = Annotated[Caller, Depends(require(Scope.REPORTS_READ))]
Figure = Literal["sales", "points", "campaigns", "retention", "churn", "referrals", "rfm"]
Since = Annotated[
    str | None,
    Query(
        alias="from",
        description="From this moment on, RFC 3339; left out: the first of all.",
        json_schema_extra=ASKED,
    ),
]
Until = Annotated[
    str | None,
    Query(
        alias="to",
        description="Before this moment (of rfm: at it), RFC 3339; left out: now.",
        json_schema_extra=ASKED,
    ),
]
Grain = Annotated[
    Literal["all", "day", "week", "month"],
    Query(description="By which local period; weeks begin on Monday."),
]
By = Annotated[
    Literal["all", "store", "region", "channel", "segment", "campaign"],
    Query(description="By which dimension; not of campaigns, referrals and rfm."),
]
Month = Annotated[str, Meta(max_length=7, extra_json_schema={"pattern": MONTH_PATTERN})]
IdleDays = Annotated[
    int, Query(ge=1, le=3_650, description="Of churn: who has not bought for so long has gone.")
]


class FigureAnswer(Struct, frozen=True):
    """The rows of a figure: docs/kpi.md and docs/sql.md say what each column is. Rates are
    numbers, money is in minor units, a period is named by its first local day. `until` null: it was
    not asked for, and is now."""

    figure: str
    since: datetime
    until: datetime | None
    grain: str
    by: str
    columns: list[str]
    rows: list[list[int | float | str | None]]


class LiabilityAnswer(Struct, frozen=True):
    """What is owed to all members: points left in lots, and their worth in minor units at the point
    value in force. `debt`: points that members owe, not taken off. `as_of` null: now."""

    as_of: datetime | None
    currency: str
    point_value: int
    points: int
    liability: int
    debt: int
    debt_value: int


class LiabilityBody(Struct, frozen=True, forbid_unknown_fields=True):
    """Which report: `outstanding` (at `as_of`, by `by`), `breakage` (at `as_of`), `movement` and
    `deferred` (of local months `since` to `until`, as 2017-06; null: the first, the present one).
    `rate`: for deferred revenue the share of points never spent, a decimal below 1."""

    report: Literal["outstanding", "movement", "breakage", "deferred"]
    as_of: AskedMoment | None = None
    by: Literal["age", "expiry", "rule"] = "age"
    since: Month | None = None
    until: Month | None = None
    rate: Annotated[str, Meta(max_length=20, extra_json_schema={"pattern": SHARE_PATTERN})] = "0"
    allocation: Literal["relative", "full"] = "relative"


@group.get("/kpis/{name}", operation_id="get_kpi", **question(FigureAnswer, also=(CSV,)))
def kpi(
    request: Request,
    name: Figure,
    _: Reader,
    since: Since = None,
    until: Until = None,
    grain: Grain = "month",
    by: By = "all",
    idle_days: IdleDays = 90,
) -> Response:
    """A figure of docs/kpi.md over a time, by period and dimension."""
    start, end = moment_of(since, "from"), moment_of(until, "to")
    with reading(state_of(request)) as connection:
        try:
            first, last = kpis.period(
                connection,
                None if start is None else from_instant(start),
                from_instant(now() if end is None else end),
            )
        except LedgerError as error:
            raise Problem(422, error.code, error.message, path="from") from None
        asked = kpis.Asked(first, last, grain, by, idle_days)
        with kpis.rows_of(connection, name, asked) as (columns, found):
            rows = list(islice(found, ROWS_MAX + 1))
    if len(rows) > ROWS_MAX:
        raise Problem(
            422,
            "too_many_rows",
            f"The answer has more than {ROWS_MAX} rows: ask for a shorter time, a coarser grain, or"
            " use `points kpi`, which streams.",
            path="grain",
        )
    if wants(request, CSV):
        return of_content(request, csv_of(columns, rows), CSV, vary=True)
    plain: list[list[Any]] = [[_plain(value) for value in row] for row in rows]
    answer = FigureAnswer(name, first, None if end is None else last, grain, by, columns, plain)
    return fresh(request, answer, vary=True)


def _plain(value: Any) -> Any:
    """Rates are estimates for programs: numbers, not texts."""
    if isinstance(value, Decimal):
        return float(value)
    return value.isoformat() if isinstance(value, date) else value


@group.get(
    "/liability",
    operation_id="get_liability",
    **question(LiabilityAnswer, problems=(404,), also=(CSV,)),
)
def liability(request: Request, _: Reader, as_of: AsOf = None) -> Response:
    """What is owed to all members, by the read models. In buckets, its movement, the expected
    breakage and deferred revenue: `POST /v1/liability/reports`."""
    at = moment_of(as_of)
    moment = now() if at is None else at
    state = state_of(request)
    with reading(state) as connection:
        owed = owed_at(connection, from_instant(moment))
        try:
            form = known(state).programs(connection).at(moment).form
        except NoProgram as none:
            raise Problem(404, "no_program", f"{none}.") from None
    answer = LiabilityAnswer(
        None if at is None else from_instant(moment),
        form.currency,
        form.point_value,
        owed.points,
        owed.liability,
        owed.debt,
        owed.debt * form.point_value,
    )
    if wants(request, CSV):
        names: Sequence[str] = LiabilityAnswer.__struct_fields__
        row = [getattr(answer, name) for name in names]
        return of_content(request, csv_of(names, [row]), CSV, vary=True)
    return fresh(request, answer, vary=True)


@group.post("/liability/reports", operation_id="begin_liability", **accepted(LiabilityBody))
async def report(
    request: Request,
    caller: Reader,
    body: Annotated[LiabilityBody, Depends(body_of(LiabilityBody))],
) -> Response:
    """A report that folds the whole log, as a job; it is compared with the read models."""
    at = moment_of(body.as_of)
    share(body.rate)
    for month in (body.since, body.until):
        if month is not None:
            check_month(month)
    asked = {
        "report": body.report,
        "as_of": format_instant(now() if at is None else at),
        "by": body.by,
        "since": body.since,
        "until": body.until,
        "rate": body.rate,
        "allocation": body.allocation,
    }
    return job_begun(request, "liability", asked, caller)
