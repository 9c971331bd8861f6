"""The short way of a plain request to its operation, past what FastAPI does for any request.

FastAPI's search for the route, its solving of dependencies and its layers take more of the
processor than all else that a question costs. What they find out is known when the application is
made: here it is looked up. A request that is not plain goes the long way, FastAPI's own, and so
does one with a parameter that is refused: nothing is done of it before that is known, so it is
FastAPI's answer that tells what is wrong. Both ways carry out the same functions with the same
values, within the same limits (`api.limits`), and answer errors by the same handlers.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import iscoroutinefunction
from typing import Any

from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from msgspec import Struct
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.limits import Limits, Running

Handlers = Mapping[Any, Callable[[Request, Any], Any]]
"""Of errors, by their class."""

_UNUSUAL = (
    "cookie_params",
    "body_params",
    "websocket_param_name",
    "http_connection_param_name",
    "response_param_name",
    "background_tasks_param_name",
    "security_scopes_param_name",
    "concurrency",
)
"""What a dependant may have that only FastAPI gives it."""

_PARAMETERS = ("path_params", "query_params", "header_params", "dependencies")

_CONSTANT = (str, int, bool, type(None))
"""Defaults that each request may share."""


class Operation(Struct, frozen=True):
    """One operation. `needs`: the dependencies, by the name of the argument that takes what each
    finds, which are called with the request alone; `path` and `headers`: the parameters as FastAPI
    has them, by the name of the argument and the name on the wire; `left_out`: what arguments are
    without a query and without optional headers."""

    route: APIRoute
    call: Callable[..., Any]
    is_async: bool
    needs: Sequence[tuple[str, str, Callable[..., Awaitable[Any]]]]
    path: Sequence[tuple[str, str, Any]]
    headers: Sequence[tuple[str, str, Any]]
    left_out: Mapping[str, Any]
    request: str | None
    """The argument that takes the request."""

    def values(self, headers: Headers, places: Mapping[str, str]) -> dict[str, Any] | None:
        """The arguments that the request's parameters are; None: one is refused."""
        values = dict(self.left_out)
        for name, on_the_wire, field in self.path:
            values[name], errors = field.validate(places[on_the_wire])
            if errors:
                return None
        for name, on_the_wire, field in self.headers:
            given = headers.get(on_the_wire)
            if given is not None:
                values[name], errors = field.validate(given)
                if errors:
                    return None
            elif name not in values:
                return None
        return values

    async def answer(self, request: Request, values: dict[str, Any]) -> Response:
        """Carry it out; `values` are completed."""
        if self.request is not None:
            values[self.request] = request
        for name, argument, need in self.needs:
            values[name] = await need(**{argument: request})
        if self.is_async:
            response = await self.call(**values)
        else:
            response = await run_in_threadpool(self.call, **values)
        assert isinstance(response, Response), "each operation makes its answer itself"
        return response


class Operations:
    """Finds the operation of a path. `groups`: all that the API has; what may only go the long way
    is left out, also because two operations may both be meant by a path."""

    def __init__(self, groups: Sequence[APIRouter]) -> None:
        routes = [route for group in groups for route in group.routes]
        known = [route for route in routes if isinstance(route, APIRoute)]
        assert len(known) == len(routes), "groups hold operations only"
        self._root: dict[str, Any] = {}
        self.routes: list[APIRoute] = []
        for route in known:
            operation = _operation_of(route)
            if operation is None or any(
                _alike(route, other) for other in known if other is not route
            ):
                continue
            node = self._root
            for part in route.path.split("/"):
                node = node.setdefault(_ANY if part.startswith("{") else part, {})
            for method in route.methods or ():
                node[_END + method] = operation
            self.routes.append(route)

    def find(self, method: str, path: str) -> tuple[Operation, dict[str, str]] | None:
        """The operation and what the path tells it; None: it has to go the long way."""
        node = self._root
        told = []
        for part in path.split("/"):
            found = node.get(part)
            if found is None:
                found = node.get(_ANY)
                if found is None or not part:
                    return None
                told.append(part)
            node = found
        operation: Operation | None = node.get(_END + method)
        if operation is None:
            return None
        return operation, dict(zip(operation.route.param_convertors, told, strict=True))


