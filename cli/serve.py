"""`points serve`: everything of one machine under one supervisor."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer

from cli.context import data_dir_of, own_services, settings_of_services
from deploy import embedded
from deploy.supervisor import GivenUp, Program, Supervisor
from ledger.errors import LedgerError
from ledger.identity import check_database
from ledger.settings import Settings, load_settings


def serve(
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Of the API; POINTS_API_PORT.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the embedded services (POINTS_DATA_DIR).")
    ] = None,
    keep_services: Annotated[
        bool, typer.Option(help="Leave PostgreSQL and Kafka running at the end.")
    ] = False,
    log_file: Annotated[
        Path | None, typer.Option(help="Append the log here instead of standard error.")
    ] = None,
) -> None:
    """Run services, worker with its scheduler, projections, webhooks and the API until stopped;
    with a key and a folder for checkpoints (docs/audit.md) also what makes them.

    What dies is started again. All logs are one stream of JSON lines, each with its `process`.
    Without services of your own the embedded ones are started, and stopped at the end.

    Example: `points serve --port 8088`
    """
    _check_port(port)
    with _services(data_dir, keep_services) as settings, _log(log_file) as out:
        asyncio.run(check_database(settings))
        supervisor = Supervisor(_programs(settings, port), out)
        try:
            asyncio.run(supervisor.run())
        except GivenUp as error:
            raise LedgerError(
                f"The process {error.name} ended again and again, at last with status"
                f" {error.code}: its log lines say why.",
                "process_given_up",
            ) from error


def _check_port(port: int | None) -> None:
    """Before anything is started: otherwise the API would be started again and again, beside a
    second worker. Raises StartRefused (port_in_use)."""
    from api.server import bound  # imported here: the framework takes a second

    settings = load_settings()
    bound(settings.api_host, settings.api_port if port is None else port).close()


@contextmanager
def _services(data_dir: Path | None, keep: bool) -> Iterator[Settings]:
    if own_services():
        yield settings_of_services(kafka=True)
        return
    folder = data_dir_of(data_dir)
    before = embedded.status(folder).services is not None
    embedded.start(folder, progress=lambda line: typer.echo(line, err=True))
    try:
        yield settings_of_services(kafka=True, data_dir=folder)
    finally:
        if not before and not keep:
            embedded.stop(folder, progress=lambda line: typer.echo(line, err=True))


@contextmanager
def _log(path: Path | None) -> Iterator[IO[bytes]]:
    if path is None:
        yield sys.stderr.buffer
        return
    with path.open("ab") as file:
        yield file


def _programs(settings: Settings, port: int | None) -> list[Program]:
    """In the order of their start: readers before the worker would only wait."""
    database, kafka = settings.require_database_url(), settings.kafka_bootstrap
    assert kafka is not None
    environment = {
        "POINTS_DATABASE_URL": database,
        "POINTS_KAFKA_BOOTSTRAP": kafka,
        "POINTS_DATA_DIR": str(settings.data_dir),
    }

    def points(name: str, *arguments: str, first: bool = False) -> Program:
        command = [sys.executable, "-m", "cli.main", *arguments]
        return Program(name, command, environment, typer.echo, first)

    listen = [] if port is None else ["--port", str(port)]
    signs = settings.checkpoint_key is not None and settings.checkpoint_dir is not None
    return [
        points("worker", "worker"),
        points("projections", "projections", "run"),
        points("webhooks", "webhooks", "run"),
        *([points("checkpoints", "audit", "keep-checkpoints")] if signs else []),
        points("api", "api", "serve", *listen, first=True),
    ]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)
