"""Limits of rules: what they leave of an award, and which counters it uses up.

A counter belongs to a rule and a period and counts points and times. The period is that of the
purchase's occurred_at in the program's zone (see `Stretch.counters`). Within one order there is
nothing to count: a rule fires once per order.
"""

from collections.abc import Mapping, Sequence

from ledger.core.program.form import Limit
from schemas.decisions import Cap

Used = Mapping[str, tuple[int, int]]
"""What is used up: counter key → (points, times)."""


def capped(
    limits: Sequence[Limit], points: int, keys: Sequence[str | None], used: Used
) -> tuple[int, tuple[Cap, ...], tuple[str, ...]]:
    """What the limits leave of `points`, which of them bound, and the counters to use up. `keys`:
    the counter of each limit, None for one per order.

    The counters are those of an award that is granted; one of 0 points uses up none.
    """
    caps: list[Cap] = []
    counters: list[str] = []
    for limit, key in zip(limits, keys, strict=True):
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
