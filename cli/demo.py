"""`points demo`: a year of a real grocer, loaded and proved."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli.context import parse_moment, print_json

DEFAULT_AT = "2018-01-15T00:00:00Z"
"""Two weeks after the data ends: the year's end, the grace of tiers and late activations show."""

PAGE_WIDTH = 110
"""Columns of the summary where there is no terminal to ask."""

EXIT_WRONG = 1
"""A check failed."""


def demo(
    households: Annotated[
        int | None,
        typer.Option(min=1, help="Only so many households, those with the smallest ids."),
    ] = None,
    program: Annotated[
        Path | None, typer.Option(help="Another program (default: demo/program.yaml).")
    ] = None,
    at: Annotated[
        str, typer.Option(help="The moment at which balances are compared (RFC 3339).")
    ] = DEFAULT_AT,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave PostgreSQL and Kafka up for a look around.")
    ] = False,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the demo's services (default: .points/demo).")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as one object.")
    ] = False,
) -> None:
    """Load a year of a real grocer and check every member's balance against a reference model.

    Example: `points demo --households 100 --keep`
    """
    from demo.perform import perform
    from demo.screen import Terminal

    moment = parse_moment(at)
    screen = Terminal()
    try:
        report = perform(
            households=households,
            program=program,
            at=moment,
            keep=keep,
            data_dir=data_dir,
            screen=screen,
        )
    finally:
        screen.close()
    if as_json:
        print_json(report)
    else:
        from rich.console import Console

        from demo.summary import show

        console = Console(file=sys.stdout, highlight=False)
        if not console.is_terminal:
            console.width = PAGE_WIDTH
        show(report, console)
    if not report["ok"]:
        raise typer.Exit(code=EXIT_WRONG)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)
