"""Which program version is in force when.

A version is in force from its `effective_from` (inclusive) until the next one's. Of two that take
effect at one moment the one published later counts. A timeline never changes; publishing makes a
new one.
"""

from bisect import bisect_right
from collections.abc import Sequence

from ledger.core.calendar import INSTANT_MAX, format_instant
from ledger.core.program.compiled import Compiled
from schemas.fields import Instant


class NoProgram(LookupError):
    """No program version is in force at the moment asked for. `code`: `no_program`."""

    code = "no_program"


class Timeline:
    """Program versions by the moment from which they are in force."""

    __slots__ = ("_last_start", "_programs", "_starts", "asks_outside")

    def __init__(self, versions: Sequence[tuple[Instant, Compiled]] = ()) -> None:
        """`versions`: (effective_from, program) in the order in which they were published."""
        latest = dict(versions)
        self._starts = sorted(latest)
        self._programs = [latest[start] for start in self._starts]
        # Whether any rule of any version asks about birthdays or segments.
        self.asks_outside = any(
            program.asked is not None and program.asked.outside for program in self._programs
        )
        # Nearly every question is about the last version: it needs no search.
        self._last_start = self._starts[-1] if self._starts else INSTANT_MAX + 1

    def at(self, moment: Instant) -> Compiled:
        """The version in force at `moment`. Raises NoProgram before the first."""
        if moment >= self._last_start:
            return self._programs[-1]
        place = bisect_right(self._starts, moment)
        if place == 0:
            first = (
                f"the first takes effect at {format_instant(self._starts[0])}"
                if self._starts
                else "none has been published"
            )
            raise NoProgram(f"no program version is in force at {format_instant(moment)}: {first}")
        return self._programs[place - 1]

    def next_change_after(self, moment: Instant) -> Instant | None:
        """The first moment later than `moment` at which another version takes effect."""
        if moment >= self._last_start:
            return None
        place = bisect_right(self._starts, moment)
        return self._starts[place] if place < len(self._starts) else None

    @property
    def empty(self) -> bool:
        """Whether nothing has been published."""
        return not self._starts

    @property
    def versions(self) -> tuple[tuple[Instant, Compiled], ...]:
        """The versions that are or will be in force, by their `effective_from`."""
        return tuple(zip(self._starts, self._programs, strict=True))
