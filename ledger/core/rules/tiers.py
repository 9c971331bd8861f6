"""Tiers of a program version: the level of a measure, and the order of tiers.

A tier that the version does not know (an older version's) ranks as none.
"""

from bisect import bisect_right
from collections.abc import Sequence

from ledger.core.program.compiled import Compiled
from ledger.core.program.conditions import NO_TIER
from schemas.fields import Instant

__all__ = ["NO_TIER", "better", "one_below", "tier_in", "tier_level", "tier_rank"]


def tier_level(program: Compiled, measure: int) -> str:
    """The highest level whose threshold `measure` (minor units, points or purchases) reaches."""
    place = bisect_right(program.levels, measure, key=lambda level: level[0])
    return program.levels[place - 1][1] if place else NO_TIER


def tier_rank(program: Compiled, tier: str) -> int:
    """0 for none (or unknown), then 1, 2, 3 … in rising order."""
    return program.ranks.get(tier, 0)


def better(program: Compiled, first: str, second: str) -> str:
    """The higher of two tiers; one that the program does not know counts as none."""
    ranks = program.ranks
    one, other = ranks.get(first, 0), ranks.get(second, 0)
    if one == other == 0:
        return NO_TIER
    return first if one >= other else second


def one_below(program: Compiled, tier: str) -> str:
    """The level below a tier."""
    rank = tier_rank(program, tier)
    return program.levels[rank - 2][1] if rank >= 2 else NO_TIER


def tier_in(tiers: Sequence[tuple[Instant, str]], at: Instant) -> str:
    """The tier in force at `at`, by its changes."""
    for start, tier in reversed(tiers):
        if start <= at:
            return tier
    return NO_TIER
