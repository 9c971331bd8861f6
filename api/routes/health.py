"""Whether the process lives, and whether it can answer."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.documents import json_of

group = APIRouter(tags=["health"])


@group.get("/livez", include_in_schema=False)
async def livez() -> Response:
    """The process turns its loop."""
    return json_of({"status": "ok"})


@group.get("/readyz", include_in_schema=False)
async def readyz(request: Request) -> Response:
    """The ledger is open."""
    ready = hasattr(request.app.state, "points")
    return json_of({"status": "ready" if ready else "starting"}, 200 if ready else 503)
