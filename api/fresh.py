"""Answers of questions: a strong ETag from the content, 304 for who has it already, JSON or CSV."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

import msgspec
from fastapi import Request
from starlette.responses import Response

from api.documents import operation

JSON = "application/json"
CSV = "text/csv"
YAML = "application/yaml"

REVALIDATE = "private, no-cache"
"""The caller may keep it, and asks each time whether it is still so."""

NOT_KEPT = "no-store"
"""Nobody keeps it: it may hold what was never meant for the ledger."""

_TAG = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')


FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a formula begins with, in the spreadsheets that open CSV files."""


def fresh(
    request: Request, answer: object, *, keep: str = REVALIDATE, vary: bool = False
) -> Response:
    """The answer as JSON, or 304 when the caller has just that. `vary`: there is another form of it
    (`Accept`)."""
    return of_content(request, msgspec.json.encode(answer), JSON, keep=keep, vary=vary)


def of_content(
    request: Request, content: bytes, media_type: str, *, keep: str = REVALIDATE, vary: bool = False
) -> Response:
    """The same of bytes."""
    tag = sha256(content).hexdigest()[:32]
    if "gzip" in request.headers.get("accept-encoding", ""):
        tag += "-gzip"  # other bytes on the wire, so another strong tag
    headers = {"ETag": f'"{tag}"', "Cache-Control": keep}
    headers["Vary"] = "Accept, Accept-Encoding" if vary else "Accept-Encoding"
    asked = request.headers.get("if-none-match")
    if asked is not None and (asked.strip() == "*" or tag in _TAG.findall(asked)):
        return Response(None, 304, headers)
    return Response(content, 200, headers, media_type=media_type)


def wants(request: Request, media_type: str) -> bool:
    """Whether the caller prefers this form to JSON."""
    mine = theirs = 0.0
    for each in request.headers.get("accept", "").lower().split(","):
        name, _, rest = each.partition(";")
        quality = 1.0
        for parameter in rest.split(";"):
            key, _, value = parameter.strip().partition("=")
            if key == "q":
                try:
                    quality = float(value)
                except ValueError:
                    quality = 0.0
        if name.strip() == media_type:
            mine = quality
        elif name.strip() in (JSON, "application/*"):
            theirs = max(theirs, quality)
    return mine > 0 and mine >= theirs


def csv_of(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """Rows with a heading."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return out.getvalue().encode()


def _harmless(cell: object) -> object:
    """A text that a spreadsheet would take for a formula gets the apostrophe that says it is text:
    regions and the like come from purchases as anyone wrote them."""
    if isinstance(cell, str) and cell.startswith(FORMULA):
        return f"'{cell}"
    return cell


def question(
    answer: Any, *, problems: tuple[int, ...] = (), also: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The keyword arguments of a route that only reads. `also`: other media types of the answer."""
    described = operation(answer=answer, problems=problems)
    responses = described["responses"]
    for media_type in also:
        responses[200]["content"][media_type] = {"schema": {"type": "string"}}
    responses[304] = {"description": "The caller has it: If-None-Match names its ETag."}
    described["openapi_extra"]["parameters"] = [
        {
            "name": "If-None-Match",
            "in": "header",
            "required": False,
            "schema": {"type": "string"},
            "description": "The ETag of the answer that the caller has.",
        }
    ]
    return described
