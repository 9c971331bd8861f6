"""Reports of what is owed, each as one fold of the log in one snapshot with the read models.

What the command line and the HTTP API ask for, as plain values; see `analytics.liability*`.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from fractions import Fraction
from typing import Any

from psycopg import Connection, IsolationLevel

from analytics.deferred import Allocation, Deferred, DeferredRevenue, Terms
from analytics.liability import Dimension, Outstanding, outstanding
from analytics.liability_log import (
    Book,
    Owed,
    Progress,
    Story,
    agree,
    open_book,
    owed_at,
    stories,
)
from analytics.liability_movement import Month, Movement
from ledger.core.calendar import format_instant, from_instant, local, period_bounds, to_instant
from ledger.errors import LedgerError
from schemas.fields import Instant

SHARE_PATTERN = r"^(0|0?\.[0-9]{1,18})$"
"""How a share is written. Without an exponent: 1e-99999999 would be a number of a hundred million
digits."""

_SHARE = re.compile(SHARE_PATTERN)

MONTH_PATTERN = r"^(19[7-9][0-9]|2[0-9]{3})-(0[1-9]|1[0-2])$"
"""How a month is written."""

_MONTH = re.compile(MONTH_PATTERN)

Told = Callable[[Instant], Iterator[Story]]


@contextmanager
def snapshot(connection: Connection, progress: Progress) -> Iterator[tuple[Book, Told]]:
    """The book, and the stories up to a moment: all questions see the same log and read models.
    Raises StartRefused (`no_ledger`)."""
    before = connection.isolation_level
    connection.isolation_level = IsolationLevel.REPEATABLE_READ
    try:
        with connection.transaction():
            book = open_book(connection)
            yield book, lambda until: stories(connection, book, until, progress)
    finally:
        connection.isolation_level = before


def owed(connection: Connection, progress: Progress, at: Instant, by: Dimension) -> Outstanding:
    """What is owed at a moment, in buckets, compared with the read models. Raises AnalysisRefused
    (`liability_differs`, `read_models_refreshing`)."""
    with snapshot(connection, progress) as (book, told):
        found = outstanding(told(at), book, at, by)
        agree(format_instant(at), found.owed, owed_at(connection, from_instant(at)))
    return found


def owed_plain(found: Outstanding, by: Dimension) -> dict[str, Any]:
    """What is owed as values for JSON."""
    return {
        "at": format_instant(found.at),
        "by": by,
        "currency": found.currency,
        "point_value": found.point_value,
        "buckets": [bucket._asdict() for bucket in found.buckets],
        "total": found.total._asdict(),
        "debt": found.debt,
        "debt_value": found.debt_value,
    }


def moved(
    connection: Connection, progress: Progress, since: str | None, until: str | None
) -> list[Month]:
    """The movement of local months (`2017-06`; None: the first, the present one), each compared
    with the read models. Raises LedgerError (bad_month, no_period), AnalysisRefused."""
    with snapshot(connection, progress) as (book, told):
        first, last = span(book, since, until)
        moves = Movement(book)
        for story in told(last):
            moves.add(story)
        months = [month for month in moves.months(last) if month.ends_at >= first]
        _agree(connection, months)
    return months


def moved_plain(months: Sequence[Month]) -> list[dict[str, Any]]:
    """The movement as values for JSON."""
    return [{**month._asdict(), "ends_at": format_instant(month.ends_at)} for month in months]


def deferred(
    connection: Connection,
    progress: Progress,
    since: str | None,
    until: str | None,
    rate: str,
    allocation: Allocation,
) -> tuple[list[Month], list[Deferred], Book]:
    """The movement and the deferred revenue of local months. Raises LedgerError (bad_month,
    no_period, bad_share), AnalysisRefused."""
    terms = Terms(share(rate), allocation)
    with snapshot(connection, progress) as (book, told):
        first, last = span(book, since, until)
        moves, revenue = Movement(book), DeferredRevenue(book)
        for story in told(last):
            moves.add(story)
            revenue.add(story)
        of_points = [month for month in moves.months(last) if month.ends_at >= first]
        _agree(connection, of_points)
    return of_points, [one for one in revenue.months(last, terms) if one.ends_at >= first], book


def deferred_plain(months: Sequence[Deferred]) -> list[dict[str, Any]]:
    """Deferred revenue as values for JSON."""
    return [{**one._asdict(), "ends_at": format_instant(one.ends_at)} for one in months]


def broken(connection: Connection, progress: Progress, at: Instant) -> Any:
    """What expired unspent and what is expected to (`liability_breakage.Breakage`): an estimate."""
    from analytics.liability_breakage import Lifetimes  # numpy takes a while

    with snapshot(connection, progress) as (book, told):
        lifetimes = Lifetimes(book, at)
        for story in told(at):
            lifetimes.add(story)
    return lifetimes.result()


def broken_plain(found: Any, at: Instant) -> dict[str, Any]:
    """The estimate as values for JSON."""
    shown = {**found._asdict(), "at": format_instant(at)}
    shown["cohorts"] = [one._asdict() for one in found.cohorts]
    return shown


def report(connection: Connection, asked: dict[str, Any], progress: Progress) -> Any:
    """One report as values for JSON. `asked`: `report` is outstanding (`at`, `by`), movement
    (`since`, `until`), breakage (`at`) or deferred (`since`, `until`, `rate`, `allocation`); `at`
    is an Instant. Raises what they raise."""
    match asked["report"]:
        case "outstanding":
            return owed_plain(owed(connection, progress, asked["at"], asked["by"]), asked["by"])
        case "movement":
            return moved_plain(moved(connection, progress, asked["since"], asked["until"]))
        case "breakage":
            return broken_plain(broken(connection, progress, asked["at"]), asked["at"])
        case _:
            _, months, _ = deferred(
                connection,
                progress,
                asked["since"],
                asked["until"],
                asked["rate"],
                asked["allocation"],
            )
            return deferred_plain(months)


def _agree(connection: Connection, months: Sequence[Month]) -> None:
    for month in months:
        theirs = owed_at(connection, from_instant(month.ends_at))
        agree(f"At the end of {month.month}", Owed(*month.owed), theirs)


def span(book: Book, since: str | None, until: str | None) -> tuple[Instant, Instant]:
    """From the beginning of the first month to the last instant of the last one."""
    last = to_instant(datetime.now(UTC)) if until is None else _month(book, until)
    end = period_bounds(last, "month", book.zone)[1] - 1
    first = book.values[0][0] if since is None else _month(book, since)
    if first > end:
        raise LedgerError(
            f"The first month ({since}) is later than the last ({local(last, book.zone):%Y-%m}):"
            " turn them round.",
            "no_period",
        )
    return first, end


def _month(book: Book, text: str) -> Instant:
    check_month(text)
    day = date.fromisoformat(f"{text}-01")
    middle = to_instant(datetime(day.year, day.month, 15, tzinfo=book.zone))
    return period_bounds(middle, "month", book.zone)[0]


def check_month(text: str) -> None:
    """Raises LedgerError (bad_month)."""
    if _MONTH.fullmatch(text) is None:
        raise LedgerError(f"{text!r} is not a month: write for instance 2017-06.", "bad_month")


def share(text: str) -> Fraction:
    """An exact share from 0 up to below 1. Raises LedgerError (bad_share)."""
    if _SHARE.fullmatch(text) is None:
        raise LedgerError(
            f"{text!r} is not a share: write a decimal from 0 up to below 1, as 0.15.",
            "bad_share",
        )
    return Fraction(text)
