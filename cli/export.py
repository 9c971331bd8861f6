"""`points export`: thin; the work is `analytics.export`."""

from pathlib import Path
from typing import Annotated

import typer

from cli.context import print_json, settings_of_services
from cli.progress import progress_shown
from cli.projections import AsJson, reading, translated
from ledger.errors import LedgerError


def register(app: typer.Typer) -> None:
    """Add the command `export`."""

    @app.command()
    def export(
        out: Annotated[Path, typer.Option(help="The export's folder.", file_okay=False)],
        what: Annotated[
            str | None, typer.Option(help="Data sets by name, with commas; all of docs/export.md.")
        ] = None,
        since_last: Annotated[
            bool,
            typer.Option("--since-last/--anew", help="Only what is new, or all again."),
        ] = True,
        as_json: AsJson = False,
    ) -> None:
        """Write the log and the read models as Parquet files by day; the next run adds what is new.

        Example: `points export --out /data/points --what log,balances`
        """
        # imported late: pyarrow takes half a second
        from analytics import export as exporting
        from analytics.export_tables import NAMES

        names = NAMES if what is None else tuple(what.split(","))
        if unknown := [name for name in names if name not in NAMES]:
            raise LedgerError(
                f"--what {','.join(unknown)}: no such data set; choose of {', '.join(NAMES)}.",
                "unknown_data_set",
            )
        url = settings_of_services().require_database_url()
        with reading():
            pass
        with translated(), progress_shown("export") as told:
            done = exporting.export(url, out, names, since_last=since_last, progress=told)
        if as_json:
            print_json({"rows": done.rows, "files": done.files})
            return
        for name, rows in done.rows.items():
            typer.echo(f"{name:<16} {rows:>12} rows")
        typer.echo(f"{done.files} new files in {out}")
