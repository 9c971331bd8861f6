"""The liability of accounts whose numbers are known by hand."""

from datetime import date
from fractions import Fraction
from io import StringIO
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from scipy import stats

from analytics.deferred import Allocation, Deferred, DeferredRevenue, Terms, recognised
from analytics.liability import outstanding
from analytics.liability_breakage import Breakage, Lifetimes, product_limit
from analytics.liability_export import Entry, decimal, items, write_beancount
from analytics.liability_log import KINDS, Book, Moved, Story, tell
from analytics.liability_movement import Month, Movement
from audit.member_log import LedgerFacts
from ledger.core.calendar import DAY_US
from ledger.core.program.timeline import Timeline
from projections.lots import LotView
from tests.core.account_tools import Member, at, timeline
from tests.core.test_worked_example import PROGRAM, gold_member

DEARER = PROGRAM.replace("2025-01-01", "2026-03-01").replace("point_value: 1", "point_value: 3")


def book(programs: Timeline) -> Book:
    values = tuple((since, program.form.point_value) for since, program in programs.versions)
    return Book(LedgerFacts("worked-example", "RUB", "UTC", 1), ZoneInfo("UTC"), programs, values)


BOOK = book(timeline(PROGRAM, DEARER))


@pytest.fixture
def member() -> Member:
    """The worked example of the domain; what is left expires by itself."""
    member = gold_member()
    member.buy("2026-01-10", "X", 129_900, 45_050)
    member.give_back("2026-01-20", "X", "R1", {"2": 45_050})
    member.reserve("2026-01-25", "V1", 100)
    member.confirm("2026-01-25", "V1")
    return member


def story(member: Member, until: str) -> Story:
    return tell(member.events, member.id, at(until), BOOK)


def movement(member: Member, until: str) -> dict[str, Month]:
    moves = Movement(BOOK)
    moves.add(story(member, until))
    return {month.month: month for month in moves.months(at(until))}


@pytest.mark.parametrize(
    ("when", "points", "pending", "liability"),
    [
        ("2026-01-09", 0, 0, 0),
        ("2026-01-10", 174, 174, 174),
        ("2026-01-20", 130, 130, 130),
        ("2026-01-24", 130, 0, 130),
        ("2026-01-25", 30, 0, 30),
        ("2026-02-28T23:59:59Z", 30, 0, 30),
        ("2026-03-01", 30, 0, 90),
        ("2027-01-23T23:59:59Z", 30, 0, 90),
        ("2027-01-24", 0, 0, 0),
    ],
)
def test_what_the_worked_example_owes(
    member: Member, when: str, points: int, pending: int, liability: int
) -> None:
    found = outstanding([story(member, when)], BOOK, at(when), "expiry")
    assert (found.total.points, found.total.pending) == (points, pending)
    assert found.total.liability == liability
    assert [bucket.bucket for bucket in found.buckets] == ["2027-01"] * bool(points)


def test_buckets(member: Member) -> None:
    when = "2026-04-09"
    by_age = outstanding([story(member, when)], BOOK, at(when), "age")
    by_rule = outstanding([story(member, when)], BOOK, at(when), "rule")
    assert [(one.bucket, one.lots, one.points) for one in by_age.buckets] == [("2", 1, 30)]
    assert [one.bucket for one in by_rule.buckets] == ["base+gold-double"]
    later = outstanding([story(member, "2026-04-10")], BOOK, at("2026-04-10"), "age")
    assert [one.bucket for one in later.buckets] == ["3"]


def test_the_movement_of_the_worked_example(member: Member) -> None:
    months = movement(member, "2027-01-31")
    names = list(months)
    assert (names[0], names[-1], len(names)) == ("2026-01", "2027-01", 13)
    nothing = dict.fromkeys(KINDS, 0)
    january = months["2026-01"]
    assert january.points == nothing | {"granted": 174, "revoked": -44, "redeemed": -100}
    assert january.money == january.points
    assert (january.activated, january.closing_points, january.closing_money) == (130, 30, 30)
    march = months["2026-03"]
    assert (march.opening_money, march.revaluation, march.closing_money) == (30, 60, 90)
    assert march.points == nothing
    last = months["2027-01"]
    assert last.points == nothing | {"expired": -30}
    assert last.money == nothing | {"expired": -90}
    assert last.closing_points == last.closing_money == 0


