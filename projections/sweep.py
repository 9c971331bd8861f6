"""In which segments a member is from when to when, the future included: one sweep over time.

A pure function of the member's history, its tiers and balances ahead, the program versions and the
recorded bounds. Membership at a moment looks only at what holds at that moment, so the result does
not depend on how many events were folded at once. A day is 24 exact hours counted from the last
purchase; a purchase is within the last 365 days until 365 x 24 hours after it (exclusive).
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from projections.conditions import Standing, Test, Version
from projections.system import Bounds
from schemas.fields import Instant

DAY_US = 24 * 3_600 * 1_000_000
"""A day in microseconds."""

WINDOW_US = 365 * DAY_US
"""Frequency and monetary value look back this far."""


VERSIONS_KNOWN_MAX = 8
"""Lists of program versions whose needs are remembered: one is in use, until the next is there."""


class Interval(NamedTuple):
    """Member of `segment` from `entered_at` (inclusive) to `left_at` (exclusive; None: open)."""

    segment: str
    entered_at: Instant
    left_at: Instant | None


class Story(NamedTuple):
    """All that a membership depends on. Lists of (moment, value) may come in any order; from
    `ended_at` on a member is in no segment."""

    opened_at: Instant
    ended_at: Instant | None
    purchases: Sequence[Instant]
    money: Sequence[tuple[Instant, Instant, int]]
    categories: Mapping[str, Instant]
    outcomes: Sequence[tuple[Instant, Mapping[str, bool]]]
    tiers: Sequence[tuple[Instant, str]]
    balances: Sequence[tuple[Instant, int]]


# Kinds of change; at one moment their order does not matter, all are applied before anything is
# asked.
_BOUGHT, _LEFT, _MONEY, _CATEGORY, _OUTCOMES, _TIER, _BALANCE, _VERSION, _BOUNDS = range(9)

UNKNOWN = -1
"""No conditions have these bits: of a version that was not asked yet."""


def sweep(
    story: Story, versions: Sequence[tuple[Instant, Version]], bounds: Sequence[Bounds]
) -> list[Interval]:
    """The member's intervals, sorted by segment and moment. Touching intervals are one."""
    changes = _changes(story, versions, bounds)
    member = Standing()
    inside: dict[str, Instant] = {}
    found: list[Interval] = []
    current: Version | None = None
    tests: tuple[tuple[int, Test], ...] = ()
    days: tuple[int, ...] = ()
    held = 0  # the conditions that hold, as bits; those of another version are other bits
    now = story.opened_at
    index, count = 0, len(changes)
    while True:
        while index < count and changes[index][0] <= now:
            at, kind, value = changes[index]
            index += 1
            if kind == _BOUGHT:
                member.last_purchase = at
                member.frequency += 1
            elif kind == _LEFT:
                member.frequency -= 1
            elif kind == _MONEY:
                member.monetary += value
            elif kind == _TIER:
                member.tier = story.tiers[value][1]
            elif kind == _BALANCE:
                member.balance = story.balances[value][1]
            elif kind == _OUTCOMES:
                member.outcomes = story.outcomes[value][1]
            elif kind == _CATEGORY:
                member.bought.update(c for c, at in story.categories.items() if at <= now)
            elif kind == _VERSION:
                current = versions[value][1]
                tests, held = current.tests, UNKNOWN
                days = _days(current, member.bounds)
            else:
                member.bounds = bounds[value]
                days = _days(current, member.bounds)
        last = member.last_purchase
        member.recency_days = None if last is None else (now - last) // DAY_US
        holding = 0
        for bit, holds in tests:
            if holds(member):
                holding |= bit
        if holding != held:
            held = holding
            _compare(current, holding, inside, now, found)
        following = changes[index][0] if index < count else None
        if days and last is not None and member.recency_days is not None:
            place = bisect_right(days, member.recency_days)
            if place < len(days):
                due = last + days[place] * DAY_US
                following = due if following is None else min(due, following)
        if following is None:
            break
        now = following
    found.extend(Interval(segment, entered, None) for segment, entered in inside.items())
    if story.ended_at is not None:
        found = _cut(found, story.ended_at)
    found.sort(key=lambda interval: (interval.segment, interval.entered_at))
    return found


