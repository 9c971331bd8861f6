"""Points that wait for an event, and when they expire once it has come.

An event is an input that has the name: its type (`survey.completed.v1`), or for an activity the
activity's. The points become available at its moment; what it did not reach within its time is
revoked at the first instant after it.
"""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from ledger.core.calendar import add, end_of
from ledger.core.lots import Holdings, Lot, idle_moment
from ledger.core.program.duration import parse_duration
from schemas.decisions import Terms
from schemas.fields import Instant
from schemas.inputs import ActivityCompleted, InputEvent
from schemas.routing import type_of

Activated = tuple[int, Instant, Instant | None]
"""A lot that its event made available: from when on, and until when."""


def names_of(event: InputEvent) -> tuple[str, ...]:
    """The names by which points can wait for this input."""
    if isinstance(event, ActivityCompleted):
        return type_of(event), event.data.activity
    return (type_of(event),)


def waits(lot: Lot) -> bool:
    """Whether the lot waits for an event."""
    return lot.terms is not None and lot.terms.event != ""


def reached(held: Holdings, names: Sequence[str], at: Instant) -> list[Lot]:
    """The lots that an event of these names reaches at `at`, in the order in which they were
    granted."""
    found = []
    for number in held.awaits:
        lot = held.lots.get(number)
        if lot is not None and lot.pending and lot.terms is not None:
            terms = lot.terms
            if terms.event in names and lot.granted_at <= at <= terms.until:
                found.append(lot)
    return found


def activated(held: Holdings, lot: Lot, at: Instant, zone: ZoneInfo) -> Activated:
    """What becomes of a lot that its event reaches at `at`."""
    assert lot.terms is not None, "it waits for an event"
    return lot.number, at, _expires_at(held, lot.terms, at, zone)


def _expires_at(held: Holdings, terms: Terms, at: Instant, zone: ZoneInfo) -> Instant | None:
    if terms.idle:
        return max(add(at, parse_duration(terms.idle), zone), idle_moment(held.idle, terms.idle))
    if not (terms.after or terms.end_of):
        return None
    expires = add(at, parse_duration(terms.after), zone) if terms.after else at
    if terms.end_of:
        expires = end_of(expires, "month" if terms.end_of == "month" else "year", zone)
    return expires
