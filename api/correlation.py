"""The id that follows a request through the log: the caller's, or one made here."""

import re
import secrets
from contextvars import ContextVar

from starlette.types import Scope

HEADER = b"x-correlation-id"

_ACCEPTED = re.compile(rb"[A-Za-z0-9._:-]{1,64}")

current: ContextVar[str] = ContextVar("correlation_id", default="")
"""The id of the request that this task answers; empty outside of requests."""


def correlation_of(scope: Scope) -> str:
    """The id of a request."""
    found: str = scope.get("correlation_id", "")
    return found


def choose(scope: Scope) -> str:
    """The caller's `X-Correlation-Id` where it is well formed, else a new one."""
    for name, value in scope["headers"]:
        if name == HEADER and _ACCEPTED.fullmatch(value):
            accepted: bytes = value
            return accepted.decode()
    return secrets.token_hex(8)
