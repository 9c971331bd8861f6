"""The chart pack: the figures of docs/kpi.md as pictures, and one page that holds them all.

The page asks nothing of any network: the pictures are in it, with words for those who do not see
them. Nothing is computed here that a function of the database computes.
"""

import base64
import html
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from psycopg import Connection

from analytics import charts, kpis
from analytics.charts import Chart
from analytics.kpis import Asked
from analytics.liability import outstanding
from analytics.liability_log import open_book, stories
from ledger.core.calendar import to_instant

Rows = list[dict[str, Any]]

PAGE = "index.html"

COHORTS_MAX = 24
"""Cohorts of the heat map: the latest two years, else its cells cannot be read."""


def make(connection: Connection, out: Path, since: datetime, until: datetime) -> list[str]:
    """Write the page and the pictures; their names. Raises OSError."""
    out.mkdir(parents=True, exist_ok=True)
    found = list(_charts(connection, since, until))
    for chart in found:
        (out / f"{chart.name}.png").write_bytes(chart.png)
    (out / PAGE).write_text(_page(found, since, until), encoding="utf-8")
    return [PAGE, *(f"{chart.name}.png" for chart in found)]


def figure(connection: Connection, name: str, asked: Asked) -> Rows:
    """All rows of a figure: a few for each month."""
    with kpis.rows_of(connection, name, asked) as (columns, rows):
        return [dict(zip(columns, row, strict=True)) for row in rows]


def _charts(connection: Connection, since: datetime, until: datetime) -> Iterator[Chart]:
    asked = Asked(since, until)
    zone = connection.execute("SELECT time_zone FROM read.program").fetchone()
    assert zone is not None, "a ledger has its program"
    last = until.astimezone(ZoneInfo(zone[0])).date()
    points = _over(figure(connection, "points", asked), last)
    months = [row["period"] for row in points]
    yield charts.lines(
        "points",
        "Points granted, redeemed and expired by month",
        months,
        {
            "granted": _of(points, "granted"),
            "redeemed": [row["redeemed"] - row["restored"] for row in points],
            "expired": _of(points, "expired"),
        },
    )
    sales = _over(figure(connection, "sales", asked), last)
    months = [row["period"] for row in sales]
    yield charts.lines(
        "participation",
        "Participation: members' share by month",
        months,
        {
            "of purchases": _of(sales, "participation_purchases"),
            "of turnover": _of(sales, "participation_amount"),
        },
        percent=True,
    )
    yield charts.lines(
        "active_members",
        "Members with a purchase by month",
        months,
        {"active members": _of(sales, "active_members")},
    )
    tiers = connection.execute(
        "SELECT b.tier, count(*) FROM read.balance_at(%s) b LEFT JOIN"
        " (SELECT tier, min(level) AS level FROM read.tier_progress GROUP BY 1) r USING (tier)"
        " GROUP BY 1, r.level ORDER BY r.level NULLS FIRST, 1",
        [until],
    ).fetchall()
    yield charts.bars(
        "tiers",
        f"Members by tier on {until:%Y-%m-%d}",
        [row[0] for row in tiers],
        {"members": [row[1] for row in tiers]},
    )
    yield from _liability(connection, until)
    cohorts = _retention(figure(connection, "retention", asked), last)
    yield charts.heat(
        "retention", "Retention: who bought again", list(cohorts), list(cohorts.values())
    )


def _liability(connection: Connection, until: datetime) -> Iterator[Chart]:
    """The points owed at the end by their age, as `points liability` tells them."""
    at = to_instant(until)
    with connection.transaction():
        book = open_book(connection)
        owed = outstanding(stories(connection, book, at), book, at, "age")
    if not owed.buckets:
        return
    yield charts.bars(
        "liability_by_age",
        f"Points owed on {until:%Y-%m-%d} by months since they were granted",
        [bucket.bucket for bucket in owed.buckets],
        {
            "spendable": [bucket.available for bucket in owed.buckets],
            "pending": [bucket.pending for bucket in owed.buckets],
            "reserved": [bucket.reserved for bucket in owed.buckets],
        },
    )


def _over(rows: Rows, until: date) -> Rows:
    """Without the month that is not over: its figures would look like a fall."""
    return [row for row in rows if row["period"] < until.replace(day=1)] or rows


def _of(rows: Rows, column: str) -> list[float | None]:
    return [None if row[column] is None else float(row[column]) for row in rows]


def _retention(rows: Rows, until: date) -> dict[date, list[float | None]]:
    """Shares by cohort; a month that is not over yet is left out, one without buyers is 0."""
    found: dict[date, list[float | None]] = {}
    for row in rows:
        cohort = row["cohort"]
        months = (until.year - cohort.year) * 12 + until.month - cohort.month
        shares = found.setdefault(cohort, [0.0] * max(1, months))
        if row["n"] < len(shares):
            shares[row["n"]] = float(row["retention"])
    return dict(sorted(found.items())[-COHORTS_MAX:])


_STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --ground: #fff; --quiet: #52606d; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --ground: #16191d; --quiet: #9aa5b1; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; color: var(--ink);
  background: var(--ground); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.05rem; margin: 0 0 .5rem; }
main { display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
section { min-width: 0; }
img { display: block; width: 100%; height: auto; }
@media (prefers-color-scheme: dark) { img { filter: invert(1) hue-rotate(180deg); } }
p { color: var(--quiet); overflow-wrap: anywhere; margin: .5rem 0 0; font-size: .9rem; }
"""


def _page(found: Sequence[Chart], since: datetime, until: datetime) -> str:
    span = f"{since.astimezone(UTC):%Y-%m-%d} to {until.astimezone(UTC):%Y-%m-%d}"
    sections = "\n".join(map(_section, found))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Points, {span}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Points, {span}</h1>\n<main>\n{sections}\n</main>\n</body>\n</html>\n"
    )


def _section(chart: Chart) -> str:
    title, text = html.escape(chart.title), html.escape(chart.text)
    picture = base64.b64encode(chart.inlay).decode()
    return (
        f'<section>\n<h2>{title}</h2>\n<img alt="{title}. {text}"'
        f' src="data:image/png;base64,{picture}">\n<p>{text}</p>\n</section>'
    )