def test_debt_is_apart_and_its_payment_leaves_the_lots() -> None:
    policy = "returns: {policy: debt}\n"
    programs = timeline(PROGRAM + policy, DEARER + policy)
    member = Member(programs)
    member.buy("2026-01-10", "X", 100_000)
    member.redeem("2026-01-25", "V1", 50)
    member.give_back("2026-02-02", "X", "R1")
    member.buy("2026-04-01", "Y", 200_000)
    moves = Movement(book(programs))
    told = tell(member.events, member.id, at("2026-04-30"), book(programs))
    moves.add(told)
    months = {month.month: month for month in moves.months(at("2026-04-30"))}
    owed = {name: (month.closing_points, month.debt) for name, month in months.items()}
    assert owed == {"2026-01": (0, 0), "2026-02": (0, 50), "2026-03": (0, 50), "2026-04": (50, 0)}
    assert months["2026-04"].points["debt_paid"] == -50
    assert months["2026-04"].money["debt_paid"] == -150


def test_a_restored_redemption_comes_back() -> None:
    member = gold_member()
    member.buy("2026-01-10", "X", 100_000)
    member.redeem("2026-01-25", "V1", 50, "Z")
    member.buy("2026-01-25", "Z", 1_000, redemption_id="V1")
    member.give_back("2026-02-02", "Z", "R1")
    months = movement(member, "2026-02-28")
    assert months["2026-01"].points["redeemed"] == -50
    assert months["2026-02"].points["restored"] == 50
    found = breakage(member, "2026-02-28")
    assert (found.spent, found.open) == (0, 100)


def breakage(member: Member, when: str) -> Breakage:
    lifetimes = Lifetimes(BOOK, at(when))
    lifetimes.add(story(member, when))
    return lifetimes.result()


def test_breakage_of_the_worked_example(member: Member) -> None:
    found = breakage(member, "2026-03-01")
    (cohort,) = found.cohorts
    assert cohort[:6] == ("2026-01", 174, 100, 0, 44, 30)
    # Nobody ever spent points of that age: all that is open is expected to break.
    assert (found.expected, found.worth, found.ultimate) == (30.0, 90.0, 30 / 130)
    after = breakage(member, "2027-02-01")
    assert after.cohorts[0][:6] == ("2026-01", 174, 100, 30, 44, 0)
    assert (after.expected, after.rate, after.ultimate) == (0.0, 0.0, 30 / 130)


def deferred(
    member: Member, until: str, rate: str, allocation: Allocation = "relative"
) -> dict[str, Deferred]:
    revenue = DeferredRevenue(BOOK)
    revenue.add(story(member, until))
    months = revenue.months(at(until), Terms(Fraction(rate), allocation))
    return {month.month: month for month in months}


def test_deferred_revenue_of_the_worked_example(member: Member) -> None:
    """Price 1,749.50; the points' selling price 174 × 0.01 × 0.85 = 1.479; of the price
    1749.50 × 1.479 ÷ 1750.979 = 1.4777. Back: 148 × 44/174 = 37.4; spent: 148 × 100/174 = 85.06;
    with breakage 148 × 100/147.9 = 100.07; together 137.5."""
    months = deferred(member, "2027-01-31", "0.15")
    january = months["2026-01"]
    assert january[2:] == (0, 148, 37, 85, 15, 11, 0)
    assert months["2026-03"][2:] == (11, 0, 0, 0, 0, 11, 0), "a dearer point changes nothing"
    assert months["2027-01"][2:] == (11, 0, 0, 0, 11, 0, 0)
    full = deferred(member, "2026-01-31", "0", "full")["2026-01"]
    assert full[2:] == (0, 174, 44, 100, 0, 30, 0)


def test_example_52_of_the_standard() -> None:
    """IFRS 15, illustrative example 52: 100,000 of goods, 10,000 points of 1 with 9,500 expected to
    be spent: 8,676 is allocated. 4,500 spent: 4,110 is recognised. Then 8,500 spent of 9,700 that
    are expected now: a contract liability of 1,073 is left."""
    allocated = round(Fraction(100_000 * 9_500, 109_500))
    assert allocated == 8_676
    first = recognised(allocated, 10_000, 4_500, 0, 5_500, Terms(Fraction("0.05")))
    assert sum(first) == 4_110
    second = recognised(allocated, 10_000, 8_500, 0, 1_500, Terms(Fraction("0.03")))
    assert allocated - sum(second) == 1_073


