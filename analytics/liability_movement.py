"""How the liability moved, month by month: in points and in money, each month exactly.

Money of a movement is points × the point value in force at its moment; when the value changes, the
points outstanding just before are revalued at that moment. All integers: opening + movements =
closing holds for every month, and is asserted.
"""

from collections import Counter
from typing import NamedTuple

from analytics.liability_log import KINDS, Book, Owed, Story
from schemas.fields import Instant


class Month(NamedTuple):
    """One local month. `points` and `money` (minor units): by kind of movement, signed. `activated`
    moves points within lots and is not part of the sum. `debt`: members' debt at its end."""

    month: str
    ends_at: Instant
    opening_points: int
    points: dict[str, int]
    closing_points: int
    opening_money: int
    money: dict[str, int]
    revaluation: int
    closing_money: int
    activated: int
    debt: int

    @property
    def owed(self) -> Owed:
        """The closing figures, to compare with the read models."""
        return Owed(self.closing_points, self.debt, self.closing_money)


class Movement:
    """Takes stories and says how the liability moved in each month."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self._cuts: dict[Instant, Counter[str]] = {}
        self._activated: Counter[Instant] = Counter()
        self._debts: Counter[Instant] = Counter()

    def _span(self, at: Instant) -> Instant:
        """Where the span of one month and one point value begins that contains `at`."""
        start, _ = self.book.month_bounds(at)
        changes = [since for since, _ in self.book.values if start < since <= at]
        return max(changes, default=start)

    def add(self, story: Story) -> None:
        """Take one account's story."""
        for at, kind, points, _ in story.moved:
            self._cuts.setdefault(self._span(at), Counter())[kind] += points
        for at, points in story.activated:
            self._activated[self.book.month_bounds(at)[0]] += points
        for at, points in story.debts:
            self._debts[self.book.month_bounds(at)[0]] += points

    def months(self, until: Instant) -> list[Month]:
        """Every month from the first movement to the one that contains `until`."""
        found: list[Month] = []
        firsts = [*self._cuts, *self._debts]
        if not firsts:
            return found
        book = self.book
        at = book.month_bounds(min(firsts))[0]
        points = debt = 0
        value = book.value_at(at)
        while at <= until:
            start, end = book.month_bounds(at)
            opening, opening_money = points, points * value
            by_kind, money = Counter[str](), Counter[str]()
            revaluation = 0
            for cut in (start, *(since for since, _ in book.values if start < since < end)):
                new = book.value_at(cut)
                revaluation += points * (new - value)
                value = new
                for kind, moved in self._cuts.get(cut, Counter()).items():
                    by_kind[kind] += moved
                    money[kind] += moved * value
                    points += moved
            debt += self._debts[start]
            month = Month(
                book.month(start),
                end - 1,
                opening,
                {kind: by_kind[kind] for kind in KINDS},
                points,
                opening_money,
                {kind: money[kind] for kind in KINDS},
                revaluation,
                points * value,
                self._activated[start],
                debt,
            )
            assert opening + sum(month.points.values()) == points, "points do not reconcile"
            assert opening_money + sum(month.money.values()) + revaluation == month.closing_money, (
                "money does not reconcile"
            )
            assert points >= 0, "lots never hold less than nothing"
            found.append(month)
            at = end
        return found
