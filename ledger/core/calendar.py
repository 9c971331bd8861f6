"""Moments and calendar arithmetic in the program's time zone.

A moment is an integer: microseconds since 1970 in UTC (`Instant`). Years, months, weeks and days
are counted in the zone's local time (31 August + P6M is the last day of February, at the same local
time); hours and less are exact. A local time that a clock change skips moves forward by the length
of the gap, one that occurs twice means its first occurrence. Nothing here reads the clock.
"""

from calendar import monthrange
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo

from ledger.core.program.duration import Duration
from schemas.fields import Instant

Period = Literal["day", "iso_week", "month", "quarter", "year", "lifetime"]

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_ORDINAL = _EPOCH.toordinal()
_MICROSECOND = timedelta(microseconds=1)

PERIODS_CACHED = 8_192
"""Calendar days whose periods are remembered: some years of days in a few periods and zones."""

UTC_KEYS = frozenset({"UTC", "Etc/UTC", "Zulu", "Etc/Zulu", "UCT", "Etc/UCT", "Universal"})
"""Zones without clock changes, for which days are plain division."""


def to_instant(moment: datetime) -> Instant:
    """The aware `moment` as an Instant. Raises TypeError for one without an offset."""
    return (moment - _EPOCH) // _MICROSECOND


def from_instant(at: Instant) -> datetime:
    """The Instant as a datetime in UTC. Raises OverflowError outside the years 1 to 9999."""
    return _EPOCH + timedelta(microseconds=at)


INSTANT_MIN: Instant = to_instant(datetime.min.replace(tzinfo=UTC))
"""The first moment that can be written: where the period `lifetime` begins."""

INSTANT_MAX: Instant = to_instant(datetime.max.replace(tzinfo=UTC))
"""The last moment that can be written: where the period `lifetime` ends."""


def format_instant(at: Instant) -> str:
    """RFC 3339 in UTC with `Z`: `2017-01-01T00:00:00Z`, with a fraction only where there is one."""
    return from_instant(at).replace(tzinfo=None).isoformat() + "Z"


def parse_instant(text: str) -> Instant:
    """Read RFC 3339 with an offset. Raises ValueError, with a sentence, for anything else."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError(
            f"{text!r} is not a moment: write date, time and offset, as in 2017-01-01T00:00:00Z"
        )
    return to_instant(moment)


def local(at: Instant, zone: ZoneInfo) -> datetime:
    """The moment as the zone's clocks show it (aware)."""
    return from_instant(at).astimezone(zone)


def add(at: Instant, duration: Duration, zone: ZoneInfo) -> Instant:
    """`at` plus the duration: months, then days, then exact seconds. Never earlier than `at`."""
    return _shift(at, duration.months, duration.days, duration.seconds, zone)


def subtract(at: Instant, duration: Duration, zone: ZoneInfo) -> Instant:
    """`at` minus the duration, counted back in the same way. Not the inverse of `add`."""
    return _shift(at, -duration.months, -duration.days, -duration.seconds, zone)


def _shift(at: Instant, months: int, days: int, seconds: int, zone: ZoneInfo) -> Instant:
    if months or days:
        if zone.key in UTC_KEYS:
            ordinal, in_day = divmod(at, DAY_US)
            if months:
                ordinal = _month_shifted(ordinal + _EPOCH_ORDINAL, months) - _EPOCH_ORDINAL
            at = (ordinal + days) * DAY_US + in_day
        else:
            clock = local(at, zone)
            ordinal = clock.toordinal()
            if months:
                ordinal = _month_shifted(ordinal, months)
            at = _at_local(ordinal + days, clock.time(), zone)
    return at + seconds * SECOND_US


@lru_cache(maxsize=PERIODS_CACHED)
def _month_shifted(ordinal: int, months: int) -> int:
    """The day of the same number, or the month's last, that many months on."""
    day = date.fromordinal(ordinal)
    year, month0 = divmod(day.year * 12 + day.month - 1 + months, 12)
    last = monthrange(year, month0 + 1)[1]
    return date(year, month0 + 1, min(day.day, last)).toordinal()


