"""Who calls, and the dependency by which an operation asks for a scope."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from fastapi import Request
from msgspec import Struct

from api.problems import Problem
from api.scopes import Scope


class Caller(Struct, frozen=True):
    """An authenticated caller. `name`: for audits and as the actor of changes, well formed as an
    id; `client`: under which its idempotency keys are known, the same after a key was exchanged;
    `person`: who it is for the two-person rule, None for a machine."""

    name: str
    client: str
    scopes: frozenset[Scope]
    person: str | None = None

    @property
    def source(self) -> str:
        """The CloudEvents source of its inputs."""
        return f"/api/{self.client}"


class Access(Protocol):
    """What the operations need of the access layer."""

    async def caller(self, request: Request) -> Caller:
        """Who sent the request. Raises Problem (401, 429)."""
        ...

    async def refused(self, request: Request, caller: Caller, scope: Scope) -> None:
        """Take note that a caller lacked a scope."""
        ...

    async def privileged(self, request: Request, caller: Caller, scope: Scope) -> None:
        """Take note of a call that is in the audit trail. Before it is carried out."""
        ...


PRIVILEGED = frozenset(
    (
        Scope.MEMBERS_STANDING,
        Scope.MEMBERS_ERASE,
        Scope.ADJUST,
        Scope.PROGRAMS_WRITE,
        Scope.APPROVE,
        Scope.OPERATIONS_WRITE,
        Scope.WEBHOOKS,
        Scope.ACCESS_ADMIN,
        Scope.AUDIT_READ,
    )
)
"""Scopes whose every use is in the audit trail."""


def require(scope: Scope, *, noted: bool = True) -> Callable[[Request], Awaitable[Caller]]:
    """The dependency of an operation that asks for `scope`. `noted`: false for one that neither
    changes nor tells anything, so that its use is not in the audit trail; its refusal always is."""

    async def caller_with_scope(request: Request) -> Caller:
        access: Access = request.app.state.points.access
        caller = await access.caller(request)
        if scope not in caller.scopes:
            await access.refused(request, caller, scope)
            raise Problem(
                403,
                "scope_missing",
                f"This caller lacks the scope {scope}: have a key or role that has it.",
            )
        if noted and scope in PRIVILEGED:
            await access.privileged(request, caller, scope)
        request.scope["caller"] = caller
        return caller

    return caller_with_scope
