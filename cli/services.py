"""`points up`, `down`, `status`: the embedded PostgreSQL and Kafka of a data folder."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.context import data_dir_of, own_services, print_json
from deploy import embedded
from ledger.errors import LedgerError

DataDir = Annotated[
    Path | None,
    typer.Option(help="Folder of the services' data (default: POINTS_DATA_DIR or .points)."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _refuse_own() -> None:
    if own_services():
        raise LedgerError(
            "POINTS_DATABASE_URL or POINTS_KAFKA_BOOTSTRAP is set, so your own services are used"
            " and nothing is started or stopped; unset both to use the embedded ones.",
            "own_services",
        )


def up(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Start PostgreSQL and Kafka on loopback, or find them running. Data and ports are kept.

    Example: `points up --data-dir /srv/points`
    """
    _refuse_own()
    running = embedded.start(data_dir_of(data_dir), progress=_say)
    if as_json:
        print_json(asdict(running))
        return
    typer.echo(f"PostgreSQL  {running.database_url}")
    typer.echo(f"Kafka       {running.kafka_bootstrap}")
    typer.echo(f"data        {running.data_dir}")
    typer.echo(f"logs        {running.postgres_log}\n            {running.kafka_log}")


def down(data_dir: DataDir = None) -> None:
    """Stop the embedded services cleanly. The data stays.

    Example: `points down`
    """
    _refuse_own()
    folder = data_dir_of(data_dir)
    if embedded.stop(folder, progress=_say):
        typer.echo(f"stopped; the data stays in {folder}")


def status(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Say what runs. Exit status 0 when both answer, 3 when not.

    Example: `points status --json`
    """
    _refuse_own()
    seen = embedded.status(data_dir_of(data_dir))
    if as_json:
        print_json(asdict(seen))
    else:
        typer.echo(f"data        {seen.data_dir}")
        for name, one in (("PostgreSQL", seen.postgres), ("Kafka", seen.kafka)):
            typer.echo(f"{name:<11} {_describe(one)}")
    if seen.services is None:
        raise typer.Exit(code=3)


def _describe(one: Any) -> str:
    if not one.running:
        return "stopped"
    state = "answers" if one.answering else "runs but does not answer yet"
    return f"{state}, port {one.port}, pid {one.pid}, log {one.log}"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
