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


Test = Callable[[Standing], bool]

UNBOUNDED = 2**63
"""No days, no count, no money and no points of a member lie beyond: each fits eight bytes."""


class Condition:
    """One segment's conditions, made ready once per program version. `holds`: whether all do, of
    a member at a moment."""

    __slots__ = ("days", "holds", "id", "uses_rfm")

    def __init__(self, segment_id: str, when: SegmentWhen) -> None:
        self.id = segment_id
        self.uses_rfm = when.rfm is not None
        self.holds = _all_of(tuple(_tests(when)))
        days = when.recency_days
        self.days: tuple[int, ...] = ()
        if days is not None:
            least = () if days.at_least is None else (days.at_least,)
            most = () if days.at_most is None else (days.at_most + 1,)
            self.days = least + most


def _all_of(tests: Sequence[Test]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def holds(member: Standing) -> bool:
        for test in tests:  # noqa: SIM110 (all() would make a generator: this is asked often)
            if not test(member):
                return False
        return True

    return holds


def _tests(when: SegmentWhen) -> Iterator[Test]:
    """Those of the conditions that the segment has, the cheapest first."""
    if when.recency_days is not None:
        yield _recency(*_within(when.recency_days))
    if when.frequency is not None:
        yield _frequency(*_within(when.frequency))
    if when.monetary is not None:
        yield _monetary(*_within(when.monetary))
    tiers = texts(when.tier)
    if tiers is not None:
        yield lambda member: member.tier in tiers
    if when.balance is not None:
        yield _balance(*_within(when.balance))
    categories = texts(when.category_bought)
    if categories is not None:
        yield lambda member: not categories.isdisjoint(member.bought)
    profile = segment_conditions(when)
    if profile:
        yield lambda member: all(any(map(member.outcomes.get, one_of)) for one_of in profile)
    if when.rfm is not None:
        yield _scores(when.rfm)


def _within(bounds: Range) -> tuple[int, int]:
    least = -UNBOUNDED if bounds.at_least is None else bounds.at_least
    return least, UNBOUNDED if bounds.at_most is None else bounds.at_most


def _recency(least: int, most: int) -> Test:
    """Who never bought has none, so it holds for nobody of them."""

    def test(member: Standing) -> bool:
        days = member.recency_days
        return days is not None and least <= days <= most

    return test


def _frequency(least: int, most: int) -> Test:
    return lambda member: least <= member.frequency <= most


def _monetary(least: int, most: int) -> Test:
    return lambda member: least <= member.monetary <= most


def _balance(least: int, most: int) -> Test:
    return lambda member: least <= member.balance <= most


class Version:
    """The segments of one program version, and the days of recency at which something changes.
    `tests`: of each condition, in their order, a bit of its own and what it asks."""

    __slots__ = (
        "categories",
        "conditions",
        "days",
        "tests",
        "uses_balance",
        "uses_rfm",
        "uses_window",
    )

    def __init__(self, conditions: Sequence[Condition], segments: Sequence[SegmentWhen]) -> None:
        self.conditions = tuple(conditions)
        self.tests = tuple([(1 << n, c.holds) for n, c in enumerate(self.conditions)])
        self.days = tuple(sorted({day for c in conditions for day in c.days}))
        self.uses_rfm = any(c.uses_rfm for c in conditions)
        self.uses_window = any(w.frequency is not None or w.monetary is not None for w in segments)
        self.uses_balance = any(when.balance is not None for when in segments)
        named = [texts(when.category_bought) or frozenset() for when in segments]
        self.categories = frozenset[str]().union(*named)


def score(bounds: Sequence[int], value: int) -> int:
    """1 to 5, 5 for the highest values: one more than the bounds that lie below the value."""
    return 1 + sum(bound < value for bound in bounds)


def _scores(rfm: Rfm) -> Test:
    """Without bounds, or without a purchase, nobody has a score."""

    def test(member: Standing) -> bool:
        bounds, days = member.bounds, member.recency_days
        if bounds is None or days is None:
            return False
        return (
            (rfm.recency is None or 6 - score(bounds.recency_days, days) in rfm.recency)
            and (
                rfm.frequency is None or score(bounds.frequency, member.frequency) in rfm.frequency
            )
            and (rfm.monetary is None or score(bounds.monetary, member.monetary) in rfm.monetary)
        )

    return test
