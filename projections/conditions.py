"""The conditions of segments, made ready once per program version, and a member to ask them of.

A condition looks at one moment only; which moments to ask about is the sweep's business. The words
and their meaning are those of the program's form.
"""

from collections.abc import Mapping, Sequence

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

    __slots__ = ("_categories", "_profile", "_tiers", "_when", "days", "id", "uses_rfm")

    def __init__(self, segment_id: str, when: SegmentWhen) -> None:
        self.id = segment_id
        self.uses_rfm = when.rfm is not None
        self._when = when
        self._profile = segment_conditions(when)
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
            and all(any(map(member.outcomes.get, one_of)) for one_of in self._profile)
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
