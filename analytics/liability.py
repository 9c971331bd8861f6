"""What is owed at a moment: the points left in lots, at the point value in force, in buckets.

A point is worth a whole number of minor units, so a liability is points × value, exact, without
rounding. Debt is shown apart: it lowers what a member can spend, not what the lots hold.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from analytics.liability_log import Book, Owed, Story
from ledger.core.calendar import local
from projections.lots import LotView
from schemas.fields import Instant

Dimension = Literal["age", "expiry", "rule"]

NEVER = "never"
"""The expiry of points that do not expire, or whose clock has not begun: they wait for an event."""


class Bucket(NamedTuple):
    """Lots of one bucket: how many, of how many members, the points by state, what they are worth
    in minor units."""

    bucket: str
    lots: int
    members: int
    points: int
    pending: int
    available: int
    reserved: int
    liability: int


class Outstanding(NamedTuple):
    """`buckets` sum to `total`. `debt`: points that members owe, and `debt_value` their worth."""

    at: Instant
    point_value: int
    currency: str
    buckets: tuple[Bucket, ...]
    total: Bucket
    debt: int
    debt_value: int

    @property
    def owed(self) -> Owed:
        """The totals, to compare with the read models."""
        return Owed(self.total.points, self.debt, self.total.liability)


class _Sum:
    __slots__ = ("available", "lots", "members", "pending", "reserved")

    def __init__(self) -> None:
        self.lots = self.members = self.pending = self.available = self.reserved = 0

    def bucket(self, name: str, value: int) -> Bucket:
        points = self.pending + self.available + self.reserved
        return Bucket(name, self.lots, self.members, points, self.pending, self.available,
                      self.reserved, points * value)  # fmt: skip


class Standing:
    """Takes stories, one after the other, and says what is owed."""

    def __init__(self, book: Book, at: Instant, by: Dimension) -> None:
        self.book, self.at, self.by = book, at, by
        self._sums: dict[str, _Sum] = {}
        self._total = _Sum()
        self._debt = 0

    def add(self, story: Story) -> None:
        """Take one account's story up to the moment."""
        seen: set[str] = set()
        self._debt += sum(points for _, points in story.debts)
        for lot in story.lots.values():
            if not (lot.pending or lot.available or lot.reserved):
                continue
            name = self._bucket_of(lot)
            some = self._sums.setdefault(name, _Sum())
            for one in (some, self._total):
                one.lots += 1
                one.pending += lot.pending
                one.available += lot.available
                one.reserved += lot.reserved
            some.members += name not in seen
            seen.add(name)
        self._total.members += bool(seen)

    def _bucket_of(self, lot: LotView) -> str:
        if self.by == "age":
            return str(months_since(self.book, lot.granted_at, self.at))
        if self.by == "rule":
            return "+".join(lot.rules)
        return NEVER if lot.expires_at is None else self.book.month(lot.expires_at)

    def result(self) -> Outstanding:
        """What is owed by all stories taken."""
        value = self.book.value_at(self.at)
        keys = sorted(self._sums, key=(lambda k: (int(k), "")) if self.by == "age" else _text)
        return Outstanding(
            self.at,
            value,
            self.book.ledger.currency,
            tuple(self._sums[key].bucket(key, value) for key in keys),
            self._total.bucket("total", value),
            self._debt,
            self._debt * value,
        )


def _text(key: str) -> tuple[int, str]:
    return (key == NEVER, key)


def outstanding(stories: Iterable[Story], book: Book, at: Instant, by: Dimension) -> Outstanding:
    """What is owed at `at`, which the stories were told up to."""
    standing = Standing(book, at, by)
    for story in stories:
        standing.add(story)
    return standing.result()


def months_since(book: Book, granted_at: Instant, at: Instant) -> int:
    """Whole local months between two moments: 31 January to 28 February is none yet."""
    since, until = local(granted_at, book.zone), local(at, book.zone)
    months = (until.year - since.year) * 12 + until.month - since.month
    within = (until.day, until.time()) < (since.day, since.time())
    return months - within
