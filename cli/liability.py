"""`points liability …`: what is owed, how it moved, what will expire, what revenue is deferred.

Thin: the figures are `analytics.liability*` and `analytics.deferred`, one fold of the log for each
command (`analytics.liability_report`).
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from psycopg import Connection

from analytics import liability_report
from analytics.deferred import Deferred
from analytics.liability import Bucket
from analytics.liability_export import items, write_beancount, write_csv
from analytics.liability_log import KINDS, Book, Progress
from analytics.liability_movement import Month
from cli.context import parse_moment, print_json
from cli.members import AsJson, At
from cli.progress import progress_shown
from cli.projections import reading
from cli.rows import AsCsv, one_form, print_csv


class By(StrEnum):
    """Into which buckets."""

    age = "age"
    expiry = "expiry"
    rule = "rule"


class Allocated(StrEnum):
    """How the price is shared between goods and points."""

    relative = "relative"
    full = "full"


From = Annotated[str | None, typer.Option("--from", help="First local month, 2017-01; the first.")]
To = Annotated[str | None, typer.Option("--to", help="Last local month; the present one.")]
Rate = Annotated[
    str,
    typer.Option(
        "--breakage", help="Share of points never spent, a decimal: `points liability breakage`."
    ),
]
AllocationOption = Annotated[
    Allocated, typer.Option("--allocation", help="By relative selling prices, or points in full.")
]


def owed(
    context: typer.Context,
    at: At = None,
    by: Annotated[By, typer.Option("--by", help="Months since granted, or local months.")] = By.age,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """What is left in lots at a moment, worth at the point value in force; debt apart.

    Example: `points liability --at 2018-01-01T00:00:00Z --by expiry`
    """
    if context.invoked_subcommand is not None:
        return
    one_form(as_json, as_csv)
    moment = parse_moment(at)
    with _asking() as (connection, progress):
        found = liability_report.owed(connection, progress, moment, by.value)
    if as_json:
        print_json(liability_report.owed_plain(found, by.value))
        return
    rows = [*found.buckets, *([] if as_csv else [found.total])]
    _print((by.value, *Bucket._fields[1:]), rows, as_csv)
    if not as_csv:
        typer.echo(
            f"{found.point_value} minor units of {found.currency} for a point; members owe "
            f"{found.debt} points ({found.debt_value}), which are not taken off"
        )


def movement(
    since: From = None, until: To = None, as_json: AsJson = False, as_csv: AsCsv = False
) -> None:
    """The movement of each local month, in points and in minor units; each month is compared with
    the read models.

    Example: `points liability movement --from 2017-01 --to 2017-12 --csv`
    """
    one_form(as_json, as_csv)
    with _asking() as (connection, progress):
        months = liability_report.moved(connection, progress, since, until)
    if as_json:
        print_json(liability_report.moved_plain(months))
        return
    columns = ("month", "unit", "opening", *KINDS, "revaluation", "closing", "activated", "debt")
    _print(columns, _movement_rows(months), as_csv)


def _movement_rows(months: Iterable[Month]) -> Iterator[tuple[Any, ...]]:
    for one in months:
        yield (one.month, "points", one.opening_points, *(one.points[kind] for kind in KINDS), 0,
               one.closing_points, one.activated, one.debt)  # fmt: skip
        yield (one.month, "minor", one.opening_money, *(one.money[kind] for kind in KINDS),
               one.revaluation, one.closing_money, "", "")  # fmt: skip


def breakage(at: At = None, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """What expired unspent, by month of grant, and what the open lots are expected to: an estimate.

    Example: `points liability breakage --at 2018-01-01T00:00:00Z`
    """
    one_form(as_json, as_csv)
    from analytics.liability_breakage import Cohort  # numpy takes a while

    moment = parse_moment(at)
    with _asking() as (connection, progress):
        found = liability_report.broken(connection, progress, moment)
    if as_json:
        print_json(liability_report.broken_plain(found, moment))
        return
    rows = [(*one[:6], f"{one.observed:.4f}", f"{one.expected:.1f}") for one in found.cohorts]
    _print(Cohort._fields, rows, as_csv)
    if not as_csv:
        typer.echo(
            f"of {found.open} open points {found.expected:.0f} are expected to expire unspent, "
            f"± {found.error:.0f} (members vary; ± {found.greenwood:.0f} if points did not go "
            f"together): {found.rate:.2%} ± {found.rate_error:.2%}, worth {found.worth:.0f}"
        )
        typer.echo(f"of all points granted and not taken back: {found.ultimate:.2%}")


def deferred(
    since: From = None,
    until: To = None,
    rate: Rate = "0",
    allocation: AllocationOption = Allocated.relative,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Deferred revenue (IFRS 15) of each local month, minor units.

    Example: `points liability deferred --breakage 0.15 --from 2017-01 --to 2017-12`
    """
    one_form(as_json, as_csv)
    _, months = _both(since, until, rate, allocation)
    if as_json:
        print_json(liability_report.deferred_plain(months))
        return
    columns = [name for name in Deferred._fields if name != "ends_at"]
    _print(columns, [(one.month, *one[2:]) for one in months], as_csv)
    if months and months[-1].overrun:
        typer.echo(
            f"{months[-1].overrun} cohorts hold points though all of their amount is recognised: "
            "the breakage rate is too high for them",
            err=True,
        )


