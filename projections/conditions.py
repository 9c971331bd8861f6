"""The conditions of segments, made ready once per program version, and a member to ask them of.

A condition looks at one moment only; which moments to ask about is the sweep's business. The words
and their meaning are those of the program's form.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from ledger.core.members import segment_conditions
from ledger.core.program.conditions import NO_TIER, texts
from ledger.core.program.form import Bounds as Range
from ledger.core.program.form import Rfm, SegmentWhen
from projections.system import Bounds
from schemas.fields import Instant


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

    __slots__ = ("_tests", "days", "id", "uses_rfm")

    def __init__(self, segment_id: str, when: SegmentWhen) -> None:
        self.id = segment_id
        self.uses_rfm = when.rfm is not None
        self._tests = tuple(_tests(when))
        days = when.recency_days
        self.days: tuple[int, ...] = ()
        if days is not None:
            least = () if days.at_least is None else (days.at_least,)
            most = () if days.at_most is None else (days.at_most + 1,)
            self.days = least + most

    def holds(self, member: Standing) -> bool:
        """Whether all conditions hold."""
        for test in self._tests:  # noqa: SIM110 (all() would make a generator: this is asked often)
            if not test(member):
                return False
        return True


def _tests(when: SegmentWhen) -> Iterator[Callable[[Standing], bool]]:
    """Those of the conditions that the segment has, the cheapest first."""
    if when.recency_days is not None:
        days = when.recency_days
        yield lambda member: _within(days, member.recency_days)
    if when.frequency is not None:
        frequency = when.frequency
        yield lambda member: _within(frequency, member.frequency)
    if when.monetary is not None:
        monetary = when.monetary
        yield lambda member: _within(monetary, member.monetary)
    tiers = texts(when.tier)
    if tiers is not None:
        yield lambda member: member.tier in tiers
    if when.balance is not None:
        balance = when.balance
        yield lambda member: _within(balance, member.balance)
    categories = texts(when.category_bought)
    if categories is not None:
        yield lambda member: not categories.isdisjoint(member.bought)
    profile = segment_conditions(when)
    if profile:
        yield lambda member: all(any(map(member.outcomes.get, one_of)) for one_of in profile)
    if when.rfm is not None:
        rfm = when.rfm
        yield lambda member: _scores(rfm, member)


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
