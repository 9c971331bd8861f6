"""What a program version says of a stretch of time within one local day, worked out once for it.

Within a stretch the same rules are valid, moments fall into the same month and limit windows,
and a grant's activation and expiry shift alike. So a purchase asks for its stretch, and
not the calendar. Stretches hold nothing of any account; they are remembered, a bounded number of
them, and each says for which moments it is right.
"""

from collections.abc import Sequence
from zoneinfo import ZoneInfo

from msgspec import Struct

from ledger.core.calendar import DAY_US, UTC_KEYS, add, period_bounds, period_key
from ledger.core.program.duration import Duration
from ledger.core.program.rule import Rule
from ledger.core.program.timing import Timing
from schemas.decisions import Terms
from schemas.fields import Instant

STRETCHES_MAX = 2_048
"""Stretches remembered: five years of days in UTC, or 85 days of hours in another zone; some
kilobytes each."""

HOUR_US = DAY_US // 24
"""How long a stretch is at most in a zone whose clocks change: no zone changes them twice within an
hour, so if two of its ends shift alike, all between does."""

Shift = tuple[Instant, Instant | None, Instant | None]
"""From a grant: (until activation, until expiry, expiry where it is a fixed moment); a grant with
neither of the last two never expires."""


class Frame(Struct, frozen=True, eq=False):
    """What all stretches of a program version are made from. `returns`: the return window;
    `by_day`: what counts for tiers is kept by local days, for a rolling window."""

    zone: ZoneInfo
    rules: tuple[Rule, ...]
    timings: tuple[Timing, ...]
    returns: Duration
    by_day: bool = False


class Stretch:
    """One stretch, [start, end). `month`: where its month starts, or its day where what counts for
    tiers is kept by days."""

    __slots__ = (
        *("_by_tier", "_counters", "_frame", "_of_activities", "_returns", "_shifts", "_valid"),
        *("end", "month", "start"),
    )

    def __init__(self, frame: Frame, start: Instant, end: Instant, at: Instant) -> None:
        """The part of [start, end) around `at` that lies in one day, with the same valid rules."""
        zone = frame.zone
        day_start, day_end = period_bounds(at, "day", zone)
        changes = [moment for rule in frame.rules for moment in (rule.start, rule.end)]
        self.start = max([start, day_start, *(moment for moment in changes if moment <= at)])
        self.end = min([end, day_end, *(moment for moment in changes if moment > at)])
        self.month = period_bounds(at, "day" if frame.by_day else "month", zone)[0]
        self._frame = frame
        valid = [
            (place, rule) for place, rule in enumerate(frame.rules) if rule.start <= at < rule.end
        ]
        self._valid = [(place, rule) for place, rule in valid if rule.activities is None]
        self._of_activities = [(p, rule) for p, rule in valid if rule.activities is not None]
        self._by_tier: dict[str, tuple[tuple[int, Rule], ...]] = {}
        self._shifts: dict[int, Shift | None] = {}
        self._counters: dict[int, tuple[str | None, ...]] = {}
        self._returns = self._shift_of_returns()

    def rules(self, tier: str) -> Sequence[tuple[int, Rule]]:
        """The rules on purchases, with their numbers, that are valid here and take this tier."""
        found = self._by_tier.get(tier)
        if found is None:
            found = self._by_tier[tier] = tuple(
                (place, rule)
                for place, rule in self._valid
                if all(condition(tier) for condition in rule.tiers)
            )
        return found

    def activity_rules(self, activity: str, tier: str) -> Sequence[tuple[int, Rule]]:
        """The rules on this activity, with their numbers, that are valid here and take this tier.
        Not remembered: activities are fewer than purchases, and of more kinds."""
        return [
            (place, rule)
            for place, rule in self._of_activities
            if rule.activities is not None
            and activity in rule.activities
            and all(condition(tier) for condition in rule.tiers)
        ]

    def counters(self, place: int) -> tuple[str | None, ...]:
        """The counters that the limits of rule number `place` look at, `RULE/PERIOD/KEY`; None for
        a limit per order."""
        found = self._counters.get(place)
        if found is None:
            rule = self._frame.rules[place]
            found = self._counters[place] = tuple(
                None
                if limit.per == "order"
                else f"{rule.id}/{limit.per}/{period_key(self.start, limit.per, self._frame.zone)}"
                for limit in rule.limits
            )
        return found

    def moments(self, timing: int, at: Instant) -> tuple[Instant, Instant | None]:
        """(activates_at, expires_at or None for never) of points granted at `at`, which lies here,
        with timing number `timing`."""
        if timing in self._shifts:
            shift = self._shifts[timing]
        else:
            shift = self._shifts[timing] = self._shift(self._frame.timings[timing])
        if shift is None:
            return self._frame.timings[timing].moments(at, self._frame.zone)
        until_active, until_expired, fixed = shift
        if until_expired is None:
            return at + until_active, fixed
        return at + until_active, at + until_expired

    def terms(self, timing: int, at: Instant) -> Terms | None:
        """What can still move the moments of points granted at `at` with timing number `timing`."""
        return self._frame.timings[timing].terms(at, self._frame.zone)

    def returnable_until(self, at: Instant) -> Instant:
        """The last instant at which what is bought at `at`, which lies here, can be returned."""
        if self._returns is None:
            return add(at, self._frame.returns, self._frame.zone)
        return at + self._returns

    def _shift(self, timing: Timing) -> Shift | None:
        """How the timing shifts every moment of the stretch; None when it is not one way."""
        first, last = self.start, self.end - 1
        if timing.to_the_second:
            return None
        active, expired = timing.moments(first, self._frame.zone)
        active_last, expired_last = timing.moments(last, self._frame.zone)
        until_active = active - first
        if active_last - last != until_active:
            return None
        if expired is None or expired_last is None or expired == expired_last:
            return until_active, None, expired
        if expired - first != expired_last - last:
            return None
        return until_active, expired - first, None

    def _shift_of_returns(self) -> Instant | None:
        first, last, length = self.start, self.end - 1, self._frame.returns
        shift = add(first, length, self._frame.zone) - first
        same = add(last, length, self._frame.zone) - last == shift
        return shift if same and not length.seconds else None


class Stretches:
    """The stretches of a program version, found by a moment."""

    __slots__ = ("_found", "_frame", "_length")

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._length = DAY_US if frame.zone.key in UTC_KEYS else HOUR_US
        self._found: dict[int, Stretch] = {}

    def at(self, at: Instant) -> Stretch:
        """The stretch that contains `at`."""
        number = at // self._length
        found = self._found.get(number)
        if found is None or not found.start <= at < found.end:
            if len(self._found) >= STRETCHES_MAX:
                self._found.clear()
            start = number * self._length
            found = self._found[number] = Stretch(self._frame, start, start + self._length, at)
        return found
