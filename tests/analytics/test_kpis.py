"""Each figure of docs/kpi.md against an independent query of DuckDB over the raw messages."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from ledger.application import Ledger
from ledger.core.calendar import to_instant
from ledger.settings import load_settings
from projections.connection import connect
from projections.rebuild import rebuild
from projections.rfm import compute_bounds
from projections.runner import Runner
from schemas.decisions import RfmBoundsSet
from tests.analytics.conftest import SHARDS, Figures
from tests.analytics.raw import SINCE, UNTIL

Row = tuple[Any, ...]

GRAINS = ("all", "day", "week", "month")

_PERIOD = {
    "all": "DATE '2017-01-01'",
    "day": "{}::DATE",
    "week": "date_trunc('week', {})::DATE",
    "month": "date_trunc('month', {})::DATE",
}


def period(grain: str, moment: str = "moment") -> str:
    """The local period of a moment, in DuckDB."""
    return _PERIOD[grain].format(moment)


def ours(figures: Figures, query: str) -> list[Row]:
    """The rows of a query of the read model; `SPAN`: from when until when."""
    span = f"'{SINCE.isoformat()}', '{UNTIL.isoformat()}'"
    return figures.reader.execute(query.replace("SPAN", span).encode()).fetchall()


def theirs(figures: Figures, query: str) -> list[Row]:
    """The rows of a query of the raw messages."""
    return figures.raw.execute(query).fetchall()


def same(rates: Row, expected: Row) -> bool:
    """What one rounds to six places and the other computes in floats."""
    return all(
        one is other if None in (one, other) else abs(float(one) - float(other)) < 1e-5
        for one, other in zip(rates, expected, strict=True)
    )


_SALES = """
SELECT {period} AS period, {value} AS value, count(*), count(member), sum(amount)::BIGINT,
    coalesce(sum(amount) FILTER (WHERE member IS NOT NULL), 0)::BIGINT, count(DISTINCT member)
FROM {baskets} GROUP BY 1, 2 ORDER BY 1, 2
"""

_FREQUENT = """
(SELECT a.*, 'frequent' AS value FROM baskets a WHERE (
    SELECT count(*) FROM baskets b WHERE b.member = a.member AND b.moment <= a.moment
    AND b.moment > a.moment - INTERVAL 8760 HOUR) >= 20)
"""

_CAMPAIGN = "(SELECT DISTINCT b.*, rule AS value FROM baskets b JOIN awards a USING (order_id)"
_CAMPAIGN += " WHERE a.member = b.member)"


@pytest.mark.parametrize("grain", GRAINS)
@pytest.mark.parametrize(
    ("by", "value", "baskets"),
    [
        ("all", "'all'", "baskets"),
        ("store", "store", "baskets"),
        ("channel", "'store'", "baskets"),
        ("region", "''", "baskets"),
        ("segment", "value", _FREQUENT),
        ("campaign", "value", _CAMPAIGN),
    ],
)
def test_sales(figures: Figures, grain: str, by: str, value: str, baskets: str) -> None:
    found = ours(
        figures,
        "SELECT period, value, purchases, member_purchases, amount, member_amount, active_members"
        f" FROM read.kpi_sales(SPAN, '{grain}', '{by}') WHERE purchases > 0",
    )
    query = _SALES.format(period=period(grain), value=value, baskets=baskets)
    expected = theirs(figures, query)
    assert sorted(found) == sorted(expected)
    assert len(expected) > (0 if grain == "all" else 10)


def test_the_rates_of_sales(figures: Figures) -> None:
    rows = ours(
        figures,
        "SELECT participation_purchases, participation_amount, average_check_members,"
        " average_check_others, frequency FROM read.kpi_sales(SPAN, 'month', 'all')",
    )
    expected = theirs(
        figures,
        "SELECT count(member) / count(*), sum(amount) FILTER (WHERE member IS NOT NULL)"
        " / sum(amount), avg(amount) FILTER (WHERE member IS NOT NULL),"
        " avg(amount) FILTER (WHERE member IS NULL), count(member) / count(DISTINCT member)"
        " FROM baskets GROUP BY date_trunc('month', moment) ORDER BY date_trunc('month', moment)",
    )
    for row, wanted in zip(rows, expected, strict=True):
        assert same(row, wanted)


def test_returns_count_when_and_where(figures: Figures) -> None:
    for by, value in (("all", "'all'"), ("store", "store")):
        found = ours(
            figures,
            "SELECT period, value, member_returned"
            f" FROM read.kpi_sales(SPAN, 'week', '{by}') WHERE member_returned > 0",
        )
        expected = theirs(
            figures,
            f"SELECT {period('week', 'r.moment')}, {value}, sum(r.amount)::BIGINT FROM backs r"
            " JOIN baskets USING (order_id) WHERE r.amount > 0 GROUP BY 1, 2 ORDER BY 1, 2",
        )
        assert sorted(found) == sorted(expected)
        assert len(expected) > 10


_MOVED = """
SELECT {period}, sum(points) FILTER (WHERE flow = 'granted'),
    sum(points) FILTER (WHERE flow = 'revoked'),
    sum(points) FILTER (WHERE flow = 'redeemed' AND points > 0),
    -sum(points) FILTER (WHERE flow = 'redeemed' AND points < 0),
    sum(points) FILTER (WHERE flow = 'expired')
