"""Questions to the read models and the log: a session, the program versions, moments, members.

A session is had from threads only (plain `def` endpoints, or `in_thread`): a question must never
stop the loop in which changes are decided.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from threading import Lock
from typing import Annotated, Any, ParamSpec, TypeVar, cast

import psycopg
from fastapi import Path, Query, Request
from psycopg import Connection
from psycopg_pool import PoolTimeout
from starlette.concurrency import run_in_threadpool

from api.moments import ASKED
from api.problems import Problem
from api.state import State
from audit.member_log import LedgerFacts, ledger_facts
from ledger.core.calendar import to_instant
from ledger.core.program.timeline import Timeline
from ledger.errors import DatabaseUnavailable, LedgerError
from projections.errors import LogDamaged, ProjectionError
from projections.system import System, rfm_segments_without_bounds
from schemas.fields import ID_PATTERN, Instant

P = ParamSpec("P")
T = TypeVar("T")

SESSION_SECONDS = 5.0
"""Longest wait for a session: with all of them taken for so long, more questions help nobody."""

MEMBER_PATTERN = ID_PATTERN.replace(r"(?!\n)", "")
"""As JSON Schema knows it. What else Python's `$` lets through is checked by `checked_id`."""

MemberId = Annotated[str, Path(pattern=MEMBER_PATTERN, description="The opaque id of a member.")]
ReservationId = Annotated[
    str, Path(pattern=MEMBER_PATTERN, description="As the reservation was named.")
]
CODE_CHARACTERS_MAX = 128
"""Of a code, however it is typed."""

TypedCode = Annotated[
    str,
    Path(
        min_length=1,
        max_length=CODE_CHARACTERS_MAX,
        description="As it is printed or typed: small letters, blanks and hyphens make no"
        " difference.",
    ),
]
AsOf = Annotated[
    str | None,
    Query(
        description="As of this moment, RFC 3339 with an offset (`2018-01-15T00:00:00Z`; write a"
        " `+` as `%2B`). Left out: now.",
        json_schema_extra=ASKED,
    ),
]

_MOMENT = re.compile(ASKED["pattern"])

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(2999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Programs know no moment outside of these."""


def state_of(request: Request) -> State:
    """What the running API holds."""
    return cast(State, request.app.state.points)


def moment_of(text: str | None, name: str = "as_of") -> Instant | None:
    """An RFC 3339 moment of a parameter, None where it was left out. Raises Problem (422
    bad_time)."""
    if text is None:
        return None
    moment = None
    if _MOMENT.fullmatch(text):
        try:
            moment = datetime.fromisoformat(text.upper())
            within = _EARLIEST <= moment <= _LATEST
        except (ValueError, OverflowError):
            within = False
        if not within:
            moment = None
    if moment is None:
        raise Problem(
            422,
            "bad_time",
            f"{name} is no moment with an offset from 1970 to 2999: write for instance"
            " 2018-01-15T00:00:00Z (and a + as %2B).",
            path=name,
        )
    return to_instant(moment)


def now() -> Instant:
    """This moment."""
    return to_instant(datetime.now(UTC))


@contextmanager
def reading(state: State) -> Iterator[Connection[Any]]:
    """A session. Raises Problem (503 too_slow), DatabaseUnavailable, LedgerError."""
    try:
        with state.reads.connection(timeout=SESSION_SECONDS) as connection:
            yield connection
    except PoolTimeout:
        raise Problem(
            503,
            "busy",
            "All sessions for questions are taken: ask again in a second.",
            headers={"Retry-After": "1"},
        ) from None
    except psycopg.errors.QueryCanceled:
        raise Problem(
            503,
            "too_slow",
            "The question took the database too long: ask for less, a shorter time or fewer rows.",
        ) from None
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable("The database does not answer: ask again.") from error
    except LogDamaged as error:
        raise Problem(500, error.code, f"{error.message}.") from error
    except ProjectionError as error:
        raise LedgerError(f"{error.message}.", error.code) from error


async def in_thread(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do it beside the loop."""
    return await run_in_threadpool(work, *args, **kwargs)


class Known:
    """What does not change of the ledger, and the program versions as the log has them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._facts: LedgerFacts | None = None
        self._system = System()

    def facts(self, connection: Connection[Any]) -> LedgerFacts:
        """Program, currency, time zone, shards."""
        if self._facts is None:
            self._facts = ledger_facts(connection)
        return self._facts

    def programs(self, connection: Connection[Any]) -> Timeline:
        """All versions that are published by now."""
        with self._lock:
            self._system.catch_up(connection)
            return self._system.programs

    def waiting_for_bounds(self, connection: Connection[Any]) -> tuple[str, ...]:
        """Segments that are empty until RFM bounds are recorded."""
        with self._lock:
            self._system.catch_up(connection)
            return rfm_segments_without_bounds(self._system)


def known(state: State) -> Known:
    """Of this ledger."""
    found: Known = state.parts.setdefault("known", Known())
    return found


def unknown_member(member_id: str, at: str | None = None) -> Problem:
    """There is no such account (at that moment)."""
    when = "" if at is None else f" at {at}"
    return Problem(
        404,
        "unknown_member",
        f"Member {member_id} has no account{when}: check the id; what was just published counts"
        " once the worker and the projections have taken it.",
        path="member_id",
    )