_ANY = "{}"
_END = "/"
"""Before the method, where a path ends: no part of a path has it in it."""


def _operation_of(route: APIRoute) -> Operation | None:
    dependant = route.dependant
    needs = []
    for each in dependant.dependencies:
        plain = not any(getattr(each, name) for name in (*_UNUSUAL, *_PARAMETERS))
        if not (plain and each.name and each.request_param_name and iscoroutinefunction(each.call)):
            return None
        needs.append((each.name, each.request_param_name, each.call))
    if any(getattr(dependant, name) for name in _UNUSUAL) or dependant.call is None:
        return None
    query, headers = dependant.query_params, dependant.header_params
    optional = [each for each in (*query, *headers) if not each.field_info.is_required()]
    if any(each.field_info.is_required() for each in query):
        return None
    if any(type(each.default) not in _CONSTANT for each in optional):
        return None
    if any("_" in each.alias for each in headers):
        return None  # FastAPI may look for it under another name
    parts = route.path.split("/")
    if [f"{{{name}}}" for name in route.param_convertors] != [p for p in parts if "{" in p]:
        return None  # a part that is more than one parameter, or one of a kind of its own
    return Operation(
        route,
        dependant.call,
        iscoroutinefunction(dependant.call),
        needs,
        [(each.name, each.alias, each) for each in dependant.path_params],
        [(each.name, each.alias, each) for each in headers],
        {each.name: each.default for each in optional},
        dependant.request_param_name,
    )


def _alike(one: APIRoute, other: APIRoute) -> bool:
    """Whether a path with a method may be of both."""
    ours, theirs = one.path.split("/"), other.path.split("/")
    return (
        bool((one.methods or set()) & (other.methods or set()))
        and len(ours) == len(theirs)
        and all(a == b or "{" in (a[:1], b[:1]) for a, b in zip(ours, theirs, strict=True))
    )


class ShortWay:
    """Answers plain requests. `running`: those of both ways together; `gzip_bytes_min`: answers
    from this size on are compressed for who accepts it."""

    def __init__(
        self,
        groups: Sequence[APIRouter],
        handlers: Handlers,
        running: Running,
        *,
        gzip_bytes_min: int,
    ) -> None:
        self.operations = Operations(groups)
        self._handlers = handlers
        self._gzip_bytes_min = gzip_bytes_min
        self._within: ASGIApp = ServerErrorMiddleware(
            Limits(self._carry_out, running), handler=handlers[Exception]
        )

    async def take(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> bool:
        """Answer the request; false, with nothing done: it has to go the long way."""
        if scope["type"] != "http" or scope["query_string"] or scope["root_path"]:
            return False
        found = self.operations.find(scope["method"], scope["path"])
        if found is None:
            return False
        operation, places = found
        values = operation.values(Headers(scope=scope), places)
        if values is None:
            return False
        scope["app"], scope["route"], scope["path_params"] = app, operation.route, places
        scope[_CALL] = operation, values
        await self._within(scope, receive, send)
        return True

    async def _carry_out(self, scope: Scope, receive: Receive, send: Send) -> None:
        operation, values = scope.pop(_CALL)
        request = Request(scope, receive, send)
        try:
            response = await operation.answer(request, values)
        except Exception as error:
            handler = self._handler_of(error)
            if handler is None:
                raise
            response = await handler(request, error)
        if type(response) is Response and len(response.body) < self._gzip_bytes_min:
            await response(scope, receive, send)
        else:
            await GZipMiddleware(response, self._gzip_bytes_min)(scope, receive, send)

    def _handler_of(self, error: Exception) -> Callable[[Request, Any], Any] | None:
        """The handler of its nearest class; None for what nobody expected."""
        for each in type(error).__mro__:
            if each is Exception:
                return None
            if each in self._handlers:
                return self._handlers[each]
        return None


_CALL = "points.call"
"""The key of a request's scope with its operation and the arguments of it."""