FROM moved WHERE moment < '2018-03-01 03:00' GROUP BY 1 ORDER BY 1
"""


@pytest.mark.parametrize("grain", GRAINS)
def test_points(figures: Figures, grain: str) -> None:
    found = ours(
        figures,
        "SELECT period, granted, revoked, redeemed, restored, expired"
        f" FROM read.kpi_points(SPAN, '{grain}', 'all')"
        " WHERE (granted, revoked, redeemed, restored, expired) <> (0, 0, 0, 0, 0)",
    )
    rows = theirs(figures, _MOVED.format(period=period(grain)))
    expected = [(day, *(int(points or 0) for points in rest)) for day, *rest in rows]
    assert found == expected
    assert all(sum(column) > 0 for column in zip(*[row[1:] for row in found], strict=True))


def test_the_rates_of_points(figures: Figures) -> None:
    (row,) = ours(
        figures,
        "SELECT earn_rate, burn_rate, redemption_rate, breakage"
        " FROM read.kpi_points(SPAN, 'all', 'all')",
    )
    (expected,) = theirs(
        figures,
        "SELECT 100 * (g - v) / paid, 100 * r / paid, r / (g - v), e / (e + r) FROM ("
        " SELECT sum(points) FILTER (WHERE flow = 'granted') AS g,"
        " sum(points) FILTER (WHERE flow = 'revoked') AS v,"
        " sum(points) FILTER (WHERE flow = 'redeemed') AS r,"
        " sum(points) FILTER (WHERE flow = 'expired') AS e,"
        " (SELECT sum(amount) FROM baskets WHERE member IS NOT NULL)"
        " - (SELECT sum(amount) FROM backs) AS paid"
        " FROM moved WHERE moment < '2018-03-01 03:00')",
    )
    assert same(row, expected)


_BY_STORE = """
WITH paid AS (
    SELECT subject AS member, moment, (data ->> 'order_id')::BIGINT AS order_id FROM messages
    WHERE type = 'command.redeem.v1'
), brought AS (
    SELECT subject AS member, data ->> 'referrer_id' AS referrer FROM messages
    WHERE type = 'referral.registered.v1'
), of_orders AS (
    SELECT moment, 'granted' AS flow, points, order_id FROM awards
    UNION ALL
    SELECT v.moment, 'redeemed', v.points, p.order_id
    FROM moved v JOIN paid p USING (member, moment) WHERE flow = 'redeemed' AND v.points > 0
    UNION ALL
    SELECT v.moment, if(flow = 'revoked', flow, 'restored'), abs(v.points), b.order_id
    FROM moved v JOIN backs b ON b.moment = v.moment AND v.member IN
        (b.member, (SELECT referrer FROM brought WHERE brought.member = b.member))
    WHERE flow = 'revoked' OR flow = 'redeemed' AND v.points < 0
    UNION ALL
    SELECT moment, flow, points, NULL FROM moved WHERE flow = 'expired'
)
SELECT {period}, coalesce(store, ''), sum(points) FILTER (WHERE flow = 'granted'),
    sum(points) FILTER (WHERE flow = 'revoked'), sum(points) FILTER (WHERE flow = 'redeemed'),
    sum(points) FILTER (WHERE flow = 'restored'), sum(points) FILTER (WHERE flow = 'expired')
