"""In which segments a member is from when to when, the future included: one sweep over time.

A pure function of the member's history, its tiers and balances ahead, the program versions and the
recorded bounds. Membership at a moment looks only at what holds at that moment, so the result does
not depend on how many events were folded at once. A day is 24 exact hours counted from the last
purchase; a purchase is within the last 365 days until 365 x 24 hours after it (exclusive).
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ledger.core.program.conditions import NO_TIER, texts
from ledger.core.program.form import Bounds as Range
from ledger.core.program.form import Rfm, SegmentWhen
from projections.system import Bounds
from schemas.fields import Instant

DAY_US = 24 * 3_600 * 1_000_000
"""A day in microseconds."""

WINDOW_US = 365 * DAY_US
"""Frequency and monetary value look back this far."""


class Interval(NamedTuple):
    """Member of `segment` from `entered_at` (inclusive) to `left_at` (exclusive; None: open)."""

    segment: str
    entered_at: Instant
    left_at: Instant | None


class Story(NamedTuple):
    """All that a membership depends on. Lists of (moment, value) may come in any order."""

    opened_at: Instant
    purchases: Sequence[Instant]
    money: Sequence[tuple[Instant, Instant, int]]
    categories: Mapping[str, Instant]
    outcomes: Sequence[tuple[Instant, Mapping[str, bool]]]
    tiers: Sequence[tuple[Instant, str]]
    balances: Sequence[tuple[Instant, int]]


class Standing:
    """The member at one moment of the sweep."""

    __slots__ = (
        "balance",
        "bought",
        "bounds",
        "frequency",
        "last_purchase",
        "monetary",
        "outcomes",
        "recency_days",
        "tier",
    )

    def __init__(self) -> None:
        self.last_purchase: Instant | None = None
        self.recency_days: int | None = None
        self.frequency = 0
        self.monetary = 0
        self.balance = 0
        self.tier = NO_TIER
        self.bought: set[str] = set()
        self.outcomes: Mapping[str, bool] = {}
        self.bounds: Bounds | None = None


class Condition:
    """One segment's conditions, made ready once per program version."""

    __slots__ = ("_categories", "_profile", "_tiers", "_when", "days", "id", "uses_rfm")

    def __init__(self, segment_id: str, when: SegmentWhen, profile: tuple[str, ...] = ()) -> None:
        self.id = segment_id
        self.uses_rfm = when.rfm is not None
        self._when = when
        self._profile = profile
        self._tiers = texts(when.tier)
        self._categories = texts(when.category_bought)
        days = when.recency_days
        self.days: tuple[int, ...] = ()
        if days is not None:
            least = () if days.at_least is None else (days.at_least,)
            most = () if days.at_most is None else (days.at_most + 1,)
            self.days = least + most

    def holds(self, member: Standing) -> bool:
        """Whether all conditions hold."""
        when = self._when
        return (
            (when.recency_days is None or _within(when.recency_days, member.recency_days))
            and (when.frequency is None or _within(when.frequency, member.frequency))
            and (when.monetary is None or _within(when.monetary, member.monetary))
            and (self._tiers is None or member.tier in self._tiers)
            and (when.balance is None or _within(when.balance, member.balance))
            and (self._categories is None or not self._categories.isdisjoint(member.bought))
            and all(member.outcomes.get(key, False) for key in self._profile)
            and (when.rfm is None or _scores(when.rfm, member))
        )


class Version:
    """The segments of one program version, and the days of recency at which something changes."""

    __slots__ = ("categories", "conditions", "days", "uses_balance", "uses_rfm", "uses_window")

    def __init__(self, conditions: Sequence[Condition], segments: Sequence[SegmentWhen]) -> None:
        self.conditions = tuple(conditions)
        self.days = tuple(sorted({day for c in conditions for day in c.days}))
        self.uses_rfm = any(c.uses_rfm for c in conditions)
        self.uses_window = any(w.frequency is not None or w.monetary is not None for w in segments)
        self.uses_balance = any(when.balance is not None for when in segments)
        named = [texts(when.category_bought) or frozenset() for when in segments]
        self.categories = frozenset[str]().union(*named)


def _within(bounds: Range, value: int | None) -> bool:
    if value is None:
        return False
    return (bounds.at_least is None or value >= bounds.at_least) and (
        bounds.at_most is None or value <= bounds.at_most
    )


