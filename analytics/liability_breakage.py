"""Breakage: what expired unspent so far, by month of grant, and what the open lots are expected to.

The estimate is the product-limit estimator (Kaplan and Meier, 1958) over points: a point is at risk
of being spent from the day it was granted; to be spent is the event. Expiry is a censoring that is
known in advance (the lot's terms), and so are the asked moment (open lots), clawbacks, adjustments,
forfeits, payments of debt and transfers, which are taken to say nothing about spending. With S(t)
the share of points not spent t days after the grant, an open point of age a that expires at age e
breaks with the probability S(e) / S(a). Points that never expire do not break. Beyond the greatest
age seen S stays flat.

Two standard errors are told. Greenwood's (1926; here with the covariances between lots, by the
delta method) takes points for independent. They are not: a member's points go together. So the
error to be used is a delete-a-group jackknife over groups of members. Floats, and nothing here is
posted.
"""

from collections import Counter
from math import sqrt
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from analytics.liability_log import Book, Story
from ledger.core.calendar import DAY_US
from schemas.fields import Instant

Counts = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

GROUPS = 20
"""Groups of members for the jackknife: enough for an error within some 16 per cent of itself."""

AGE_DAYS_MAX = 36_600
"""A hundred years: points of a greater age are counted as of this one."""

GONE = ("revoked", "adjusted", "transferred", "debt_paid")
"""How points leave lots neither spent nor expired."""


class Cohort(NamedTuple):
    """Points granted (or given by hand) in one local month, and where they are. `observed`: the
    share of them that expired unspent so far; `expected`: points of the open ones expected to."""

    month: str
    granted: int
    spent: int
    expired: int
    taken_back: int
    open: int
    observed: float
    expected: float


class Breakage(NamedTuple):
    """`expected` points of the `open` ones break, ± `error` (jackknife over members); `rate` is
    their share, with its error. `greenwood`: the error in points if points were independent.
    `worth`: `expected` at the point value, minor units. `ultimate`: the share of all points granted
    and not taken back that have expired or are expected to."""

    at: Instant
    cohorts: tuple[Cohort, ...]
    granted: int
    spent: int
    expired: int
    taken_back: int
    open: int
    expected: float
    error: float
    greenwood: float
    rate: float
    rate_error: float
    worth: float
    ultimate: float


class Curve(NamedTuple):
    """The product-limit estimator by day of age. `log_kept[t]`: the logarithm of the share not
    spent by the end of day t; `variance[t]`: what day t adds to its variance (Greenwood)."""

    log_kept: Floats
    variance: Floats


def product_limit(entered: Counts, spent: Counts, left: Counts) -> Curve:
    """`entered`, `spent` and `left` (not spent) by day of age. Who leaves on a day is at risk on
    that day. S(t) = Π (1 − dᵢ / nᵢ); Greenwood: Σ dᵢ / (nᵢ (nᵢ − dᵢ))."""
    gone = np.cumsum(spent + left)
    at_risk = np.cumsum(entered) - np.concatenate(([0], gone[:-1]))
    some = np.flatnonzero((spent > 0) & (at_risk > 0))
    n, d = at_risk[some].astype(float), spent[some].astype(float)
    logs, variance = np.zeros(len(spent)), np.zeros(len(spent))
    with np.errstate(divide="ignore"):
        logs[some] = np.log1p(-d / n)
        variance[some] = np.where(d < n, d / (n * (n - d)), 0.0)
    return Curve(np.cumsum(logs), variance)


class _Open(NamedTuple):
    """Open points by cohort, age and age at expiry, in days."""

    cohort: str
    age: int
    expires: int


