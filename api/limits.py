"""What one request may cost, and the ASGI layer that enforces it before anything else runs.

It also carries what other parts want of the answer: `answer_headers` of the request's scope are
added to it, each of `on_answer` is called with its status, 500 when there is none.

A body is counted as it arrives and cut off at its limit; it has `BODY_SECONDS` to arrive, the
answer has `ANSWER_SECONDS` to begin. More than `REQUESTS_MAX` at once are turned away with 503, so
that a crowd is answered late by nobody rather than slowly to all.
"""

import asyncio
from http import HTTPStatus

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.correlation import choose, current
from api.problems import Problem, response_of

BODY_BYTES_MAX = 1 << 20
"""1 MiB: the largest record that the ledger takes, and a thousand small events of an ingest."""

BODY_SECONDS = 10.0
"""A till on a bad line sends 1 MiB in 10 seconds; who is slower holds a connection for nothing."""

ANSWER_SECONDS = 30.0
"""The database's own limit for a statement; a till has given up long before."""

REQUESTS_MAX = 500
"""Answered at once: half a second of work at 1,000 changes a second."""

PAGE_MAX = 500
"""Items of one page: some hundred kilobytes."""

PAGE_DEFAULT = 50
"""Items of a page when nothing is asked: a screen full."""


NO_SNIFF = (b"x-content-type-options", b"nosniff")
"""No answer is taken for anything but what its media type says."""


class Running:
    """How many requests are being answered."""

    def __init__(self) -> None:
        self.count = 0


class Limits:
    """Correlation id, body size, time and number of the requests; see the module. `running`: where
    they are counted, by all layers of an application."""

    def __init__(self, app: ASGIApp, running: Running) -> None:
        self._app = app
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or something else that is passed on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        correlation_id = scope["correlation_id"] = choose(scope)
        scope["answer_headers"], scope["on_answer"] = [], []
        token = current.set(correlation_id)
        self._running.count += 1
        try:
            await self._limited(scope, receive, send, correlation_id)
        finally:
            self._running.count -= 1
            current.reset(token)

    async def _limited(
        self, scope: Scope, receive: Receive, send: Send, correlation_id: str
    ) -> None:
        begun = False
        deadline = asyncio.timeout(ANSWER_SECONDS)

        async def told(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                given = list(message.get("headers", ()))
                if all(name.lower() != NO_SNIFF[0] for name, _ in given):
                    given.append(NO_SNIFF)
                message["headers"] = [
                    *given,
                    *scope["answer_headers"],
                    (b"x-correlation-id", correlation_id.encode()),
                ]
                for each in scope["on_answer"]:
                    each(message["status"])
            await send(message)

        async def answer(message: Message) -> None:
            if not begun:
                deadline.reschedule(None)  # from here on it is the client's pace
            await told(message)

        try:
            if self._running.count > REQUESTS_MAX:
                raise _busy()
            limited = _counted(scope, receive)
            async with deadline:
                await self._app(scope, limited, answer)
        except Problem as problem:
            if begun:
                raise
            await response_of(problem, correlation_id)(scope, receive, told)
        except TimeoutError:
            if begun or not deadline.expired():
                raise
            await response_of(_late(), correlation_id)(scope, receive, told)
        finally:
            if not begun:  # a bug, or nobody waits for the answer any more
                for each in scope["on_answer"]:
                    each(HTTPStatus.INTERNAL_SERVER_ERROR)


def _counted(scope: Scope, receive: Receive) -> Receive:
    """`receive` within the limits of size and time."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > BODY_BYTES_MAX:
            raise _too_large()
    taken = 0
    complete = False
    until = asyncio.get_running_loop().time() + BODY_SECONDS

    async def counted() -> Message:
        nonlocal taken, complete
        if complete:  # what comes after the body is only that the client has gone
            return await receive()
        try:
            async with asyncio.timeout_at(until):
                message = await receive()
        except TimeoutError:
            raise _slow() from None
        taken += len(message.get("body", b""))
        if taken > BODY_BYTES_MAX:
            raise _too_large()
        complete = not message.get("more_body", False)
        return message

    return counted


_CLOSE = {"Connection": "close"}


def _too_large() -> Problem:
    return Problem(
        413,
        "body_too_large",
        f"The body is larger than {BODY_BYTES_MAX} bytes: send less at once.",
        headers=_CLOSE,
    )


def _slow() -> Problem:
    return Problem(
        408, "body_too_slow", f"The body took longer than {BODY_SECONDS:.0f} s.", headers=_CLOSE
    )


def _late() -> Problem:
    return Problem(
        503,
        "too_late",
        f"The answer took longer than {ANSWER_SECONDS:.0f} s. Whether a change was made is not"
        " known: send it again with the same Idempotency-Key.",
        headers={"Retry-After": "5"},
    )


def _busy() -> Problem:
    return Problem(
        503,
        "busy",
        f"More than {REQUESTS_MAX} requests are being answered: send it again in a second, with"
        " the same Idempotency-Key.",
        headers={"Retry-After": "1"},
    )
