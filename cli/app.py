"""The application of `points`: all groups of commands."""

from importlib.metadata import version
from typing import Annotated

import typer

from cli import (
    api,
    api_access,
    audit,
    audit_redecide,
    audit_replay,
    balances,
    codes,
    dead_letters,
    demo,
    explain,
    export,
    feeds,
    history,
    init,
    kafka,
    kpi,
    liability,
    members,
    program,
    program_backtest,
    projections,
    publish,
    report,
    rewards,
    schemas,
    serve,
    services,
    webhooks,
    worker,
)

app = typer.Typer(
    name="points",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"points-ledger {version('points-ledger')}")
        raise typer.Exit


@app.callback()
def points(
    _: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Points Ledger: an event-sourced loyalty points ledger with stream processing.

    Example: `points up`, then `points init demo/program.yaml` and `points worker`
    """


for group in (
    services,
    init,
    program,
    program_backtest,
    rewards,
    schemas,
    publish,
    worker,
    projections,
    balances,
    members,
    history,
    explain,
    dead_letters,
    codes,
    kafka,
    audit,
    audit_redecide,
    audit_replay,
    kpi,
    liability,
    feeds,
    webhooks,
    export,
    report,
    api,
    api_access,
    serve,
    demo,
):
    group.register(app)