def score(bounds: Sequence[int], value: int) -> int:
    """1 to 5, 5 for the highest values: one more than the bounds that lie below the value."""
    return 1 + sum(bound < value for bound in bounds)


def _scores(rfm: Rfm, member: Standing) -> bool:
    """Without bounds, or without a purchase, nobody has a score."""
    bounds = member.bounds
    if bounds is None or member.recency_days is None:
        return False
    return (
        (rfm.recency is None or 6 - score(bounds.recency_days, member.recency_days) in rfm.recency)
        and (rfm.frequency is None or score(bounds.frequency, member.frequency) in rfm.frequency)
        and (rfm.monetary is None or score(bounds.monetary, member.monetary) in rfm.monetary)
    )


# Kinds of change; at one moment their order does not matter, all are applied before anything is
# asked.
_BOUGHT, _LEFT, _MONEY, _CATEGORY, _OUTCOMES, _TIER, _BALANCE, _VERSION, _BOUNDS = range(9)


def sweep(
    story: Story, versions: Sequence[tuple[Instant, Version]], bounds: Sequence[Bounds]
) -> list[Interval]:
    """The member's intervals, sorted by segment and moment. Touching intervals are one."""
    changes = _changes(story, versions, bounds)
    member = Standing()
    inside: dict[str, Instant] = {}
    found: list[Interval] = []
    current: Version | None = None
    days: tuple[int, ...] = ()
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
                days = _days(current, member.bounds)
            else:
                member.bounds = bounds[value]
                days = _days(current, member.bounds)
        last = member.last_purchase
        member.recency_days = None if last is None else (now - last) // DAY_US
        _compare(current, member, inside, now, found)
        following = changes[index][0] if index < count else None
        if last is not None and member.recency_days is not None:
            place = bisect_right(days, member.recency_days)
            if place < len(days):
                due = last + days[place] * DAY_US
                following = due if following is None else min(due, following)
        if following is None:
            break
        now = following
    found.extend(Interval(segment, entered, None) for segment, entered in inside.items())
    found.sort(key=lambda interval: (interval.segment, interval.entered_at))
    return found


def _compare(
    version: Version | None,
    member: Standing,
    inside: dict[str, Instant],
    now: Instant,
    found: list[Interval],
) -> None:
    holding = {c.id for c in version.conditions if c.holds(member)} if version else set()
    if holding == inside.keys():
        return
    leaving = [segment for segment in inside if segment not in holding]
    found.extend(Interval(segment, inside.pop(segment), now) for segment in leaving)
    for segment in holding:
        inside.setdefault(segment, now)


def _days(version: Version | None, bounds: Bounds | None) -> tuple[int, ...]:
    """Days since the last purchase at which a condition or a score may change, rising."""
    if version is None:
        return ()
    if bounds is None or not version.uses_rfm:
        return version.days
    return tuple(sorted({*version.days, *(day + 1 for day in bounds.recency_days)}))


def _changes(
    story: Story, versions: Sequence[tuple[Instant, Version]], bounds: Sequence[Bounds]
) -> list[tuple[Instant, int, int]]:
    """What can change a membership, by moment; what no segment looks at is left out."""
    uses_rfm = any(version.uses_rfm for _, version in versions) and bool(bounds)
    found = [(at, _BOUGHT, 0) for at in story.purchases]
    if uses_rfm or any(version.uses_window for _, version in versions):
        found.extend((at + WINDOW_US, _LEFT, 0) for at in story.purchases)
        for at, bought_at, amount in story.money:
            if at < bought_at + WINDOW_US:
                found.append((at, _MONEY, amount))
                found.append((bought_at + WINDOW_US, _MONEY, -amount))
    wanted = frozenset[str]().union(*(version.categories for _, version in versions))
    found.extend((at, _CATEGORY, 0) for c, at in story.categories.items() if c in wanted)
    found.extend((at, _TIER, n) for n, (at, _) in enumerate(story.tiers))
    if any(version.uses_balance for _, version in versions):
        found.extend((at, _BALANCE, n) for n, (at, _) in enumerate(story.balances))
    found.extend((at, _OUTCOMES, n) for n, (at, _) in enumerate(story.outcomes))
    found.extend((at, _VERSION, n) for n, (at, _) in enumerate(versions))
    if uses_rfm:
        found.extend((b.as_of, _BOUNDS, n) for n, b in enumerate(bounds))
    found.sort()
    return found
