"""Callers with real keys, and the API that they call in process."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
from fastapi import FastAPI
from msgspec import Struct

from api.access import keys
from api.access.approvals import PART as APPROVALS
from api.access.approvals import Approvals
from api.access.keys import Made
from api.access.layer import PART, Layer
from api.app import create_app
from ledger.settings import Settings


class Wanted(Struct, frozen=True):
    """What a key is to be."""

    client: str
    roles: Sequence[str] = ()
    scopes: Sequence[str] = ()
    expires_at: datetime | None = None
    requests_per_second: int | None = None


def in_hours(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


class Api:
    """A running API."""

    def __init__(self, app: FastAPI, client: httpx.AsyncClient) -> None:
        self.app = app
        self.client = client
        self.layer: Layer = app.state.points.parts[PART]
        self.approvals: Approvals = app.state.points.parts[APPROVALS]

    async def key(
        self,
        *scopes: str,
        roles: Sequence[str] = (),
        person: str | None = None,
        client: str | None = None,
        **more: Any,
    ) -> Made:
        """A new key."""
        name = client or f"c-{uuid4().hex[:10]}"
        async with self.layer.pool.connection() as connection:
            return await keys.create(
                connection, Wanted(name, roles, scopes, **more), by="tests", person=person
            )

    async def call(
        self, method: str, path: str, secret: str | None = None, **more: Any
    ) -> httpx.Response:
        """A request with that key or token."""
        headers = dict(more.pop("headers", {}))
        if secret is not None:
            headers["Authorization"] = f"Bearer {secret}"
        return await self.client.request(method, path, headers=headers, **more)

    async def trail(self, **which: str) -> list[dict[str, Any]]:
        """What the audit trail has, oldest first; what waits is written before."""
        self.layer.refusals.flush()
        where = " AND ".join(f"{name} = %({name})s" for name in which) or "true"
        async with self.layer.pool.connection() as connection:
            while self.layer.trail._waiting:  # the writer is another task of this loop
                await connection.execute("SELECT 1")
            cursor = await connection.execute(
                f"SELECT row_to_json(t) FROM api.audit_trail t WHERE {where} ORDER BY id".encode(),
                which,
            )
            return [row[0] for row in await cursor.fetchall()]


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Api]:
    """The API, its access layer as it is."""
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://points") as client:
            yield Api(app, client)


def code_of(response: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem."""
    return response.status_code, str(response.json().get("code"))