FROM (SELECT o.*, b.store FROM of_orders o LEFT JOIN baskets b USING (order_id))
WHERE moment < '2018-03-01 03:00' GROUP BY 1, 2 ORDER BY 1, 2
"""
"""Points belong to the store of the order that granted them, that they paid for, or that came back;
what a survey gives, and what expires, is of none."""


@pytest.mark.parametrize("grain", GRAINS)
def test_points_by_store(figures: Figures, grain: str) -> None:
    found = ours(
        figures,
        "SELECT period, value, granted, revoked, redeemed, restored, expired"
        f" FROM read.kpi_points(SPAN, '{grain}', 'store')"
        " WHERE (granted, revoked, redeemed, restored, expired) <> (0, 0, 0, 0, 0)",
    )
    rows = theirs(figures, _BY_STORE.format(period=period(grain)))
    expected = [
        (*place, *(int(points or 0) for points in rest))
        for *place, rest in ((row[0], row[1], row[2:]) for row in rows)
    ]
    assert sorted(found) == sorted(expected)
    of_stores = [row[2:6] for row in found if row[1]]
    assert all(sum(column) > 0 for column in zip(*of_stores, strict=True))


_RFM = """
CREATE OR REPLACE TEMP MACRO values_at(t) AS TABLE
SELECT member, (epoch(t)::BIGINT - epoch(max(moment))::BIGINT) // 86400 AS recency,
    count(*) FILTER (WHERE moment > t - INTERVAL 8760 HOUR) AS frequency,
    coalesce(sum(amount - coalesce(back, 0)) FILTER (WHERE moment > t - INTERVAL 8760 HOUR), 0)
        ::BIGINT AS monetary
FROM baskets LEFT JOIN (SELECT order_id, sum(amount) AS back FROM backs WHERE moment <= t
                        GROUP BY order_id) USING (order_id)
WHERE member IS NOT NULL AND moment <= t GROUP BY member;
CREATE OR REPLACE TEMP MACRO bounds_at(t) AS TABLE
WITH v AS (FROM values_at(t)), ranked AS (
    SELECT 5 * count(*) OVER (ORDER BY recency) AS by_recency,
        5 * count(*) OVER (ORDER BY frequency) AS by_frequency,
        5 * count(*) OVER (ORDER BY monetary) AS by_monetary, count(*) OVER () AS members, v.*
    FROM v
)
SELECT n, min(recency) FILTER (WHERE by_recency >= n * members) AS recency,
    min(frequency) FILTER (WHERE by_frequency >= n * members) AS frequency,
    min(monetary) FILTER (WHERE by_monetary >= n * members) AS monetary
FROM ranked CROSS JOIN range(1, 5) r (n) GROUP BY n ORDER BY n;
"""
"""A bound is the least value that n fifths of the members do not exceed."""

_SCORED = """
SELECT 5 - (SELECT count(*) FROM bounds_at({since}) b WHERE b.recency < v.recency) AS r,
    1 + (SELECT count(*) FROM bounds_at({since}) b WHERE b.frequency < v.frequency) AS f,
    1 + (SELECT count(*) FROM bounds_at({since}) b WHERE b.monetary < v.monetary) AS m,
    count(*), sum(frequency)::BIGINT, sum(monetary)::BIGINT
