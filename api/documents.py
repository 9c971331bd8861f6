"""Bodies and answers: msgspec types, read strictly, and described in the OpenAPI document.

The data of a change is the very type that the same command has in Kafka: one contract, one check of
it, one wording of what is wrong.
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

import msgspec
from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi
from starlette.responses import Response

from api.described import bound_bodies
from api.events import json_text
from api.links import add_links
from api.problems import MEDIA_TYPE, Problem, ProblemDetails

T = TypeVar("T")

REFS = "#/components/schemas/{name}"

TYPES: set[Any] = {ProblemDetails}
"""Every type that a body or an answer has."""


def body_of(kind: type[T]) -> Callable[[Request], Awaitable[T]]:
    """The dependency that reads a JSON body as `kind`. Raises Problem (400 not_json, 415, 422)."""
    decode = msgspec.json.Decoder(kind).decode

    async def body(request: Request) -> T:
        text = await json_text(request)
        try:
            return decode(text)
        except msgspec.ValidationError as error:
            raise _invalid(error) from None
        except (ValueError, RecursionError) as error:
            raise Problem(400, "not_json", f"The body is no JSON: {error}.") from None

    return body


def _invalid(error: msgspec.ValidationError) -> Problem:
    what, _, place = str(error).partition(" - at `")
    return Problem(422, "invalid_field", f"{what}.", path=place.rstrip("`") or "$")


def without(kind: Any, left_out: Collection[str], name: str) -> Any:
    """The type `kind` as `name`, without the fields that the request tells by other means."""
    kept = [
        (f.name, f.type) if f.required else (f.name, f.type, f.default)
        for f in msgspec.structs.fields(kind)
        if f.name not in left_out
    ]
    return msgspec.defstruct(name, kept, forbid_unknown_fields=True)


def operation(
    *, body: Any = None, answer: Any = None, status: int = 200, problems: tuple[int, ...] = ()
) -> dict[str, Any]:
    """The keyword arguments of a route that describe its body, its answer and its problems. What
    every operation may answer (401, 403, 429, 503) is added."""
    extra: dict[str, Any] = {}
    if body is not None:
        TYPES.add(body)
        extra["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(body)}},
        }
    responses: dict[int | str, dict[str, Any]] = {status: {"description": "Done."}}
    if answer is not None:
        TYPES.add(answer)
        responses[status]["content"] = {"application/json": {"schema": _reference(answer)}}
    usual = (400, 401, 403, 408, 413, 415, 422, 429, 500, 503) if body is not None else (
        401, 403, 422, 429, 500, 503)  # fmt: skip
    for code in sorted({*usual, *problems}):
        responses[code] = {
            "description": "A problem.",
            "content": {MEDIA_TYPE: {"schema": _reference(ProblemDetails)}},
        }
    return {
        "openapi_extra": extra,
        "responses": responses,
        "response_class": Response,
        "response_model": None,
        "status_code": status,
    }


def waits(answer: Any) -> dict[int | str, dict[str, Any]]:
    """The response of an operation whose change waits for a second person."""
    TYPES.add(answer)
    schema = {"application/json": {"schema": _reference(answer)}}
    return {202: {"description": "It waits for a second person.", "content": schema}}


def json_of(answer: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """An answer as JSON."""
    return Response(msgspec.json.encode(answer), status, headers, media_type="application/json")


def _reference(kind: Any) -> dict[str, Any]:
    (schema,), _ = msgspec.json.schema_components([kind], ref_template=REFS)
    return schema


def describe(app: FastAPI) -> None:
    """Let the application's OpenAPI document name every type."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = get_openapi(
                title=app.title,
                version=app.version,
                description="Points are whole numbers of the program's smallest unit; money is in"
                " minor units; moments are RFC 3339 with an offset.",
                routes=app.routes,
            )
            _, components = msgspec.json.schema_components(
                sorted(TYPES, key=str), ref_template=REFS
            )
            parts = document.setdefault("components", {})
            parts.setdefault("schemas", {}).update(components)
            parts["securitySchemes"] = {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, or a token of the configured OIDC issuer.",
                }
            }
            document["security"] = [{"bearer": []}]
            bound_bodies(document)
            add_links(document)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