@pytest.mark.parametrize("seed", range(20))
def test_recognised_never_exceeds_what_was_allocated(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(50):
        granted = int(rng.integers(1, 500))
        spent = int(rng.integers(0, granted + 1))
        gone = int(rng.integers(0, granted - spent + 1))
        still = int(rng.integers(0, granted - spent - gone + 1))
        terms = Terms(Fraction(int(rng.integers(0, 100)), 100))
        allocated = int(rng.integers(0, 1_000))
        found = recognised(allocated, granted, spent, gone, still, terms)
        assert min(found) >= 0
        assert sum(found) <= allocated
        assert still or sum(found) == allocated


def test_the_product_limit_is_that_of_scipy() -> None:
    rng = np.random.default_rng(7)
    days, seen = rng.integers(0, 60, 400), rng.random(400) < 0.6
    spent, left = (np.bincount(days[some], minlength=60) for some in (seen, ~seen))
    entered = np.zeros(60, dtype=np.int64)
    entered[0] = 400
    curve = product_limit(entered, spent, left)
    data = stats.CensoredData.right_censored(days, ~seen)
    theirs = stats.ecdf(data).sf
    ages = theirs.quantiles.astype(int)
    assert np.allclose(np.exp(curve.log_kept[ages]), theirs.probabilities)
    interval = theirs.confidence_interval(0.95, method="linear")
    width = (theirs.probabilities - interval.low.probabilities) / stats.norm.ppf(0.975)
    ours = np.exp(curve.log_kept) * np.sqrt(np.cumsum(curve.variance))
    within = (interval.low.probabilities > 0) & (theirs.probabilities > 0)
    assert within.sum() > 20
    assert np.allclose(ours[ages][within], width[within])


def _shopper(rng: np.random.Generator, name: str, until: int) -> tuple[Story, int, int]:
    """Lots of 100 points that expire after 100 days; some members spend on a day at random, others
    never. Also what is open at `until`, and what of that will expire."""
    told = Story(member_id=name, lots={}, moved=[], activated=[], debts=[], sales=[])
    spends = rng.random() < 0.5
    still = broken = 0
    for number in range(1, 6):
        start = int(rng.integers(0, until))
        day = start + int(rng.exponential(60)) if spends else 10**6
        ends = start + 100
        lot = LotView(number, ("r",), 100, start * DAY_US, start * DAY_US, ends * DAY_US)
        told.lots[number] = lot
        told.moved.append(Moved(start * DAY_US, "granted", 100, number))
        if day < min(ends, until):
            told.moved.append(Moved(day * DAY_US, "redeemed", -100, number))
        elif ends < until:
            told.moved.append(Moved(ends * DAY_US, "expired", -100, number))
        else:
            lot.available = 100
            still += 100
            broken += 100 * (day >= ends)
    return told, still, broken


def test_the_estimate_finds_what_will_break() -> None:
    """Over 30 programs: as far off as its error says; points as if independent say too little."""
    scores, naive = [], []
    for seed in range(30):
        rng = np.random.default_rng(seed)
        lifetimes, broken = Lifetimes(BOOK, 300 * DAY_US), 0
        for n in range(300):
            told, _, will_break = _shopper(rng, f"m{n}", 300)
            lifetimes.add(told)
            broken += will_break
        found = lifetimes.result()
        assert 0 < found.expected < found.open
        scores.append((found.expected - broken) / found.error)
        naive.append(found.error / found.greenwood)
    assert abs(np.mean(scores)) < 1.5
    assert np.min(naive) > 2


def test_amounts_and_entries(member: Member) -> None:
    assert [decimal(n, 2) for n in (-12_990, 5, -5, 0)] == ["-129.90", "0.05", "-0.05", "0.00"]
    assert decimal(-7, 0) == "-7"
    months = list(movement(member, "2026-01-31").values())
    revenue = list(deferred(member, "2026-01-31", "0.15").values())
    found = list(items(months, revenue, "RUB"))
    entries = [one for one in found if isinstance(one, Entry)]
    assert {one.day for one in entries} == {date(2026, 1, 31)}
    assert all(sum(amount for _, amount in one.postings) == 0 for one in entries)
    out = StringIO()
    write_beancount(found, "RUB", "Points", out)
    assert "2026-02-01 balance Liabilities:Points:Outstanding -30 POINTS" in out.getvalue()
    assert "2026-02-01 balance Liabilities:Points:Contract -0.11 RUB" in out.getvalue()