FROM values_at({at}) v GROUP BY 1, 2, 3 ORDER BY 1 DESC, 2 DESC, 3 DESC
"""


def test_rfm(figures: Figures) -> None:
    """Scores by the bounds that were recorded last, of values as of the moment asked for."""
    theirs(figures, _RFM)
    recorded = datetime(2017, 11, 1, tzinfo=UTC)
    unscored = ours(figures, "SELECT * FROM read.kpi_rfm('2017-10-31T12:00:00Z')")
    (whole,) = theirs(
        figures,
        "SELECT count(*), sum(frequency)::BIGINT, sum(monetary)::BIGINT"
        " FROM values_at(TIMESTAMP '2017-10-31 15:00')",
    )
    assert unscored == [(None, None, None, *whole)]
    with connect(figures.url) as session:
        bounds = compute_bounds(session, to_instant(recorded))
    asyncio.run(_record(figures.url, bounds))
    Runner(figures.url).run(until_caught_up=True)
    since = "TIMESTAMP '2017-11-01 03:00'"
    assert theirs(figures, f"SELECT recency, frequency, monetary FROM bounds_at({since})") == list(
        zip(bounds.recency_days, bounds.frequency, bounds.monetary, strict=True)
    )
    for moment, local in (
        ("2017-11-01T00:00:00Z", since),
        ("2018-01-20T09:00:00Z", "TIMESTAMP '2018-01-20 12:00'"),
    ):
        found = ours(figures, f"SELECT * FROM read.kpi_rfm('{moment}')")
        assert found == theirs(figures, _SCORED.format(since=since, at=local))
        assert len(found) > 10


async def _record(url: str, bounds: RfmBoundsSet) -> None:
    ledger = await Ledger.open(load_settings({}, database_url=url, shards=SHARDS, partitions=4))
    try:
        await ledger.record_bounds(bounds)
    finally:
        await ledger.close()


def test_campaigns(figures: Figures) -> None:
    found = ours(
        figures,
        "SELECT campaign, awards, members, granted, taken_back, cost"
        " FROM read.kpi_campaigns(SPAN, 'all')",
    )
    expected = theirs(
        figures,
        "SELECT rule, count(*), count(DISTINCT member), sum(points)::BIGINT, back,"
        " (3 * (sum(points) - back))::BIGINT FROM awards"
        " JOIN (SELECT r.rule, coalesce(sum(t.points), 0)::BIGINT AS back"
        "       FROM (SELECT DISTINCT rule FROM awards) r LEFT JOIN taken t USING (rule)"
        "       GROUP BY r.rule) USING (rule) GROUP BY rule, back",
    )
    assert sorted(found) == sorted(expected)
    assert len(expected) == 8


def test_campaigns_by_month(figures: Figures) -> None:
    found = ours(
        figures,
        "SELECT period, campaign, awards, granted, orders"
        " FROM read.kpi_campaigns(SPAN, 'month') WHERE granted > 0",
    )
    expected = theirs(
        figures,
        f"SELECT {period('month', 'a.moment')}, rule, count(*), sum(points)::BIGINT,"
        " count(DISTINCT b.order_id)"
        " FROM awards a LEFT JOIN baskets b ON b.order_id = a.order_id AND b.member = a.member"
        " GROUP BY 1, 2",
    )
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("grain", ["week", "month"])
def test_retention(figures: Figures, grain: str) -> None:
    found = ours(
        figures,
        "SELECT cohort, period, size, active FROM"
        f" read.kpi_retention(SPAN, '{grain}', 'all') WHERE active > 0",
    )
    expected = theirs(
        figures,
        f"WITH b AS (SELECT DISTINCT member, {period(grain)} AS period FROM baskets"
        " WHERE member IS NOT NULL), f AS (SELECT member, min(period) AS cohort FROM b"
        " GROUP BY 1), s AS (SELECT cohort, count(*) AS size FROM f GROUP BY 1)"
        " SELECT cohort, period, size, count(*) FROM b JOIN f USING (member)"
        " JOIN s USING (cohort) GROUP BY 1, 2, 3",
    )
    assert sorted(found) == sorted(expected)
    places = ours(figures, f"SELECT cohort, n FROM read.kpi_retention(SPAN, '{grain}', 'all')")
    for cohort in {cohort for cohort, _ in places}:
        mine = [n for other, n in places if other == cohort]
        assert mine == list(range(len(mine)))


_CHURN = """
WITH ends AS (
    SELECT DISTINCT {period} AS period, greatest({period}, TIMESTAMP '2017-01-01 03:00') AS start,
        least({period} + INTERVAL 1 MONTH, TIMESTAMP '2018-03-01 03:00') AS stop
    FROM (SELECT unnest(generate_series(TIMESTAMP '2017-01-15', TIMESTAMP '2018-03-15',
                                        INTERVAL 1 MONTH)) AS moment)
), b AS (
    SELECT member, moment, moment + INTERVAL {idle} DAY AS gone, lag(moment) OVER w AS before,
        lead(moment) OVER w AS after FROM baskets
    WHERE member IS NOT NULL WINDOW w AS (PARTITION BY member ORDER BY moment)
)
SELECT period,
    (SELECT count(DISTINCT member) FROM b WHERE moment < start AND gone >= start),
    (SELECT count(*) FROM b WHERE before IS NULL AND moment >= start AND moment < stop),
    (SELECT count(*) FROM b WHERE before + INTERVAL {idle} DAY <= moment
        AND moment >= start AND moment < stop),
    (SELECT count(*) FROM b WHERE coalesce(after >= gone, true) AND gone >= start AND gone < stop),
    (SELECT count(DISTINCT member) FROM b WHERE moment < stop AND gone >= stop)
