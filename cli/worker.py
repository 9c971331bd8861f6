"""`points worker`: consume events until stopped."""

from pathlib import Path
from typing import Annotated

import typer

from cli import logs
from cli.context import settings_of_services


def worker(
    history: Annotated[
        bool,
        typer.Option(
            "--history",
            help="Load the past: topics are merged strictly by time, the scheduler stands still.",
        ),
    ] = False,
    until_idle: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Stop once everything is read and nothing came for so many seconds.",
        ),
    ] = None,
    log_file: Annotated[
        Path | None, typer.Option(help="Write the log here instead of standard error.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the embedded services to use.")
    ] = None,
) -> None:
    """Consume all input topics until stopped (Ctrl-C, SIGTERM).

    Several workers share the partitions. Prints where its health and metrics are.

    Example: `points worker`
    """
    # Imported here: Faust takes a second, which `points --help` must not.
    import uvloop

    from streams.worker import Options, Worker

    settings = settings_of_services(kafka=True, data_dir=data_dir)
    logs.configure(log_file)

    def started(port: int) -> None:
        typer.echo(f"worker: {address(settings.http_host, port)}/metrics (also /livez, /readyz)")

    async def work() -> None:
        await Worker(settings, Options(history, until_idle), started).run()

    uvloop.run(work())


def address(host: str, port: int) -> str:
    """Where the probes listen, as a URL."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(worker)
