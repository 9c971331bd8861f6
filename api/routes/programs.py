"""Program versions: what was published, checking a text, publishing it, trying it on the past."""

import json
from datetime import datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Path, Request
from msgspec import Meta, Struct
from starlette.responses import Response

from api.access.approvals import propose
from api.access.proposal_answers import ProposalAnswer
from api.caller import Caller, require
from api.changing import IdempotencyKey
from api.documents import body_of, json_of, operation
from api.events import json_text
from api.fresh import YAML, fresh, of_content, question, wants
from api.moments import AskedMoment
from api.pages import DEFAULT, Cursor, Limit, slice_of
from api.problems import Problem
from api.program_checks import checks_of
from api.reading import moment_of, now, state_of
from api.routes.jobs import accepted, job_begun
from api.scopes import Scope
from ledger.core.calendar import format_instant, from_instant
from ledger.core.program.canonical import canonical, version_of
from ledger.core.program.document import FILE_SIZE_MAX, write_document
from ledger.core.program.form import Program
from ledger.core.program.load import ProgramErrors
from ledger.core.program.timeline import NoProgram, Timeline
from ledger.programs import version_named

group = APIRouter(prefix="/v1", tags=["programs"])

YAMLS = (YAML, "application/x-yaml", "text/yaml")
"""How clients call YAML: RFC 9512's, and what was usual before it."""

TOP = 10
"""Members told as changed the most, where no number is asked for."""

Version = Annotated[
    str,
    Path(
        pattern="^[0-9a-f]{4,64}$",
        description="A version, or its beginning of at least 4 characters.",
    ),
]
Reader = Annotated[Caller, Depends(require(Scope.PROGRAMS_READ))]
Writer = Annotated[Caller, Depends(require(Scope.PROGRAMS_WRITE))]
Checker = Annotated[Caller, Depends(require(Scope.PROGRAMS_WRITE, noted=False))]
"""Who has a text checked: an editor does at every pause, and nothing follows from it."""


class VersionRow(Struct, frozen=True):
    """A published version, in force from `effective_from` until the next one's."""

    version: str
    program: str
    effective_from: datetime
    in_force: bool
    rules: int
    point_value: int
    currency: str


class VersionsAnswer(Struct, frozen=True):
    """The versions, by `effective_from`, the newest first."""

    items: list[VersionRow]
    next: str | None


class VersionAnswer(Struct, frozen=True):
    """A version in its normal form, which is what its name is the hash of."""

    version: str
    effective_from: datetime
    in_force: bool
    content: dict[str, Any]


class ProgramText(Struct, frozen=True, forbid_unknown_fields=True):
    """A program as its YAML file has it."""

    text: Annotated[str, Meta(max_length=FILE_SIZE_MAX)]


class ProgramProblem(Struct, frozen=True):
    """What is wrong: stable code, the key as `earn[2].award.rate`, line from 1, one sentence."""

    code: str
    path: str
    line: int
    message: str


class CheckAnswer(Struct, frozen=True):
    """Whether the program can be used; if it can, which version it is and from when it would
    hold."""

    ok: bool
    problems: list[ProgramProblem]
    program: str | None = None
    version: str | None = None
    effective_from: datetime | None = None
    published: bool = False


class BacktestBody(Struct, frozen=True, forbid_unknown_fields=True):
    """A program as its YAML file has it. [`since`, `until`): whose inputs are decided anew, RFC
    3339; null: all. `sample`: percent of the members, chosen by `seed`. `top`: how many members are
    told as changed the most."""

    text: Annotated[str, Meta(max_length=FILE_SIZE_MAX)]
    since: AskedMoment | None = None
    until: AskedMoment | None = None
    sample: Annotated[float, Meta(gt=0, le=100)] = 100.0
    seed: Annotated[int, Meta(ge=0, le=2**31)] = 0
    top: Annotated[int, Meta(ge=1, le=1_000)] = TOP


@group.get("/programs", operation_id="list_programs", **question(VersionsAnswer))
async def programs(
    request: Request, _: Reader, limit: Limit = DEFAULT, cursor: Cursor = None
) -> Response:
    """The published versions with the moments from which they are in force."""
    timeline = await state_of(request).ledger.reload_programs()
    current = _in_force(timeline)
    rows = [
        VersionRow(
            each.version,
            each.form.program,
            from_instant(start),
            each.version == current,
            len(each.rules),
            each.form.point_value,
            each.form.currency,
        )
        for start, each in reversed(timeline.versions)
    ]
    page, following = slice_of(("programs",), rows, cursor, limit)
    return fresh(request, VersionsAnswer(list(page), following))


