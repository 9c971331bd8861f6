"""The tier at a moment, as a pure function of what counted and when.

What counts is a list of (from when, for which period, how much): a purchase adds to the period it
happened in, a return takes from that same period from the return's moment on. So the tier at any
moment can be asked again, also after something late has arrived. A tier set by hand lies over it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from demo.reference.dates import STEP, Duration, day_start, period_start, plus
from demo.reference.program import Tiers


class Counted(NamedTuple):
    at: datetime  # effective from
    period: datetime  # the start of the period it counts in (of the day, in a rolling window)
    amount: int


class ByHand(NamedTuple):
    """A tier that somebody has set."""

    tier: str
    since: datetime
    until: datetime

    def holds(self, moment: datetime) -> bool:
        return self.since <= moment < self.until


@dataclass
class History:
    """What the tier of one member comes from. `tiers`: those of the program in force at a moment.
    The tiers of two versions are told apart by how high they are."""

    zone: ZoneInfo
    tiers: Callable[[datetime], Tiers | None]
    starts: list[datetime]  # of versions, but for the first
    counted: list[Counted] = field(default_factory=list)
    by_hand: list[ByHand] = field(default_factory=list)

    def set_by_hand(self, tier: str, since: datetime, until: datetime) -> None:
        """From its moment on it takes the place of what was set before."""
        kept = [one for one in self.by_hand if one.since < since]
        kept = [one._replace(until=min(one.until, since)) for one in kept]
        self.by_hand = [*kept, ByHand(tier, since, until)]

    def hand(self, moment: datetime) -> ByHand | None:
        return next((one for one in self.by_hand if one.holds(moment)), None)

    def rank(self, moment: datetime) -> int:
        """How many levels up the account is."""
        tiers, by_hand = self.tiers(moment), self.hand(moment)
        if tiers is None:
            return 0
        if by_hand is not None:
            return tiers.rank(by_hand.tier)
        return self.qualified(tiers, moment)

    def qualified(self, tiers: Tiers, moment: datetime) -> int:
        """The best of this period's level so far, the level of the period before and, within the
        grace, the tier held when that period ended (after it, where tiers fall one level at a time,
        the one below that)."""
        counted, zone = self.counted, self.zone
        if not any(at <= moment for at, _, _ in counted):
            return 0
        if tiers.rolling is not None:
            return self._rolling(tiers, moment)
        if not tiers.months:
            return tiers.level(sum(amount for at, _, amount in counted if at <= moment))
        rank, start = self._of_periods(tiers, moment), period_start(moment, tiers.months, zone)
        in_grace = moment < plus(start, tiers.grace, zone)
        if in_grace or tiers.one_down:
            end = start - STEP
            if self.hand(end) is None:
                held = self.rank(end)
            else:  # what was set by hand is kept by nothing
                held = self._of_periods(tiers, end, moment)
            rank = max(rank, held if in_grace else held - 1)
        return rank

    def _of_periods(self, tiers: Tiers, moment: datetime, known: datetime | None = None) -> int:
        """The level of the period of `moment`, or of the one before, by what is known at `known`
        (or then)."""
        start = period_start(moment, tiers.months, self.zone)
        before = period_start(start - STEP, tiers.months, self.zone)
        this_period = last_period = 0
        for at, period, amount in self.counted:
            if at <= (known or moment):
                if period == start:
                    this_period += amount
                elif period == before:
                    last_period += amount
        return tiers.level(max(this_period, last_period))

    def _rolling(self, tiers: Tiers, moment: datetime) -> int:
        """What the days of the window reach, or reached when a day left it a grace ago or less; by
        the amounts as they are now."""
        known = [one for one in self.counted if one.at <= moment]
        if not tiers.one_down:
            return self._kept(tiers, known, moment)
        return self._stepwise(tiers, known, moment)

    def _stepwise(self, latest: Tiers, known: list[Counted], moment: datetime) -> int:
        """One level down at a time, the next a grace later; lived through from the beginning. What
        a return alone had reached is gone at once. `latest`: all versions have its window and
        grace."""
        held, fell = 0, None
        for at, so_far in self._steps(latest, known, moment):
            tiers, by_hand = self.tiers(at), self.hand(at)
            assert tiers is not None
            before, level = held, self._kept(tiers, so_far, at)
            if by_hand is not None:
                held, fell = tiers.rank(by_hand.tier), None
            elif level >= held or any(one.until == at for one in self.by_hand):
                held = level
                if held != before:
                    fell = None
            elif (
                so_far
                and so_far[-1].amount < 0
                and so_far[-1].at == at
                and self._kept(tiers, so_far[:-1], at) >= held
            ):
                held, fell = level, at
            elif fell is None or at >= plus(day_start(fell, self.zone), tiers.grace, self.zone):
                held = max(level, held - 1)
                fell = at
        return held

    def _steps(
        self, tiers: Tiers, known: list[Counted], moment: datetime
    ) -> Iterator[tuple[datetime, list[Counted]]]:
        """The moments at which the tier may change, in order, with what had counted by then."""
        falls = {one.since for one in self.by_hand} | {one.until for one in self.by_hand}
        falls |= set(self.starts)
        ends = {plus(day_start(at, self.zone), tiers.grace, self.zone) for at in self.starts}
        for one in known:
            ends.add(plus(one.period, tiers.rolling or Duration(), self.zone))
            if one.amount < 0:
                ends.add(plus(day_start(one.at, self.zone), tiers.grace, self.zone))
        for end in ends:
            fall = end
            while fall <= moment:  # the next level falls a grace later
                falls.add(fall)
                fall = plus(fall, tiers.grace, self.zone)
        so_far: list[Counted] = []
        for one in sorted(known, key=lambda one: one.at):
            for fall in sorted(fall for fall in falls if fall < one.at):
                falls.remove(fall)
                yield fall, so_far
            so_far = [*so_far, one]
            yield one.at, so_far
        for fall in sorted(fall for fall in falls if fall <= moment):
            yield fall, so_far

    def _kept(self, tiers: Tiers, known: list[Counted], moment: datetime) -> int:
        ends = {day: plus(day, tiers.rolling or Duration(), self.zone) for _, day, _ in known}

        def level(at: datetime) -> int:
            return tiers.level(sum(n for _, day, n in known if day <= at < ends[day]))

        kept = [end for end in ends.values() if end <= moment < plus(end, tiers.grace, self.zone)]
        return max([level(moment), *(level(end - STEP) for end in kept)])
