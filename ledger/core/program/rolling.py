"""Rolling tier windows, counted by local days: what was bought on a day counts until the window has
passed over it.

Day d counts from its start until the start of day d + length, and a level that ends then is kept
for the grace, to the start of the day so much later. Calendar arithmetic only; the amounts are the
account's (`ledger.core.rolling`).
"""

from zoneinfo import ZoneInfo

from ledger.core.calendar import day_number, day_start, shifted_day
from ledger.core.program.duration import Duration
from schemas.fields import Instant

DAYS_REMEMBERED = 4_096
"""Answers remembered: eleven years of days, a hundred bytes each."""


class Rolling:
    """The rolling window of one program version. Both lengths are whole days, months or years."""

    __slots__ = ("_ends", "_firsts", "_length", "grace", "zone")

    def __init__(self, length: Duration, grace: Duration | None, zone: ZoneInfo) -> None:
        self.zone = zone
        self.grace = grace
        self._length = length
        self._ends: dict[Instant, Instant] = {}
        self._firsts: dict[int, Instant] = {}

    def leaves(self, day: Instant) -> Instant:
        """From when on what was bought in the local day of `day` does not count any more."""
        found = self._ends.get(day)
        if found is None:
            if len(self._ends) >= DAYS_REMEMBERED:
                self._ends.clear()
            end = shifted_day(day_number(day, self.zone), self._length)
            found = self._ends[day] = day_start(end, self.zone)
        return found

    def counted_from(self, at: Instant) -> Instant:
        """The start of the first day that still counts at `at`."""
        number = day_number(at, self.zone)
        found = self._firsts.get(number)
        if found is None:
            if len(self._firsts) >= DAYS_REMEMBERED:
                self._firsts.clear()
            first = number - 31 * self._length.months - self._length.days
            while shifted_day(first, self._length) <= number:
                first += 1
            found = self._firsts[number] = day_start(first, self.zone)
        return found

    def grace_ends(self, fell_at: Instant) -> Instant:
        """Until when a level that fell at `fell_at` is kept."""
        if self.grace is None:
            return fell_at
        return day_start(shifted_day(day_number(fell_at, self.zone), self.grace), self.zone)