class Lifetimes:
    """Takes stories up to `at` and estimates breakage."""

    def __init__(self, book: Book, at: Instant) -> None:
        self.book, self.at = book, at
        self._flows: dict[str, Counter[str]] = {}
        self._open: Counter[_Open] = Counter()
        self._never: Counter[str] = Counter()
        self._counts = {
            name: [Counter[int]() for _ in range(GROUPS)] for name in ("entered", "spent", "left")
        }

    def add(self, story: Story) -> None:
        """Take one account's story up to the moment."""
        group = crc32(story.member_id.encode()) % GROUPS
        entered, spent, left = (self._counts[name][group] for name in ("entered", "spent", "left"))
        draws: dict[int, list[list[int]]] = {}
        for at, kind, points, number in sorted(story.moved, key=lambda moved: moved.at):
            lot = story.lots[number]
            age = _days(lot.granted_at, at)
            flows = self._flows.setdefault(self.book.month(lot.granted_at), Counter())
            flows["granted" if kind == "adjusted" and points > 0 else kind] += points
            if kind == "redeemed":
                draws.setdefault(number, []).append([age, -points])
            elif kind == "restored":  # as if the latest draws had not been
                _undo(draws.setdefault(number, []), points)
            elif points > 0:
                entered[age] += points
            else:
                left[age] -= points
        for some in draws.values():
            for age, points in some:
                spent[age] += points
        for lot in story.lots.values():
            points = lot.pending + lot.available + lot.reserved
            if points:
                age = _days(lot.granted_at, self.at)
                left[age] += points
                cohort = self.book.month(lot.granted_at)
                if lot.expires_at is None:
                    self._never[cohort] += points
                else:
                    ends = max(age, _days(lot.granted_at, lot.expires_at))
                    self._open[_Open(cohort, age, ends)] += points

    def result(self) -> Breakage:
        """What has expired, and what is expected to."""
        size = 1 + max(
            (age for each in self._counts.values() for some in each for age in some), default=0
        )
        by_group = {
            name: np.array([[some[age] for age in range(size)] for some in each], dtype=np.int64)
            for name, each in self._counts.items()
        }
        totals = {name: counts.sum(axis=0) for name, counts in by_group.items()}
        keys = list(self._open)
        points = np.array([self._open[key] for key in keys], dtype=np.float64)
        ages = np.array([min(key.age, size - 1) for key in keys], dtype=np.int64)
        ends = np.array([min(key.expires, size - 1) for key in keys], dtype=np.int64)
        curve = product_limit(totals["entered"], totals["spent"], totals["left"])
        each = points * _kept(curve, ages, ends)
        expected = float(each.sum())
        without = [
            float((points * _kept(_curve_without(totals, by_group, g), ages, ends)).sum())
            for g in range(GROUPS)
        ]
        mean = sum(without) / GROUPS
        error = sqrt((GROUPS - 1) / GROUPS * sum((one - mean) ** 2 for one in without))
        by_cohort: dict[str, float] = {}
        opened = Counter[str](self._never)
        for key, count, broken in zip(keys, points, each, strict=True):
            opened[key.cohort] += int(count)
            by_cohort[key.cohort] = by_cohort.get(key.cohort, 0.0) + float(broken)
        cohorts = tuple(
            _cohort(month, flows, opened[month], by_cohort.get(month, 0.0))
            for month, flows in sorted(self._flows.items())
        )
        granted, spent, expired, taken, still = (
            sum(getattr(one, name) for one in cohorts)
            for name in ("granted", "spent", "expired", "taken_back", "open")
        )
        kept = granted - taken
        return Breakage(
            self.at,
            cohorts,
            granted,
            spent,
            expired,
            taken,
            still,
            expected,
            error,
            _greenwood(curve, points, ages, ends),
            expected / still if still else 0.0,
            error / still if still else 0.0,
            expected * self.book.value_at(self.at),
            (expired + expected) / kept if kept else 0.0,
        )


def _days(since: Instant, at: Instant) -> int:
    """Whole days of 24 hours; a late input may have been granted after what it moved."""
    return min(max(0, (at - since) // DAY_US), AGE_DAYS_MAX)


def _undo(draws: list[list[int]], points: int) -> None:
    while points and draws:
        part = min(points, draws[-1][1])
        draws[-1][1] -= part
        points -= part
        if not draws[-1][1]:
            draws.pop()


def _kept(curve: Curve, ages: Counts, ends: Counts) -> Floats:
    """The share of points of these ages that is not spent by these ends: S(e) / S(a)."""
    before = curve.log_kept[ages]
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(before), 0.0, np.exp(curve.log_kept[ends] - before))


def _curve_without(totals: dict[str, Counts], by_group: dict[str, Counts], group: int) -> Curve:
    entered, spent, left = (
        totals[name] - by_group[name][group] for name in ("entered", "spent", "left")
    )
    return product_limit(entered, spent, left)


def _greenwood(curve: Curve, points: Floats, ages: Counts, ends: Counts) -> float:
    """By the delta method: day t moves the expectation by what of it lies across that day."""
    across = np.zeros(len(curve.variance) + 1)
    broken = points * _kept(curve, ages, ends)
    np.add.at(across, ages + 1, broken)
    np.subtract.at(across, ends + 1, broken)
    weights = np.cumsum(across)[: len(curve.variance)]
    return sqrt(float((weights**2 * curve.variance).sum()))


def _cohort(month: str, flows: Counter[str], still: int, expected: float) -> Cohort:
    granted = flows["granted"]
    taken = -sum(flows[kind] for kind in GONE)
    spent = -(flows["redeemed"] + flows["restored"])
    expired = -flows["expired"]
    assert granted == spent + expired + taken + still, f"cohort {month} does not reconcile"
    observed = expired / granted if granted else 0.0
    return Cohort(month, granted, spent, expired, taken, still, observed, expected)
