"""Exact arithmetic of awards: rounding once, and sharing points among lines.

Integers only. Shares always sum to what was shared.
"""

from collections.abc import Sequence

from ledger.core.program.form import Rounding


def rounded(numerator: int, denominator: int, rounding: Rounding) -> int:
    """`numerator` / `denominator` as a whole number; the denominator is above 0."""
    whole, rest = divmod(numerator, denominator)
    if rest == 0 or rounding == "floor":
        return whole
    if rounding == "ceil":
        return whole + 1
    twice = 2 * rest
    return whole + (twice > denominator or (twice == denominator and whole % 2 == 1))


def allocate(points: int, amounts: Sequence[int]) -> list[int]:
    """Share `points` in proportion to `amounts`, by largest remainder (ties: the earlier one).

    When the amounts sum to 0 the first gets everything. Raises ValueError without any amount.
    """
    if not amounts:
        raise ValueError("points cannot be shared among no lines")
    total = sum(amounts)
    if total == 0:
        return [points] + [0] * (len(amounts) - 1)
    shares = [points * amount // total for amount in amounts]
    missing = points - sum(shares)
    if missing:
        # Sorting keeps the order of equals, so that of equal remainders the earlier line wins.
        remainders = [-(points * amount % total) for amount in amounts]
        for place in sorted(range(len(amounts)), key=remainders.__getitem__)[:missing]:
            shares[place] += 1
    return shares
