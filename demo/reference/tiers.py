"""The tier at a moment, as a pure function of what counted and when.

What counts is a list of (from when, for which period, how much): a purchase adds to the period it
happened in, a return takes from that same period from the return's moment on. So the tier at any
moment can be asked again, also after something late has arrived.
"""

from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from demo.reference.dates import STEP, Duration, period_start, plus
from demo.reference.program import Tiers


class Counted(NamedTuple):
    at: datetime  # effective from
    period: datetime  # the start of the period it counts in (of the day, in a rolling window)
    amount: int


def rank_at(tiers: Tiers, zone: ZoneInfo, counted: list[Counted], moment: datetime) -> int:
    """How many levels up the account is: the best of this period's level so far, the level of the
    period before and, within the grace, the tier held when that period ended (after it, where tiers
    fall one level at a time, the one below that).
    """
    if not any(at <= moment for at, _, _ in counted):
        return 0
    if tiers.rolling is not None:
        return _rolling(tiers, zone, counted, moment)
    if not tiers.months:
        return tiers.level(sum(amount for at, _, amount in counted if at <= moment))
    start = period_start(moment, tiers.months, zone)
    before = period_start(start - STEP, tiers.months, zone)
    this_period = last_period = 0
    for at, period, amount in counted:
        if at <= moment:
            if period == start:
                this_period += amount
            elif period == before:
                last_period += amount
    rank = tiers.level(max(this_period, last_period))
    in_grace = moment < plus(start, tiers.grace, zone)
    if in_grace or tiers.one_down:
        held = rank_at(tiers, zone, counted, start - STEP)
        rank = max(rank, held if in_grace else held - 1)
    return rank


def _rolling(tiers: Tiers, zone: ZoneInfo, counted: list[Counted], moment: datetime) -> int:
    """What the days of the window reach, or reached when a day left it a grace ago or less; by the
    amounts as they are now.
    """
    known = [one for one in counted if one.at <= moment]
    ends = {day: plus(day, tiers.rolling or Duration(), zone) for _, day, _ in known}

    def level(at: datetime) -> int:
        return tiers.level(sum(n for _, day, n in known if day <= at < ends[day]))

    kept = [end for end in ends.values() if end <= moment < plus(end, tiers.grace, zone)]
    return max([level(moment), *(level(end - STEP) for end in kept)])
