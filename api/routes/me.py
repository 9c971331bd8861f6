"""Who the caller is, as the API sees it."""

from fastapi import APIRouter, Request
from msgspec import Struct
from starlette.responses import Response

from api.caller import Access, Caller
from api.fresh import fresh, question

group = APIRouter(prefix="/v1", tags=["access"])


class MeAnswer(Struct, frozen=True):
    """`name`: as it stands in audits and as the actor of changes; `person`: null for a machine."""

    name: str
    client: str
    person: str | None
    scopes: list[str]


@group.get(
    "/me",
    name="me",
    operation_id="me",
    summary="Who the caller is, and what it may do. Asks for no scope.",
    **question(MeAnswer),
)
async def me(request: Request) -> Response:
    """The caller of this request."""
    access: Access = request.app.state.points.access
    caller: Caller = await access.caller(request)
    scopes = sorted(str(scope) for scope in caller.scopes)
    return fresh(request, MeAnswer(caller.name, caller.client, caller.person, scopes))
