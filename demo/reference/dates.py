"""Instants, calendar durations and periods, in the program's zone.

Years, months, weeks and days move the local clock; hours and less move the instant. A month's end
is clamped (31 August plus six months is the last day of February), a local time inside a gap moves
forward by the gap's length, and one that occurs twice is its first occurrence. Every instant
outside this file is an aware datetime in UTC.
"""

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

# The smallest step of a datetime: "just before a moment" is one step earlier, exactly.
STEP = timedelta(microseconds=1)
# Results remembered: the awards of one purchase ask for the same few sums over and over.
_CACHED = 1_000

_DURATION = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?"
)


@dataclass(frozen=True)
class Duration:
    months: int = 0
    days: int = 0
    seconds: int = 0


def duration(text: str) -> Duration:
    """Read an ISO 8601 duration of whole numbers; raises ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ValueError(f"not a duration: {text!r}")
    years, months, weeks, days, hours, minutes, seconds = (int(n or 0) for n in match.groups())
    return Duration(years * 12 + months, weeks * 7 + days, hours * 3600 + minutes * 60 + seconds)


def instant(value: object) -> datetime:
    """Read an RFC 3339 time with an offset (or an aware datetime); raises ValueError otherwise."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    if moment.tzinfo is None:
        raise ValueError(f"a time without an offset: {value!r}")
    return moment.astimezone(UTC)


def _utc(local: datetime, zone: ZoneInfo) -> datetime:
    # fold=0 reads a gap with the offset before it (which moves it forward by the gap's length) and
    # an overlap as its first occurrence: the two rules above.
    return local.replace(tzinfo=zone, fold=0).astimezone(UTC)


@lru_cache(maxsize=_CACHED)
def plus(moment: datetime, by: Duration, zone: ZoneInfo) -> datetime:
    if by.months or by.days:
        local = moment.astimezone(zone).replace(tzinfo=None)
        year, month = divmod(local.year * 12 + local.month - 1 + by.months, 12)
        day = min(local.day, calendar.monthrange(year, month + 1)[1])
        local = local.replace(year=year, month=month + 1, day=day) + timedelta(days=by.days)
        moment = _utc(local, zone)
    return moment + timedelta(seconds=by.seconds)


@lru_cache(maxsize=_CACHED)
def period_start(moment: datetime, months: int, zone: ZoneInfo) -> datetime:
    """The start of the calendar period of so many months (1, 3 or 12) that contains the moment."""
    local = moment.astimezone(zone)
    month = (local.month - 1) // months * months + 1
    first = datetime.combine(local.date().replace(month=month, day=1), time.min)
    return _utc(first, zone)


@lru_cache(maxsize=_CACHED)
def day_start(moment: datetime, zone: ZoneInfo) -> datetime:
    """The start of the local day that contains the moment."""
    return _utc(datetime.combine(moment.astimezone(zone).date(), time.min), zone)


def period_end(moment: datetime, months: int, zone: ZoneInfo) -> datetime:
    return plus(period_start(moment, months, zone), Duration(months=months), zone)


def window(moment: datetime, per: str, order_id: str, zone: ZoneInfo) -> object:
    """What names the limit window that contains the moment: equal names, same window."""
    local = moment.astimezone(zone)
    match per:
        case "order":
            return order_id
        case "day":
            return local.date()
        case "iso_week":
            return local.isocalendar()[:2]
        case "month":
            return local.year, local.month
        case "year":
            return local.year
        case "lifetime":
            return None
    raise ValueError(f"unknown limit window: {per!r}")
