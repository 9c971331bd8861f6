"""What the API answers to what goes wrong behind it."""

import logging

from fastapi import Request
from starlette.responses import Response

from api.correlation import correlation_of
from api.problems import Problem, response_of
from ledger.errors import (
    AccountDamaged,
    AppendFailed,
    BatchRefused,
    ChainBroken,
    ClosedDoor,
    DatabaseUnavailable,
    HeadDiffers,
    InternalErrors,
    LedgerError,
    LogWentBack,
)

log = logging.getLogger(__name__)

_OURS = (
    AccountDamaged,
    AppendFailed,
    BatchRefused,
    ChainBroken,
    ClosedDoor,
    HeadDiffers,
    InternalErrors,
    LogWentBack,
)
"""What no caller can do anything about."""

_SAME_KEY = "send it again with the same Idempotency-Key."


async def on_ledger_error(request: Request, error: Exception) -> Response:
    """Answer with the ledger's own code. 503 for what passes by itself, 500 for what is not the
    caller's fault (the log has the sentence, which may be the database's), else 422."""
    assert isinstance(error, LedgerError)
    if isinstance(error, DatabaseUnavailable):
        problem = Problem(
            503,
            error.code,
            f"The database does not answer; whether a change was made is not known: {_SAME_KEY}",
            headers={"Retry-After": "2"},
        )
    elif isinstance(error, _OURS):
        return _failed(request, error, error.code)
    else:
        status = 404 if error.code.startswith(("unknown_", "no_")) else 422
        problem = Problem(status, error.code, error.message)
    return response_of(problem, correlation_of(request.scope))


async def on_full(request: Request, _: Exception) -> Response:
    """Answer when too many calls wait."""
    problem = Problem(
        503,
        "busy",
        f"More calls wait than can be answered in a second: {_SAME_KEY}",
        headers={"Retry-After": "1"},
    )
    return response_of(problem, correlation_of(request.scope))


async def on_bug(request: Request, error: Exception) -> Response:
    """Answer for an exception that nobody expected; the log has it, the answer does not."""
    return _failed(request, error, "internal_error")


def _failed(request: Request, error: Exception, code: str) -> Response:
    correlation_id = correlation_of(request.scope)
    log.error("request failed", exc_info=error, extra={"correlation_id": correlation_id})
    problem = Problem(
        500,
        code,
        f"The ledger failed; its log tells more under the correlation id {correlation_id}.",
    )
    return response_of(problem, correlation_id)