def _in_force(timeline: Timeline) -> str | None:
    """The version in force now."""
    try:
        return timeline.at(now()).version
    except NoProgram:
        return None


@group.get(
    "/programs/{version}",
    operation_id="get_program",
    **question(VersionAnswer, problems=(404,), also=(YAML,)),
)
async def program(request: Request, version: Version, _: Reader) -> Response:
    """A version in its normal form, as JSON or (`Accept: application/yaml`) as a file that could be
    published."""
    timeline = await state_of(request).ledger.reload_programs()
    found = version_named(timeline, version)
    content = json.loads(canonical(found.form))
    if wants(request, YAML):
        return of_content(request, write_document(content).encode(), YAML, vary=True)
    in_force = _in_force(timeline) == found.version
    start = from_instant(found.effective_from)
    return fresh(request, VersionAnswer(found.version, start, in_force, content), vary=True)


def _with_yaml(described: dict[str, Any]) -> dict[str, Any]:
    """The body may be the file itself, too."""
    described["openapi_extra"]["requestBody"]["content"][YAML] = {"schema": {}}
    return described


_text = msgspec.json.Decoder(ProgramText).decode


async def program_text(request: Request) -> str:
    """The program of a body: YAML, or JSON with the YAML in it. Raises Problem."""
    content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if content_type in YAMLS:
        try:
            return (await request.body()).decode()
        except UnicodeDecodeError as error:
            raise Problem(
                400, "not_utf8", f"The body is not UTF-8 (byte {error.start}): send it as UTF-8."
            ) from None
    text = await json_text(request)
    try:
        return _text(text).text
    except msgspec.ValidationError as error:
        what, _, place = str(error).partition(" - at `")
        raise Problem(422, "invalid_field", f"{what}.", path=place.rstrip("`") or "$") from None
    except (ValueError, RecursionError) as error:
        raise Problem(400, "not_json", f"The body is no JSON: {error}.") from None


Body = Annotated[str, Depends(program_text)]


@group.post(
    "/program-checks",
    operation_id="check_program",
    **_with_yaml(operation(body=ProgramText, answer=CheckAnswer)),
)
async def check(request: Request, caller: Checker, text: Body) -> Response:
    """Check a program; tells every problem with line, path and sentence. Nothing is changed."""
    try:
        found = await checks_of(state_of(request)).load(text, caller.name)
    except ProgramErrors as errors:
        problems = [ProgramProblem(p.code, p.path, p.line, p.message) for p in errors.problems]
        return json_of(CheckAnswer(ok=False, problems=problems))
    version = version_of(found)
    timeline = await state_of(request).ledger.reload_programs()
    known = any(each.version == version for _, each in timeline.versions)
    return json_of(
        CheckAnswer(True, [], found.program, version, found.effective_from, published=known)
    )


@group.post(
    "/programs",
    operation_id="publish_program",
    **_with_yaml(operation(body=ProgramText, answer=ProposalAnswer, status=202, problems=(409,))),
)
async def publish(request: Request, caller: Writer, key: IdempotencyKey, text: Body) -> Response:
    """Propose a program for publication: another person approves it, and from its `effective_from`
    on it decides. What is published cannot be taken back; a later version can follow it."""
    return await propose(request, caller, key, await checked(request, caller, text))


async def checked(request: Request, caller: Caller, text: str) -> Program:
    """A program that can be used. Raises Problem (422 bad_program; those of `ProgramChecks`)."""
    try:
        return await checks_of(state_of(request)).load(text, caller.name)
    except ProgramErrors as errors:
        first, count = errors.problems[0], len(errors.problems)
        raise Problem(
            422,
            "bad_program",
            f"The program cannot be used ({count} in all, `POST /v1/program-checks` tells each):"
            f" line {first.line}, {first.path}: {first.message} [{first.code}].",
            path=first.path,
        ) from None


@group.post("/backtests", operation_id="begin_backtest", **accepted(BacktestBody))
async def backtest(
    request: Request,
    caller: Writer,
    body: Annotated[BacktestBody, Depends(body_of(BacktestBody))],
) -> Response:
    """Run the recorded history under a program, as a job: what it would have given and cost, who
    would win and lose. Nothing is published."""
    since, until = moment_of(body.since, "since"), moment_of(body.until, "until")
    await checked(request, caller, body.text)
    asked = {
        "program": body.text,
        "since": None if since is None else format_instant(since),
        "until": None if until is None else format_instant(until),
        "sample": body.sample,
        "seed": body.seed,
        "top": body.top,
    }
    return job_begun(request, "backtest", asked, caller)
