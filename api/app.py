"""The FastAPI application: its parts put together, opened and closed in order."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from psycopg_pool import ConnectionPool
from starlette.exceptions import HTTPException
from starlette.middleware.gzip import GZipMiddleware
from starlette.types import Receive, Scope, Send

from api import documents, problems
from api.access import approvals
from api.access.layer import PART as LAYER
from api.access.layer import open_access
from api.asking import Asking
from api.door import Door
from api.failures import on_bug, on_full, on_ledger_error
from api.groups import Full
from api.ingest import Ingest
from api.jobs import PART, Jobs
from api.limits import Limits, Running
from api.problems import Problem
from api.routes import GROUPS
from api.short_way import ShortWay
from api.state import State
from ledger.application import Ledger
from ledger.errors import LedgerError
from ledger.settings import Settings
from projections.connection import prepare

GZIP_BYTES_MIN = 4_000
"""Answers below fit into three packets; to begin compressing takes a tenth of a millisecond, as
much as all that is done for a question around it."""

STATEMENT_MS_MAX = 25_000
"""Of a question, milliseconds: whoever asks is answered before ANSWER_SECONDS are over."""

READS_MAX = 8
"""Sessions for questions: more would only wait for two cores."""

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Application(FastAPI):
    """FastAPI's, with a short way for plain requests (`api.short_way`)."""

    short_way: ShortWay

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or something else, by the way that it can go."""
        if not await self.short_way.take(self, scope, receive, send):
            await super().__call__(scope, receive, send)


def create_app(settings: Settings) -> Application:
    """The API of one ledger. It is opened when the server starts it. Raises (then) StartRefused."""
    app = Application(
        title="Points Ledger",
        version=version("points-ledger"),
        openapi_url=None,  # `api.routes.document` has it
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan(settings),
    )
    app.state.groups = GROUPS
    for group in GROUPS:
        app.include_router(group)
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_BYTES_MIN)
    running = Running()
    app.add_middleware(Limits, running=running)
    app.add_exception_handler(Problem, problems.on_problem)
    app.add_exception_handler(HTTPException, problems.on_http)
    app.add_exception_handler(RequestValidationError, problems.on_parameters)
    app.add_exception_handler(LedgerError, on_ledger_error)
    app.add_exception_handler(Full, on_full)
    app.add_exception_handler(Exception, on_bug)
    documents.describe(app)
    app.short_way = ShortWay(GROUPS, app.exception_handlers, running, gzip_bytes_min=GZIP_BYTES_MIN)
    return app


def _lifespan(settings: Settings) -> Lifespan:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with opened(settings) as state:
            app.state.points = state
            yield

    return lifespan


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[State]:
    """Everything that the operations share. Raises StartRefused."""
    ledger = await Ledger.open(settings)
    try:
        reads: ConnectionPool[Any] = ConnectionPool(
            settings.require_database_url(),
            min_size=1,
            max_size=READS_MAX,
            kwargs={
                "application_name": "points api",
                "options": f"-c statement_timeout={STATEMENT_MS_MAX}",
            },
            configure=prepare,
            open=False,
        )
        reads.open()
        try:
            door, asking, ingest = Door(ledger), Asking(ledger), Ingest(settings)
            jobs = Jobs(settings.data_dir / "jobs", settings.require_database_url())
            jobs.open()
            try:
                async with (
                    open_access(settings) as access,
                    approvals.opened(access, ledger, door, settings.approval_points) as waiting,
                ):
                    parts = {approvals.PART: waiting, LAYER: access, PART: jobs}
                    yield State(settings, ledger, door, asking, reads, access, ingest, parts)
            finally:
                await jobs.close()
                await door.close()
                await asking.close()
                await ingest.close()
        finally:
            reads.close()
    finally:
        await ledger.close()
