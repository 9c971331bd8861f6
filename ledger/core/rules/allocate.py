"""Sharing the points of an award among lines, in proportion to their amounts.

Integers only. Shares always sum to what was shared.
"""

from collections.abc import Sequence


def allocate(points: int, amounts: Sequence[int]) -> list[int]:
    """Share `points` in proportion to `amounts`, by largest remainder (ties: the earlier one).

    When the amounts sum to 0 the first gets everything. Raises ValueError without any amount.
    """
    count = len(amounts)
    if count == 1:
        return [points]
    if not count:
        raise ValueError("points cannot be shared among no lines")
    total = sum(amounts)
    if total == 0:
        return [points] + [0] * (count - 1)
    if count == 2:
        # What is left over is one point or none: the two remainders sum to `total` or to 0.
        first, rest = divmod(points * amounts[0], total)
        first += rest and 2 * rest >= total
        return [first, points - first]
    products = [points * amount for amount in amounts]
    shares = [product // total for product in products]
    missing = points - sum(shares)
    if missing:
        # A remainder and its place as one number: sorted, the largest remainder comes first, and of
        # equal ones the earlier line. The place is what the number leaves over.
        keys = [place - product % total * count for place, product in enumerate(products)]
        keys.sort()
        for key in keys[:missing]:
            shares[key % count] += 1
    return shares