def _at_local(ordinal: int, clock: time, zone: ZoneInfo) -> Instant:
    # fold=0 is both rules at once: before a gap it takes the offset from before (so the time moves
    # forward by the gap), in an overlap the first occurrence.
    moment = datetime.combine(date.fromordinal(ordinal), clock.replace(fold=0), tzinfo=zone)
    # Subtracting through UTC: two datetimes of one zone would subtract as local times.
    return to_instant(moment.astimezone(UTC))


def day_number(at: Instant, zone: ZoneInfo) -> int:
    """The local day that contains `at`, as a number: days count on by one."""
    return date.fromisoformat(period_key(at, "day", zone)).toordinal()


def day_start(number: int, zone: ZoneInfo) -> Instant:
    """The start of the local day of this number."""
    return _at_local(number, time(), zone)


def shifted_day(number: int, duration: Duration) -> int:
    """The number of the day that is later by the duration, which has no hours: months, then days;
    a day that its month does not have is the month's last."""
    if duration.months:
        number = _month_shifted(number, duration.months)
    return number + duration.days


def end_of(at: Instant, unit: Literal["month", "year"], zone: ZoneInfo) -> Instant:
    """The exclusive end of the month or year that contains `at`: the start of the next one."""
    return period_bounds(at, unit, zone)[1]


def period_key(at: Instant, per: Period, zone: ZoneInfo) -> str:
    """The name of the period that contains `at`: `2017-06-01`, `2017-W22`, `2017-06`, `2017-Q2`,
    `2017`, or `all` for lifetime."""
    return _period(at, per, zone)[0]


def period_bounds(at: Instant, per: Period, zone: ZoneInfo) -> tuple[Instant, Instant]:
    """Start and exclusive end of the period that contains `at`. Periods adjoin without a gap."""
    _, start, end = _period(at, per, zone)
    return start, end


def _period(at: Instant, per: Period, zone: ZoneInfo) -> tuple[str, Instant, Instant]:
    if per == "lifetime":
        return ("all", INSTANT_MIN, INSTANT_MAX)
    if zone.key in UTC_KEYS:
        return _period_of_day(at // DAY_US + _EPOCH_ORDINAL, per, zone)
    ordinal = local(at, zone).toordinal()
    found = _period_of_day(ordinal, per, zone)
    while at >= found[2]:  # clocks set back over midnight: the new day has begun and stays
        ordinal += 1
        found = _period_of_day(ordinal, per, zone)
    return found


@lru_cache(maxsize=PERIODS_CACHED)
def _period_of_day(ordinal: int, per: Period, zone: ZoneInfo) -> tuple[str, Instant, Instant]:
    day = date.fromordinal(ordinal)
    year, month = day.year, day.month
    if per == "day":
        key, first, following = day.isoformat(), ordinal, ordinal + 1
    elif per == "iso_week":
        iso = day.isocalendar()
        key, first = f"{iso.year:04}-W{iso.week:02}", ordinal - day.weekday()
        following = first + 7
    elif per == "month":
        key, first = f"{year:04}-{month:02}", date(year, month, 1).toordinal()
        following = _month_shifted(first, 1)
    elif per == "quarter":
        quarter0 = (month - 1) // 3
        key, first = f"{year:04}-Q{quarter0 + 1}", date(year, quarter0 * 3 + 1, 1).toordinal()
        following = _month_shifted(first, 3)
    elif per == "year":
        key, first = f"{year:04}", date(year, 1, 1).toordinal()
        following = date(year + 1, 1, 1).toordinal()
    else:
        raise ValueError(f"{per!r} is not a period with a length")
    midnight = time()
    return key, _at_local(first, midnight, zone), _at_local(following, midnight, zone)
