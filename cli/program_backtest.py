"""`points program backtest`: what another program would have given, over the recorded history."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from analytics import backtest, backtest_report
from analytics.backtest import Result
from analytics.backtest_shard import TOP, Options
from analytics.backtest_tally import CHANGED_MAX, Member, Row
from audit.redecide import JOBS, JOBS_MAX
from cli.context import parse_moment, print_json, settings_of_services
from cli.program import ProgramFile, group, read_program
from cli.progress import bar_shown
from cli.projections import reading, translated

ROWS = 15
"""Rows of a table on the screen; `--json` and `--parquet` have all."""


def run(
    file: ProgramFile,
    start: Annotated[
        str | None, typer.Option("--from", help="Decide anew from this moment on (RFC 3339).")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Up to this moment, which is not part of it.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, max=JOBS_MAX, help="Processes.")] = JOBS,
    sample: Annotated[float, typer.Option(help="Percent of the members to look at.")] = 100.0,
    seed: Annotated[int, typer.Option(help="Which sample.")] = 0,
    top: Annotated[
        int, typer.Option(min=1, max=CHANGED_MAX, help="Members told as changed the most.")
    ] = TOP,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    parquet: Annotated[
        Path | None, typer.Option(help="Write groups and members to Parquet files here.")
    ] = None,
    charts: Annotated[
        Path | None, typer.Option(help="Write charts and one HTML page here.")
    ] = None,
) -> None:
    """Run the recorded history of inputs under another program: what it would have given and cost,
    by rule, tier, segment and store, who would win and lose. Nothing is published or written to the
    ledger.

    Example: `points program backtest next-year.yaml --from 2017-06-01T00:00:00Z --charts charts`
    """
    program = read_program(file)
    options = Options(
        start=None if start is None else parse_moment(start, "--from"),
        end=None if end is None else parse_moment(end, "--to"),
        jobs=jobs,
        sample=sample,
        seed=seed,
        top=top,
        members=None if parquet is None else str(parquet),
    )
    url = settings_of_services().require_database_url()
    with reading():
        pass
    if parquet is not None or charts is not None:
        from analytics import backtest_files  # imported late: it needs pyarrow and matplotlib

        for folder in (parquet, charts):
            if folder is not None:
                backtest_files.folder(folder)
    with translated(), bar_shown("living through the history") as show:
        result = backtest.run(url, program, options, show)
    if parquet is not None:
        backtest_files.write_groups(parquet, result)
    if charts is not None:
        backtest_files.write_charts(charts, result)
    if as_json:
        print_json(backtest_report.as_json(result))
    else:
        _print(result)


def _print(result: Result) -> None:
    for line in backtest_report.lines(result):
        typer.echo(line)
    console = Console()
    for name, title in backtest_report.GROUPS:
        rows = result.tally.groups[name]
        if rows:
            console.print(_table(title, rows, result.currency, in_order=name == "month"))
    if result.tally.changed:
        console.print(_members(result.tally.changed))


def _table(title: str, rows: dict[str, Row], currency: str, *, in_order: bool) -> Table:
    table = Table(title=f"Points granted {title}", title_justify="left")
    table.add_column(title.split()[1])
    for name in ("before", "after", "change", f"cost, {currency}"):
        table.add_column(name, justify="right")
    found = sorted(rows.items())
    if not in_order:
        found.sort(key=lambda one: -max(one[1].points))
    for key, row in found[:ROWS]:
        before, after = row.points
        cost = backtest_report.money(row.cost[1] - row.cost[0], "").strip()
        table.add_row(key, f"{before:,}", f"{after:,}", f"{after - before:+,}", cost)
    if len(found) > ROWS:
        table.caption = f"and {len(found) - ROWS} more: see --json"
    return table


def _members(members: list[Member]) -> Table:
    table = Table(title="Members changed the most", title_justify="left")
    table.add_column("member")
    for name in ("before", "after", "change", "tier", "shortfall"):
        table.add_column(name, justify="right")
    for one in members[:ROWS]:
        tier = one.tier_after
        if one.tier_before != tier:
            tier = f"{one.tier_before} → {tier}"
        numbers = (f"{one.before.net:,}", f"{one.after.net:,}", f"{one.change:+,}")
        table.add_row(one.member_id, *numbers, tier, f"{one.shortfall:,}")
    return table


def register(_app: typer.Typer) -> None:
    """Add the command to the group `program`."""
    group.command("backtest")(run)
