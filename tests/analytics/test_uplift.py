"""The uplift of a campaign: its groups and money against DuckDB, its interval against the truth."""

import numpy as np
import pytest
from scipy import stats

from analytics.errors import AnalysisRefused
from analytics.holdout import in_holdout
from analytics.uplift import uplift, welch
from projections.connection import connect
from tests.analytics.conftest import Figures
from tests.analytics.raw import UNTIL

JUNE, SEPTEMBER = UNTIL.replace(year=2017, month=6), UNTIL.replace(year=2017, month=9)
HOLDOUT = frozenset(str(member) for member in range(5, 51, 5))


def test_the_groups_are_those_of_the_raw_data(figures: Figures) -> None:
    with connect(figures.url) as connection:
        found = uplift(connection, "summer-basket", JUNE, SEPTEMBER, HOLDOUT, margin_percent=50)
    held = ", ".join(f"'{member}'" for member in sorted(HOLDOUT))
    rows = figures.raw.execute(
        "WITH m AS (SELECT DISTINCT subject AS member FROM messages WHERE subject IS NOT NULL"
        "   AND moment < '2017-06-01 03:00'),"
        " paid AS (SELECT member, moment, amount FROM baskets UNION ALL"
        "   SELECT member, moment, -amount FROM backs),"
        " s AS (SELECT m.member, coalesce(sum(amount), 0)::BIGINT AS spent FROM m"
        "   LEFT JOIN paid p ON p.member = m.member AND p.moment >= '2017-06-01 03:00'"
        "   AND p.moment < '2017-09-01 03:00' GROUP BY 1)"
        f" SELECT member IN ({held}), count(*), sum(spent)::BIGINT, avg(spent), var_samp(spent)"
        " FROM s GROUP BY 1 ORDER BY 1"
    ).fetchall()
    (_, target, paid, mean, spread), (_, other, paid_other, mean_other, spread_other) = rows
    assert (found.target_members, found.holdout_members) == (target, other)
    assert (found.target_amount, found.holdout_amount) == (paid, paid_other)
    assert found.per_member.mean == pytest.approx(mean - mean_other)
    error = (spread / target + spread_other / other) ** 0.5
    assert found.per_member.high - found.per_member.mean > 1.96 * error
    assert found.income.mean == pytest.approx(found.per_member.mean * target / 2)
    ((granted, elsewhere),) = figures.raw.execute(
        f"SELECT sum(points) FILTER (WHERE member NOT IN ({held}))::BIGINT,"
        f" sum(points) FILTER (WHERE member IN ({held}))::BIGINT"
        " FROM awards WHERE rule = 'summer-basket' AND member::INT <= 30"
    ).fetchall()
    ((back,),) = figures.raw.execute(
        "SELECT coalesce(sum(points), 0)::BIGINT FROM taken WHERE rule = 'summer-basket'"
    ).fetchall()
    ((more,),) = figures.raw.execute(
        "SELECT sum(points)::BIGINT FROM awards WHERE rule = 'summer-basket' AND member::INT > 30"
    ).fetchall()
    assert found.target_points + found.holdout_points == granted + elsewhere + more - back
    assert found.cost == 3 * found.target_points
    assert found.roi is not None
    assert found.roi.mean == pytest.approx((found.income.mean - found.cost) / found.cost * 100)
    assert found.roi.low < found.roi.mean < found.roi.high


def test_the_interval_is_welch_s() -> None:
    one, other = np.array([3.0, 4, 1, 2.1]), np.array([490.2, 340, 433.9, 403.9, 9])
    found = welch(one, other, 0.9)
    theirs = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.9)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """Skewed spending, a small hold-out group: nine in ten intervals of 90 % hold it."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(400):
        target = rng.gamma(1.5, 1_000.0, 400) + 200.0
        found = welch(target, rng.gamma(1.5, 1_000.0, 60), 0.9)
        held += found.low <= 200.0 <= found.high
    assert 0.86 < held / 400 < 0.94


def test_a_group_of_nobody_is_refused(figures: Figures) -> None:
    with connect(figures.url) as connection:
        for holdout in (frozenset[str](), frozenset(str(n) for n in range(1, 61))):
            with pytest.raises(AnalysisRefused) as refused:
                uplift(connection, "base", JUNE, SEPTEMBER, holdout)
            assert refused.value.code == "small_group"


def test_a_share_is_a_share_and_stays() -> None:
    members = [f"m-{n}" for n in range(20_000)]
    spring = {member for member in members if in_holdout("spring", member, 10)}
    assert 1_850 < len(spring) < 2_150
    assert spring == {member for member in members if in_holdout("spring", member, 10)}
    assert spring < {member for member in members if in_holdout("spring", member, 20)}
    summer = {member for member in members if in_holdout("summer", member, 10)}
    assert 120 < len(spring & summer) < 280
