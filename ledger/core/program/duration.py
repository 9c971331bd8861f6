"""ISO 8601 durations and exact ratios, as a program writes them.

A duration's years, months, weeks and days are calendar arithmetic in the program's zone; hours,
minutes and seconds are exact. Adding one to a moment is in `ledger.core.calendar`.
"""

import re
from fractions import Fraction

_DURATION = re.compile(
    r"^P(?!$)(?:(\d{1,3})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,5})D)?"
    r"(?:T(?=\d)(?:(\d{1,6})H)?(?:(\d{1,6})M)?(?:(\d{1,9})S)?)?$"
)

DURATION_DAYS_MAX = 36_600
"""Longest duration, in days (100 years): every date computed from one can still be written."""


class Duration:
    """A length of time: calendar months and days, then exact seconds. Immutable by convention.

    A plain class and not a struct: msgspec then hands the text to the decoding hook.
    """

    __slots__ = ("days", "months", "seconds")

    def __init__(self, years: int = 0, months: int = 0, days: int = 0, seconds: int = 0) -> None:
        self.months = 12 * years + months
        self.days = days
        self.seconds = seconds

    def _key(self) -> tuple[int, int, int]:
        return (self.months, self.days, self.seconds)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __repr__(self) -> str:
        return f"Duration({self})"

    def __bool__(self) -> bool:
        return bool(self.months or self.days or self.seconds)

    def __str__(self) -> str:
        """The one normal form: P1Y and P12M, PT1H and PT60M read alike."""
        years, months = divmod(self.months, 12)
        hours, rest = divmod(self.seconds, 3_600)
        minutes, seconds = divmod(rest, 60)
        date = _written((years, "Y"), (months, "M"), (self.days, "D"))
        time = _written((hours, "H"), (minutes, "M"), (seconds, "S"))
        return f"P{date}{'T' if time else ''}{time}" if date or time else "PT0S"


def _written(*parts: tuple[int, str]) -> str:
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def parse_duration(text: str) -> Duration:
    """Read `P1Y2M3W4DT5H6M7S`. Raises ValueError when it is not such a duration."""
    found = _DURATION.match(text)
    if found is None:
        raise ValueError(
            f"{text!r} is not an ISO 8601 duration; write for instance P14D, P6M or PT30M"
        )
    years, months, weeks, days, hours, minutes, seconds = (int(g or 0) for g in found.groups())
    length_days = 366 * years + 31 * months + 7 * weeks + days + (hours + minutes // 60) // 24
    if length_days + seconds // 86_400 > DURATION_DAYS_MAX:
        raise ValueError(f"{text!r} is longer than 100 years, which no program needs; shorten it")
    return Duration(
        years=years,
        months=months,
        days=7 * weeks + days,
        seconds=3600 * hours + 60 * minutes + seconds,
    )


class Ratio:
    """An exact decimal number, kept as a fraction in lowest terms. Immutable by convention."""

    __slots__ = ("denominator", "numerator")

    def __init__(self, numerator: int, denominator: int) -> None:
        self.numerator = numerator
        self.denominator = denominator

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ratio) and self.fraction == other.fraction

    def __hash__(self) -> int:
        return hash(self.fraction)

    def __repr__(self) -> str:
        return f"Ratio({self.numerator}, {self.denominator})"

    def __str__(self) -> str:
        """The shortest decimal; exact, since a ratio is read from one of at most nine places."""
        whole, rest = divmod(self.numerator * 10**9 // self.denominator, 10**9)
        places = f"{rest:09}".rstrip("0")
        return f"{whole}.{places}" if places else str(whole)

    @property
    def fraction(self) -> Fraction:
        """The same number for exact arithmetic."""
        return Fraction(self.numerator, self.denominator)


_RATIO = re.compile(r"^\d{1,9}(?:\.\d{1,9})?$")


def parse_ratio(value: str | int) -> Ratio:
    """Read `"1.2"` or `2`. Raises ValueError for anything else (a float above all)."""
    text = str(value)
    if isinstance(value, bool) or not _RATIO.match(text):
        raise ValueError(
            f'{value!r} is not an exact number; write it in quotes, for instance "1.2"'
        )
    exact = Fraction(text)
    return Ratio(exact.numerator, exact.denominator)