def export(
    since: From = None,
    until: To = None,
    rate: Rate = "0",
    allocation: AllocationOption = Allocated.relative,
    csv_file: Annotated[
        Path | None, typer.Option("--csv", help="Write a row for each posting.", dir_okay=False)
    ] = None,
    beancount: Annotated[
        Path | None, typer.Option("--beancount", help="For `bean-check`.", dir_okay=False)
    ] = None,
) -> None:
    """Write the double entries: points, and deferred revenue (IFRS 15), by local month.

    Example: `points liability export --breakage 0.15 --csv owed.csv --beancount owed.beancount`
    """
    if csv_file is None and beancount is None:
        raise typer.BadParameter("name a file with --csv, --beancount or both")
    (moves, book), months = _both(since, until, rate, allocation)
    found = list(items(moves, months, book.ledger.currency))
    if csv_file is not None:
        with csv_file.open("w", encoding="utf-8", newline="") as out:
            write_csv(found, out)
    if beancount is not None:
        title = f"Points of {book.ledger.program_id}"
        with beancount.open("w", encoding="utf-8") as out:
            write_beancount(found, book.ledger.currency, title, out)
    typer.echo(f"{len(months)} months, {len(found)} entries and assertions", err=True)


def _both(
    since: str | None, until: str | None, rate: str, allocation: Allocated
) -> tuple[tuple[list[Month], Book], list[Deferred]]:
    with _asking() as (connection, progress):
        moves, months, book = liability_report.deferred(
            connection, progress, since, until, rate, allocation.value
        )
    return (moves, book), months


@contextmanager
def _asking() -> Iterator[tuple[Connection, Progress]]:
    """A session, and whom to tell how far the fold is."""
    with reading() as connection, progress_shown("liability") as shown:
        yield connection, lambda done, total: shown("log", done, total)


def _print(columns: Sequence[str], rows: Iterable[Sequence[Any]], as_csv: bool) -> None:
    if as_csv:
        print_csv(columns, rows)
        return
    shown = [[str(value) for value in row] for row in (columns, *rows)]
    widths = [max(len(row[n]) for row in shown) for n in range(len(columns))]
    for row in shown:
        typer.echo("  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)))


def register(app: typer.Typer) -> None:
    """Add the group; without a command it says what is owed."""
    group = typer.Typer()
    group.callback(invoke_without_command=True)(owed)
    for command in (movement, breakage, deferred, export):
        group.command()(command)
    app.add_typer(group, name="liability")
