"""Limits of rules: which counter an award uses up, and what a limit leaves of it.

A counter belongs to a rule and a period and counts points and times. The period is that of the
purchase's occurred_at in the program's zone. Within one order there is nothing to count: a rule
fires once per order.
"""

from collections.abc import Mapping
from zoneinfo import ZoneInfo

from ledger.core.calendar import INSTANT_MAX, INSTANT_MIN, period_bounds, period_key
from ledger.core.program.form import Limit
from schemas.decisions import Cap
from schemas.fields import Instant

Used = Mapping[str, tuple[int, int]]
"""What is used up: counter key → (points, times)."""


def counter_key(rule_id: str, limit: Limit, at: Instant, zone: ZoneInfo) -> str | None:
    """The counter that `limit` looks at, `RULE/PERIOD/KEY`; None for a limit per order."""
    if limit.per == "order":
        return None
    return f"{rule_id}/{limit.per}/{period_key(at, limit.per, zone)}"


def window(limit: Limit, at: Instant, zone: ZoneInfo) -> tuple[Instant, Instant]:
    """Start and exclusive end of the period in which that counter counts."""
    if limit.per == "order":
        return (INSTANT_MIN, INSTANT_MAX)
    return period_bounds(at, limit.per, zone)


def capped(
    rule_id: str, limits: tuple[Limit, ...], points: int, at: Instant, zone: ZoneInfo, used: Used
) -> tuple[int, tuple[Cap, ...], tuple[str, ...]]:
    """What the limits leave of `points`, which of them bound, and the counters to use up.

    The counters are those of an award that is granted; one of 0 points uses up none.
    """
    caps: list[Cap] = []
    counters: list[str] = []
    for limit in limits:
        key = counter_key(rule_id, limit, at, zone)
        used_points, used_times = (0, 0) if key is None else used.get(key, (0, 0))
        if limit.points is not None:
            left = max(limit.points - used_points, 0)
            if points > left:
                points = left
                caps.append(Cap(f"points/{limit.per}", left))
        elif limit.times is not None and limit.times <= used_times:
            points = 0
            caps.append(Cap(f"times/{limit.per}", 0))
        if key is not None and key not in counters:
            counters.append(key)
    return points, tuple(caps), tuple(counters)
