"""The calendar periods over which a program version's tiers are qualified for, found by a moment.

Worked out once for each period and remembered, a bounded number of them.
"""

from bisect import bisect_right
from zoneinfo import ZoneInfo

from msgspec import Struct

from ledger.core.calendar import Period, add, period_bounds
from ledger.core.program.duration import Duration
from schemas.fields import Instant

WINDOWS_MAX = 2_400
"""Windows remembered: months of two centuries; a hundred bytes each."""


class Window(Struct, frozen=True):
    """A tier period, [start, end), the start of the one before it, and until when a tier held at
    the end of that one is kept: `start` where there is no grace."""

    start: Instant
    end: Instant
    before: Instant
    grace_ends: Instant


class Windows:
    """The tier periods of one program version."""

    __slots__ = ("_found", "_grace", "_per", "_starts", "_zone")

    def __init__(self, per: Period, grace: Duration | None, zone: ZoneInfo) -> None:
        self._per: Period = per
        self._grace = Duration() if grace is None else grace
        self._zone = zone
        self._starts: list[Instant] = []
        self._found: list[Window] = []

    def at(self, at: Instant) -> Window:
        """The period that contains `at`."""
        place = bisect_right(self._starts, at)
        if place:
            found = self._found[place - 1]
            if at < found.end:
                return found
        if len(self._starts) >= WINDOWS_MAX:
            self._starts.clear()
            self._found.clear()
            place = 0
        start, end = period_bounds(at, self._per, self._zone)
        before, _ = period_bounds(start - 1, self._per, self._zone)
        found = Window(start, end, before, add(start, self._grace, self._zone))
        self._starts.insert(place, start)
        self._found.insert(place, found)
        return found
