"""Deferred revenue in the form of IFRS 15: points are a promise that a part of the price paid for.

By cohort, the points granted in one local month, as a portfolio (IFRS 15.4):

- stand-alone selling price of its points (B42): points × value at grant × (1 − expected breakage);
- allocated to them at grant (81): of the month's transaction price X, X × SSP ÷ (X + SSP), where X
  is the money of purchases that granted points and stands for the goods' selling price;
- recognised as points are spent (B46, example 52): the allocated amount × points spent ÷ points
  expected to be spent; so breakage is recognised in proportion to the pattern of spending. When
  nothing of a cohort is left, what remains is recognised;
- points taken back release their share to sales: the price that it came from went back.

The breakage rate is a parameter, an exact decimal; an estimate in floats is never posted. A later
change of the point value does not change what was allocated (88). Amounts are integers of minor
units; each cumulative amount is rounded once, half to even, so that every entry balances.
"""

from collections import Counter
from fractions import Fraction
from typing import Literal, NamedTuple

from analytics.liability_log import Book, Story
from schemas.fields import Instant

Allocation = Literal["relative", "full"]
"""`full`: the points are allocated their whole selling price, at the cost of the goods."""


class Terms(NamedTuple):
    """What the entity assumes. `breakage`: share of points never spent, from 0 up to below 1."""

    breakage: Fraction
    allocation: Allocation = "relative"


class Deferred(NamedTuple):
    """One local month, minor units: opening + deferred − reversed − redeemed − breakage = closing.
    `overrun`: cohorts that hold points although all was recognised: the rate is too high."""

    month: str
    ends_at: Instant
    opening: int
    deferred: int
    reversed: int
    redeemed: int
    breakage: int
    closing: int
    overrun: int


class _Cohort:
    """Cumulative points of one month of grant, and what was recognised of its amount."""

    __slots__ = ("gone", "granted", "open", "posted", "spent", "worth")

    def __init__(self) -> None:
        self.granted = self.worth = self.spent = self.gone = self.open = 0
        self.posted = Recognised(0, 0, 0)


class Recognised(NamedTuple):
    """Of an allocated amount, cumulative minor units."""

    reversed: int
    redeemed: int
    breakage: int


class DeferredRevenue:
    """Takes stories and says how the contract liability moved in each month."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self._moves: dict[Instant, Counter[tuple[Instant, str]]] = {}
        self._worth: Counter[Instant] = Counter()
        self._price: Counter[Instant] = Counter()

    def add(self, story: Story) -> None:
        """Take one account's story."""
        book = self.book
        for at, kind, points, number in story.moved:
            cohort = book.month_bounds(story.lots[number].granted_at)[0]
            if kind == "adjusted" and points > 0:
                kind = "granted"
            if kind == "granted":
                self._worth[cohort] += points * book.value_at(at)
            self._moves.setdefault(book.month_bounds(at)[0], Counter())[cohort, kind] += points
        for at, amount in story.sales:
            self._price[book.month_bounds(at)[0]] += amount

    def months(self, until: Instant, terms: Terms) -> list[Deferred]:
        """Every month from the first movement to the one that contains `until`."""
        found: list[Deferred] = []
        if not self._moves:
            return found
        cohorts: dict[Instant, _Cohort] = {}
        at, balance = min(self._moves), 0
        while at <= until:
            start, end = self.book.month_bounds(at)
            before = sum(self._allocated(when, one, terms) for when, one in cohorts.items())
            for (when, kind), points in self._moves.get(start, Counter()).items():
                one = cohorts.setdefault(when, _Cohort())
                one.open += points
                if kind == "granted":
                    one.granted += points
                    one.worth = self._worth[when]
                elif kind in ("redeemed", "restored"):
                    one.spent -= points
                elif kind != "expired":
                    one.gone -= points
            allocated = {when: self._allocated(when, one, terms) for when, one in cohorts.items()}
            deferred = sum(allocated.values()) - before
            moved, overrun = Counter[str](), 0
            for when, one in cohorts.items():
                new = recognised(allocated[when], one.granted, one.spent, one.gone, one.open, terms)
                for name, now, was in zip(Recognised._fields, new, one.posted, strict=True):
                    moved[name] += now - was
                one.posted = new
                overrun += bool(one.open > 0 and allocated[when] and sum(new) == allocated[when])
            closing = balance + deferred - sum(moved.values())
            assert closing == sum(allocated.values()) - sum(
                sum(one.posted) for one in cohorts.values()
            ), "the contract liability does not reconcile"
            found.append(
                Deferred(self.book.month(start), end - 1, balance, deferred, moved["reversed"],
                         moved["redeemed"], moved["breakage"], closing, overrun)
            )  # fmt: skip
            at, balance = end, closing
        return found

    def _allocated(self, when: Instant, one: _Cohort, terms: Terms) -> int:
        if not one.granted:
            return 0
        selling = one.worth * (1 - terms.breakage)
        price = self._price[when]
        if terms.allocation == "full" or not selling:
            return round(selling)
        return round(price * selling / (price + selling))


def recognised(
    allocated: int, granted: int, spent: int, gone: int, still: int, terms: Terms
) -> Recognised:
    """Of the amount `allocated` to `granted` points: `gone` were taken back, `spent` spent, `still`
    are open; all so far."""
    if not granted:
        return Recognised(0, 0, 0)
    back = round(Fraction(allocated * gone, granted))
    total = allocated
    if still > 0:
        expected = granted * (1 - terms.breakage)
        total = min(allocated, round(allocated * (Fraction(gone, granted) + spent / expected)))
    earned = max(0, total - back)
    redeemed = min(earned, round(Fraction(allocated * spent, granted)))
    return Recognised(total - earned, redeemed, earned - redeemed)
