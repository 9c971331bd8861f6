"""Exact arithmetic of awards: an integer ratio rounded once, by the declared rounding.

Integers only: no float comes near points.
"""

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
