"""The figures of docs/kpi.md as the command line asks for them: which there are, and their rows.

The figures are functions of the database (`read.kpi_…`): nothing is computed here.
"""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from psycopg import Connection

from ledger.errors import LedgerError

STREAM_ROWS = 2_000
"""Rows fetched at once: some hundred kilobytes."""


class Asked(NamedTuple):
    """What to tell: figures of [since, until), by local period and dimension."""

    since: datetime
    until: datetime
    grain: str = "month"
    by: str = "all"
    idle_days: int = 90


def period(
    connection: Connection, since: datetime | None, until: datetime
) -> tuple[datetime, datetime]:
    """[since, until), from the beginning of all if `since` is None. Raises LedgerError
    (no_period)."""
    begin = min(beginning(connection), until) if since is None else since
    if begin > until:
        raise LedgerError(
            f"The period begins ({begin.isoformat()}) after it ends ({until.isoformat()}): turn"
            " them round.",
            "no_period",
        )
    return begin, until


FIGURES = {
    "sales": "SELECT * FROM read.kpi_sales(%(since)s, %(until)s, %(grain)s, %(by)s)",
    "points": "SELECT * FROM read.kpi_points(%(since)s, %(until)s, %(grain)s, %(by)s)",
    "campaigns": "SELECT * FROM read.kpi_campaigns(%(since)s, %(until)s, %(grain)s)",
    "retention": "SELECT * FROM read.kpi_retention(%(since)s, %(until)s, %(grain)s, %(by)s)",
    "churn": "SELECT * FROM read.kpi_churn(%(since)s, %(until)s, %(grain)s, %(by)s, %(idle)s)",
    "referrals": "SELECT * FROM read.kpi_referrals(%(since)s, %(until)s, %(grain)s)",
    "rfm": "SELECT * FROM read.kpi_rfm(%(until)s)",
}
"""Each figure by its name, with the query."""

Rows = Generator[tuple[Any, ...], None, None]


@contextmanager
def rows_of(
    connection: Connection, figure: str, asked: Asked
) -> Generator[tuple[list[str], Rows], None, None]:
    """The columns and rows of a figure, streamed."""
    given = {
        "since": asked.since,
        "until": asked.until,
        "grain": asked.grain,
        "by": asked.by,
        "idle": asked.idle_days,
    }
    with connection.transaction(), connection.cursor("figure") as cursor:
        cursor.itersize = STREAM_ROWS
        cursor.execute(FIGURES[figure].encode(), given)
        assert cursor.description is not None

        def rows() -> Rows:
            yield from cursor

        yield [column.name for column in cursor.description], rows()


def beginning(connection: Connection) -> datetime:
    """When the first account opened or the first purchase was made; now, if there is neither."""
    row = connection.execute(
        "SELECT least((SELECT min(occurred_at) FROM read.sales),"
        " (SELECT min(opened_at) FROM read.accounts))"
    ).fetchone()
    found = None if row is None else row[0]
    return datetime.now(UTC) if found is None else found