FROM ends ORDER BY period
"""


@pytest.mark.parametrize("idle", [30, 60])
def test_churn(figures: Figures, idle: int) -> None:
    found = ours(
        figures,
        "SELECT period, current_at_start, came, regained, churned, current_at_end"
        f" FROM read.kpi_churn(SPAN, 'month', 'all', {idle})",
    )
    expected = theirs(figures, _CHURN.format(period=period("month"), idle=idle))
    changed = [row for row in expected if any(row[2:5])]
    assert found == changed
    assert sum(row[3] for row in found) > 5


def test_referrals(figures: Figures) -> None:
    ((_, *counts),) = ours(figures, "SELECT * FROM read.kpi_referrals(SPAN, 'all')")
    (expected,) = theirs(
        figures,
        "WITH f AS (SELECT m.subject, m.moment AS since, arg_min(b.amount, b.moment) AS amount,"
        " min(b.moment) AS moment, arg_min(b.order_id, b.moment) AS order_id"
        " FROM messages m LEFT JOIN baskets b ON b.member = m.subject"
        " WHERE type = 'referral.registered.v1' GROUP BY 1, 2),"
        " q AS (SELECT *, amount >= 2000 AND moment <= since + INTERVAL 60 DAY AS good FROM f)"
        " SELECT count(*), 0, count(*) FILTER (WHERE good), count(*) FILTER (WHERE NOT good),"
        " count(*) FILTER (WHERE good), count(*) FILTER (WHERE good AND EXISTS (SELECT 1"
        "   FROM backs r WHERE r.order_id = q.order_id AND q.amount - r.amount < 2000)) FROM q",
    )
    assert tuple(counts) == expected
    assert 0 < counts[-1] < counts[2] < counts[0]


def test_customer_value(figures: Figures) -> None:
    found = ours(
        figures,
        "SELECT member_id, purchases, amount, returned, value, repeat_days, recency_days,"
        " age_days, repeat_amount FROM read.kpi_customer_value('2017-11-15T12:00:00Z')",
    )
    expected = theirs(
        figures,
        "WITH d AS (SELECT member, moment::DATE AS day, count(*) AS n, sum(amount) AS amount"
        " FROM baskets WHERE member IS NOT NULL AND moment < '2017-11-15 15:00' GROUP BY 1, 2)"
        " SELECT member, sum(n)::BIGINT, sum(amount)::BIGINT, back, (sum(amount) - back)::BIGINT,"
        " count(*) - 1, max(day) - min(day), DATE '2017-11-15' - min(day),"
        " (sum(amount) - arg_min(amount, day))::BIGINT FROM d LEFT JOIN LATERAL ("
        "   SELECT coalesce(sum(b.amount), 0)::BIGINT AS back FROM backs b"
        "   WHERE b.member = d.member AND b.moment < '2017-11-15 15:00') ON true"
        " GROUP BY member, back",
    )
    assert sorted(found) == sorted(expected)
    assert len(found) == 50


def test_an_unknown_grain_or_dimension_is_refused(figures: Figures) -> None:
    for query in ("'year', 'all'", "'day', 'colour'"):
        with pytest.raises(psycopg.errors.InvalidTextRepresentation):
            ours(figures, f"SELECT * FROM read.kpi_sales(SPAN, {query})")


def test_a_rebuild_notes_the_same_rows(figures: Figures) -> None:
    """By pages of members, purchases of nobody included; other rows would not be exchanged."""
    query = "SELECT * FROM read.kpi_sales(SPAN, 'week', 'store')"
    before = ours(figures, query)
    rebuild(figures.url, "kpis")
    assert ours(figures, query) == before
    assert any(row[2] > row[3] for row in before), "nobody shops too"
