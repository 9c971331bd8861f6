"""`points report`: thin; the work is `analytics.report`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.kpi import From, To, asked_for
from cli.projections import reading


def register(app: typer.Typer) -> None:
    """Add the command `report`."""

    @app.command()
    def report(
        out: Annotated[Path, typer.Option(help="The folder of the report.", file_okay=False)],
        since: From = None,
        until: To = None,
    ) -> None:
        """Write a page of charts that needs no network (index.html), and the charts as PNGs.

        Example: `points report --out report --from 2017-01-01T00:00:00Z --to 2018-01-01T00:00:00Z`
        """
        from analytics import report as reporting  # imported late: matplotlib takes a second

        with reading() as connection:
            asked = asked_for(connection, since, until)
            for name in reporting.make(connection, out, asked.since, asked.until):
                typer.echo(out / name)
