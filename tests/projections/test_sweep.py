"""Segment intervals against a second opinion that looks at single moments only."""

from itertools import pairwise
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from ledger.core.program.form import Bounds as Range
from ledger.core.program.form import Rfm, SegmentWhen
from projections.conditions import Condition, Version, score
from projections.sweep import DAY_US, WINDOW_US, Story, sweep
from projections.system import Bounds

WHENS = {
    "lapsed": SegmentWhen(recency_days=Range(at_least=60)),
    "recent": SegmentWhen(recency_days=Range(at_most=10)),
    "often": SegmentWhen(frequency=Range(at_least=2, at_most=3)),
    "spender": SegmentWhen(monetary=Range(at_least=500)),
    "silver": SegmentWhen(tier="silver"),
    "rich": SegmentWhen(balance=Range(at_least=10)),
    "fresh": SegmentWhen(category_bought=("FRESH",)),
    "known": SegmentWhen(region=("north", "east"), tag="vip"),
    "best": SegmentWhen(rfm=Rfm(recency=(4, 5), frequency=(4, 5), monetary=(5,))),
}
VERSION = Version([Condition(name, when) for name, when in WHENS.items()], list(WHENS.values()))
OTHER = Version([Condition("lapsed", WHENS["recent"])], [WHENS["recent"]])

CONDITIONS = st.sampled_from(["region:north", "region:east", "tag:vip", "tag:other"])
outcomes = st.dictionaries(CONDITIONS, st.booleans())
days = st.integers(0, 900)
hours = st.integers(0, 900 * 24)


