"""Jobs: how far each is, what came of it, and stopping it. Who may depends on the kind."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from msgspec import Struct
from starlette.responses import Response

from api.caller import Caller, require
from api.documents import json_of, operation
from api.fresh import fresh, question
from api.jobs import KINDS, PART, Job, JobError, Jobs
from api.pages import DEFAULT, Cursor, Limit, slice_of
from api.problems import Problem
from api.reading import state_of
from api.scopes import Scope

group = APIRouter(prefix="/v1", tags=["jobs"])

JobId = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="As the beginning told it.")]


class JobAnswer(Struct, frozen=True):
    """A job. `state`: queued, running, done, failed or stopped. `step`: what is under way, `done`
    of `total` of it (0: not known yet). `result`: once done; `error`: once failed."""

    id: str
    kind: str
    state: str
    by: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    step: str
    done: int
    total: int
    asked: dict[str, Any]
    result: Any
    error: JobError | None


class JobRow(Struct, frozen=True):
    """A job of a listing."""

    id: str
    kind: str
    state: str
    by: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    step: str
    done: int
    total: int


class JobsAnswer(Struct, frozen=True):
    """Jobs, the newest first; the oldest that ended are forgotten."""

    items: list[JobRow]
    next: str | None


def jobs_of(request: Request) -> Jobs:
    """The jobs of this process."""
    found: Jobs = state_of(request).parts[PART]
    return found


def accepted(body: Any = None) -> dict[str, Any]:
    """The keyword arguments of a route that begins a job."""
    return operation(body=body, answer=JobAnswer, status=202)


def job_begun(request: Request, kind: str, asked: dict[str, Any], caller: Caller) -> Response:
    """Begin a job; 202 with where it can be asked for. Raises Problem (503)."""
    job = jobs_of(request).submit(kind, asked, caller.name)
    return json_of(_answer(job), 202, {"Location": f"/v1/jobs/{job.id}"})


def _answer(job: Job) -> JobAnswer:
    return JobAnswer(*(getattr(job, name) for name in JobAnswer.__struct_fields__))


async def _looks(request: Request, job_id: JobId) -> tuple[Job, Caller]:
    """The job, for who may look at jobs of its kind."""
    return await _allowed(request, job_id, starting=False)


async def _stops(request: Request, job_id: JobId) -> tuple[Job, Caller]:
    """The job, for who may begin and stop jobs of its kind."""
    return await _allowed(request, job_id, starting=True)


async def _allowed(request: Request, job_id: str, *, starting: bool) -> tuple[Job, Caller]:
    job = jobs_of(request).get(job_id)
    scope = Scope.PROGRAMS_READ
    if job is not None:
        kind = KINDS[job.kind]
        scope = kind.starts if starting else kind.reads
    caller = await require(scope)(request)
    if job is None:
        raise Problem(
            404, "unknown_job", "There is no such job, or it was forgotten.", path="job_id"
        )
    return job, caller


@group.get("/jobs", operation_id="list_jobs", **question(JobsAnswer))
async def jobs(
    request: Request,
    caller: Annotated[Caller, Depends(require(Scope.PROGRAMS_READ))],
    limit: Limit = DEFAULT,
    cursor: Cursor = None,
) -> Response:
    """The jobs that the caller may look at, the newest first."""
    seen = [job for job in jobs_of(request).all() if KINDS[job.kind].reads in caller.scopes]
    page, following = slice_of(("jobs",), seen, cursor, limit)
    rows = [JobRow(*(getattr(job, name) for name in JobRow.__struct_fields__)) for job in page]
    return fresh(request, JobsAnswer(rows, following))


@group.get("/jobs/{job_id}", operation_id="get_job", **question(JobAnswer, problems=(404,)))
async def job(request: Request, found: Annotated[tuple[Job, Caller], Depends(_looks)]) -> Response:
    """How far a job is, and what came of it. Asks for the scope to read what it is about."""
    return fresh(request, _answer(found[0]))


@group.post(
    "/jobs/{job_id}/stop", operation_id="stop_job", **operation(answer=JobAnswer, problems=(404,))
)
async def stop(request: Request, found: Annotated[tuple[Job, Caller], Depends(_stops)]) -> Response:
    """Stop a job; one that has ended stays as it is. Asks for the scope to begin such a job."""
    await jobs_of(request).stop(found[0])
    return json_of(_answer(found[0]))