def _cut(intervals: Sequence[Interval], end: Instant) -> list[Interval]:
    """The intervals as far as they lie before `end`."""
    return [
        interval._replace(left_at=end if interval.left_at is None else min(interval.left_at, end))
        for interval in intervals
        if interval.entered_at < end
    ]


def _compare(
    version: Version | None,
    holding: int,
    inside: dict[str, Instant],
    now: Instant,
    found: list[Interval],
) -> None:
    """Enter and leave. `holding`: the bits of the conditions that hold now."""
    conditions = version.conditions if version else ()
    segments = {c.id for n, c in enumerate(conditions) if holding >> n & 1}
    leaving = [segment for segment in inside if segment not in segments]
    found.extend(Interval(segment, inside.pop(segment), now) for segment in leaving)
    for segment in segments:
        inside.setdefault(segment, now)


def _days(version: Version | None, bounds: Bounds | None) -> tuple[int, ...]:
    """Days since the last purchase at which a condition or a score may change, rising."""
    if version is None:
        return ()
    if bounds is None or not version.uses_rfm:
        return version.days
    return tuple(sorted({*version.days, *(day + 1 for day in bounds.recency_days)}))


class _Looks(NamedTuple):
    """What the segments of any of the versions look at. `reach`: the fewest days of recency at
    which a condition changes, as a length of time; None where there is none."""

    reach: int | None
    rfm: bool
    window: bool
    balance: bool
    categories: frozenset[str]


@lru_cache(VERSIONS_KNOWN_MAX)
def _looks(versions: tuple[Version, ...]) -> _Looks:
    days = [version.days[0] for version in versions if version.days]
    return _Looks(
        min(days) * DAY_US if days else None,
        any(version.uses_rfm for version in versions),
        any(version.uses_window for version in versions),
        any(version.uses_balance for version in versions),
        frozenset[str]().union(*(version.categories for version in versions)),
    )


def _changes(
    story: Story, versions: Sequence[tuple[Instant, Version]], bounds: Sequence[Bounds]
) -> list[tuple[Instant, int, int]]:
    """What can change a membership, by moment; what no segment looks at is left out."""
    looks = _looks(tuple([version for _, version in versions]))
    uses_rfm = looks.rfm and bool(bounds)
    if not (uses_rfm or looks.window):
        found = [(at, _BOUGHT, 0) for at in _telling(story.purchases, looks.reach)]
    else:
        found = [(at, _BOUGHT, 0) for at in story.purchases]
        found += [(at + WINDOW_US, _LEFT, 0) for at in story.purchases]
        for at, bought_at, amount in story.money:
            if at < bought_at + WINDOW_US:
                found.append((at, _MONEY, amount))
                found.append((bought_at + WINDOW_US, _MONEY, -amount))
    if looks.categories:
        wanted = looks.categories
        found += [(at, _CATEGORY, 0) for c, at in story.categories.items() if c in wanted]
    found += [(at, _TIER, n) for n, (at, _) in enumerate(story.tiers)]
    if looks.balance:
        found += [(at, _BALANCE, n) for n, (at, _) in enumerate(story.balances)]
    if story.outcomes:
        found += [(at, _OUTCOMES, n) for n, (at, _) in enumerate(story.outcomes)]
    found += [(at, _VERSION, n) for n, (at, _) in enumerate(versions)]
    if uses_rfm:
        found += [(b.as_of, _BOUNDS, n) for n, b in enumerate(bounds)]
    found.sort()
    return found


def _telling(purchases: Sequence[Instant], reach: int | None) -> list[Instant]:
    """Those of the purchases that matter where nothing but recency looks at them: not one after
    which, counted from the last that is kept, no condition changes until the next purchase."""
    ordered = sorted(purchases)
    if len(ordered) < 3:
        return ordered
    kept = last = ordered[0]
    found = [kept]
    for at in ordered[1:]:
        # `last` is dropped if the recency of all moments before `at` is within reach of `kept`.
        if last > kept and reach is not None and at - kept > reach:
            kept = last
            found.append(kept)
        last = at
    found.append(last)
    return found