@st.composite
def stories(draw: st.DrawFn) -> Story:
    bought = draw(st.lists(st.tuples(hours, st.integers(0, 900)), max_size=12))
    money = [(at * DAY_US // 24, at * DAY_US // 24, amount) for at, amount in bought]
    for at, amount in draw(st.permutations(bought))[:3]:
        later = at + draw(st.integers(0, 500 * 24))
        money.append((later * DAY_US // 24, at * DAY_US // 24, -amount))
    return Story(
        opened_at=0,
        ended_at=draw(st.none() | days.map(_us)),
        purchases=[at * DAY_US // 24 for at, _ in bought],
        money=money,
        categories=draw(st.dictionaries(st.sampled_from(["FRESH", "DRY"]), days.map(_us))),
        outcomes=draw(st.lists(st.tuples(days.map(_us), outcomes), max_size=4,
                               unique_by=lambda pair: pair[0])),
        tiers=draw(st.lists(st.tuples(days.map(_us), st.sampled_from(["none", "silver"])),
                            max_size=4, unique_by=lambda pair: pair[0])),
        balances=draw(st.lists(st.tuples(days.map(_us), st.integers(-5, 20)),
                               max_size=6, unique_by=lambda pair: pair[0])),
    )  # fmt: skip


def _us(number: int) -> int:
    return number * DAY_US


bounds_lists = st.lists(
    st.builds(
        Bounds,
        days.map(_us),
        st.lists(st.integers(0, 200), min_size=4, max_size=4).map(lambda x: tuple(sorted(x))),
        st.lists(st.integers(0, 5), min_size=4, max_size=4).map(lambda x: tuple(sorted(x))),
        st.lists(st.integers(0, 1500), min_size=4, max_size=4).map(lambda x: tuple(sorted(x))),
    ),
    max_size=3,
    unique_by=lambda b: b.as_of,
).map(lambda found: sorted(found, key=lambda b: b.as_of))


def _last(pairs: list[tuple[int, object]], at: int, default: object) -> object:
    held = [pair for pair in pairs if pair[0] <= at]
    return max(held, key=lambda pair: pair[0])[1] if held else default


def expected(story: Story, bounds: list[Bounds], at: int) -> set[str]:
    """The segments at one moment, each condition from first principles."""
    found: set[str] = set()
    if story.ended_at is not None and story.ended_at <= at:
        return found
    before = [p for p in story.purchases if p <= at]
    window = [p for p in before if p > at - WINDOW_US]
    monetary = sum(m for t, p, m in story.money if t <= at and p > at - WINDOW_US)
    recency = (at - max(before)) // DAY_US if before else None
    if recency is not None and recency >= 60:
        found.add("lapsed")
    if recency is not None and recency <= 10:
        found.add("recent")
    if 2 <= len(window) <= 3:
        found.add("often")
    if monetary >= 500:
        found.add("spender")
    if _last(list(story.tiers), at, "none") == "silver":
        found.add("silver")
    if _last(list(story.balances), at, 0) >= 10:  # type: ignore[operator]
        found.add("rich")
    if story.categories.get("FRESH", at + 1) <= at:
        found.add("fresh")
    held = cast(dict[str, bool], _last(list(story.outcomes), at, {}))
    if (held.get("region:north") or held.get("region:east")) and held.get("tag:vip"):
        found.add("known")
    known = [b for b in bounds if b.as_of <= at]
    if known and recency is not None:
        b = known[-1]
        scores = (
            6 - score(b.recency_days, recency),
            score(b.frequency, len(window)),
            score(b.monetary, monetary),
        )
        if scores[0] >= 4 and scores[1] >= 4 and scores[2] == 5:
            found.add("best")
    return found


@given(stories(), bounds_lists, st.lists(hours, min_size=1, max_size=40))
def test_intervals_hold_exactly_where_the_conditions_do(
    story: Story, bounds: list[Bounds], moments: list[int]
) -> None:
    intervals = sweep(story, [(-DAY_US, VERSION)], bounds)
    edges = [i.entered_at for i in intervals] + [i.left_at for i in intervals if i.left_at]
    asked = [hour * DAY_US // 24 for hour in moments]
    for at in {*asked, *edges, *(edge - 1 for edge in edges if edge > 0), 3_000 * DAY_US}:
        inside = {
            i.segment
            for i in intervals
            if i.entered_at <= at and (i.left_at is None or i.left_at > at)
        }
        assert inside == expected(story, bounds, at), at


@given(stories(), bounds_lists)
def test_intervals_of_a_segment_do_not_touch(story: Story, bounds: list[Bounds]) -> None:
    intervals = sweep(story, [(-DAY_US, VERSION)], bounds)
    assert intervals == sorted(intervals, key=lambda i: (i.segment, i.entered_at))
    for first, second in pairwise(intervals):
        if first.segment == second.segment:
            assert first.left_at is not None
            assert first.left_at < second.entered_at


NOT_BY_COUNT = [name for name in WHENS if name not in ("often", "spender", "best")]
regulars = st.lists(st.tuples(st.integers(0, 90 * 24), st.just(5)), max_size=40)
"""Purchases of whom a window says nothing: many, and close to each other."""


def _version(names: list[str]) -> Version:
    return Version([Condition(name, WHENS[name]) for name in names], [WHENS[n] for n in names])


some = st.lists(st.sampled_from(NOT_BY_COUNT), unique=True)


@given(stories(), regulars, some, some, st.integers(0, 900))
def test_what_counts_no_purchases_is_the_same_beside_what_does(
    story: Story, bought: list[tuple[int, int]], first: list[str], then: list[str], change: int
) -> None:
    story = story._replace(
        purchases=[*story.purchases, *(hour * DAY_US // 24 for hour, _ in bought)]
    )
    alone, beside = (
        sweep(
            story,
            [(0, _version([*first, *counting])), (_us(change), _version([*then, *counting]))],
            [],
        )
        for counting in ([], ["often"])
    )
    assert alone == [interval for interval in beside if interval.segment != "often"]


def test_lapsed_begins_sixty_days_after_the_last_purchase() -> None:
    at = 12_345_678
    story = Story(0, None, [at], [(at, at, 100)], {}, [], [], [])
    assert [i for i in sweep(story, [(0, VERSION)], []) if i.segment == "lapsed"] == [
        ("lapsed", at + 60 * DAY_US, None)
    ]


def test_a_new_program_version_changes_segments_from_its_moment() -> None:
    story = Story(0, None, [0], [(0, 0, 100)], {}, [], [], [])
    intervals = sweep(story, [(0, VERSION), (100 * DAY_US, OTHER)], [])
    assert [i for i in intervals if i.segment == "lapsed"] == [
        ("lapsed", 60 * DAY_US, 100 * DAY_US)
    ]
    assert all(i.left_at is not None for i in intervals if i.segment == "fresh")


def test_without_a_purchase_nobody_has_recency_or_scores() -> None:
    story = Story(0, None, [], [], {}, [], [], [])
    bounds = Bounds(0, (0, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 0))
    assert sweep(story, [(0, VERSION)], [bounds]) == []


def test_scores_split_by_the_bounds() -> None:
    assert [score((1, 2, 3, 4), value) for value in (0, 1, 2, 3, 4, 5)] == [1, 1, 2, 3, 4, 5]
    assert score((7, 7, 7, 7), 7) == 1
    assert score((7, 7, 7, 7), 8) == 5
