"""The OpenAPI document: the same bytes for everybody, made and compressed once.

It is a quarter of a megabyte: to write and compress it anew for each who asks would take the loop,
and every till with it, for many milliseconds.
"""

import gzip

import msgspec
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from api.fresh import JSON, of_content

group = APIRouter(tags=["document"])


@group.get("/openapi.json", include_in_schema=False)
async def document(request: Request) -> Response:
    """The document, compressed for who accepts it."""
    plain, packed = _made(request.app)
    answer = of_content(request, plain, JSON, keep="no-cache")
    if answer.status_code == 200 and "gzip" in request.headers.get("accept-encoding", ""):
        answer.body = packed
        answer.headers["Content-Length"] = str(len(packed))
        answer.headers["Content-Encoding"] = "gzip"  # so nothing compresses it again
    return answer


def _made(app: FastAPI) -> tuple[bytes, bytes]:
    found: tuple[bytes, bytes] | None = getattr(app.state, "document", None)
    if found is None:
        plain = msgspec.json.encode(app.openapi())
        found = app.state.document = plain, gzip.compress(plain, mtime=0)
    return found
