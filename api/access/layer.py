"""The access layer as the operations see it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request

from api.caller import Access, Caller
from api.problems import Problem
from api.scopes import Scope
from ledger.settings import Settings


class Layer:
    """Authenticates callers and takes note of what they do."""

    async def caller(self, _: Request) -> Caller:
        """Who sent the request. Raises Problem (401, 429)."""
        raise Problem(401, "not_signed_in", "Send an API key: Authorization: Bearer KEY.")

    async def refused(self, request: Request, caller: Caller, scope: Scope) -> None:
        """Take note that a caller lacked a scope."""

    async def privileged(self, request: Request, caller: Caller, scope: Scope) -> None:
        """Take note of a privileged call, before it is carried out."""


@asynccontextmanager
async def open_access(_: Settings) -> AsyncIterator[Access]:
    """The layer, while the API runs."""
    yield Layer()
