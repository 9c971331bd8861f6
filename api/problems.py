"""What the API answers when it does not do what was asked: RFC 9457 problems with stable codes."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from msgspec import UNSET, Struct, UnsetType
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match

from api.correlation import correlation_of

MEDIA_TYPE = "application/problem+json"

TYPE = "urn:points-ledger:problem:"
"""What the codes follow in a problem's `type`: names, not addresses, for nobody serves them."""


class EventPlace(Struct, frozen=True):
    """Where the log has the event that answers a change."""

    shard: int
    position: int
    type: str


class ProblemDetails(Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem. `code`: stable, the end of `type`. `path`: the field at fault, as
    `$.lines[0].amount`. `correlation_id`: what the ledger's log lines about it carry."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    correlation_id: str = ""
    path: str | UnsetType = UNSET
    event: EventPlace | UnsetType = UNSET


class Problem(Exception):
    """Ends a request. `detail`: one sentence that says what to do; `event`: where the ledger
    recorded the refusal, when it did."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        path: str | None = None,
        headers: Mapping[str, str] | None = None,
        event: EventPlace | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.path = path
        self.headers = dict(headers or {})
        self.event = event


def response_of(problem: Problem, correlation_id: str) -> Response:
    """The problem as it is sent."""
    details = ProblemDetails(
        TYPE + problem.code,
        HTTPStatus(problem.status).phrase,
        problem.status,
        problem.detail,
        problem.code,
        correlation_id,
        UNSET if problem.path is None else problem.path,
        UNSET if problem.event is None else problem.event,
    )
    return Response(
        msgspec.json.encode(details), problem.status, problem.headers, media_type=MEDIA_TYPE
    )


async def on_problem(request: Request, problem: Exception) -> Response:
    """Answer with a `Problem` that was raised."""
    assert isinstance(problem, Problem)
    return response_of(problem, correlation_of(request.scope))


async def on_http(request: Request, error: Exception) -> Response:
    """Answer for what the framework refuses: no such path, no such method."""
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "http_error")
    detail = _DETAILS.get(error.status_code, f"{error.detail}.")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_methods(request))
    problem = Problem(error.status_code, code, detail, headers=headers)
    return response_of(problem, correlation_of(request.scope))


def _methods(request: Request) -> list[str]:
    """The methods that the path knows, of all routes: each route tells only its own."""
    found: set[str] = set()
    for route in (each for group in request.app.state.groups for each in group.routes):
        matched, _ = route.matches(request.scope)
        if matched is not Match.NONE:
            found |= getattr(route, "methods", None) or set()
    return sorted(found)


async def on_parameters(request: Request, error: Exception) -> Response:
    """Answer for a path, query or header parameter that is none."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place: Sequence[object] = first["loc"]
    name = ".".join(str(part) for part in place[1:])
    problem = Problem(
        422, "bad_parameter", f"{place[0]} parameter {name}: {first['msg']}.", path=name
    )
    return response_of(problem, correlation_of(request.scope))


_CODES = {404: "no_such_path", 405: "no_such_method"}
_DETAILS = {
    404: "There is no such path: /openapi.json lists all.",
    405: "The path does not know this method: /openapi.json lists all.",
}
