"""The words that all parts of a program's form use: amounts, moments, activation, expiry."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta, Struct

from ledger.core.program.duration import Duration
from schemas.fields import Id, Text

Points = Annotated[int, Meta(ge=0, le=10**12)]
Money = Annotated[int, Meta(ge=0, le=10**12)]
Moment = Annotated[datetime, Meta(tz=True)]
Count = Annotated[int, Meta(ge=1, le=10**9)]
Score = Annotated[int, Meta(ge=1, le=5)]
Texts = Annotated[tuple[Text, ...], Meta(min_length=1, max_length=1_000)] | Text
Ids = Annotated[tuple[Id, ...], Meta(min_length=1, max_length=1_000)] | Id
Rounding = Literal["floor", "half_even", "ceil"]


class Strict(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """Base of all parts: immutable, unknown keys refused."""


class Bounds(Strict, frozen=True):
    """A range of integers, both ends inclusive, either may be open."""

    at_least: int | None = None
    at_most: int | None = None


class Validity(Strict, frozen=True, rename={"start": "from", "end": "to"}):
    """`valid`: the rule holds for an `occurred_at` in [from, to)."""

    start: Moment | None = None
    end: Moment | None = None


# --- activation and expiry -------------------------------------------------------------------


class ActivateAfter(Strict, frozen=True):
    """`{after: P14D}`: from the grant's occurred_at. `{on: EVENT, within: P14D}`: when the event
    happens; the points are revoked when it has not by then."""

    after: Duration | None = None
    on: Id | None = None
    within: Duration | None = None


Activation = Literal["immediately"] | ActivateAfter


class ExpireBy(Strict, frozen=True):
    """`{after: P6M}` from activation; `{end_of: month|year, after: P12M}`: add (`after` may be left
    out), then go to the end; `{after_inactivity: P6M}` from the member's last purchase."""

    after: Duration | None = None
    end_of: Literal["month", "year"] | None = None
    after_inactivity: Duration | None = None


Expiry = Literal["never"] | ExpireBy
