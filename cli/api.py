"""`points api`: serve the HTTP API."""

from pathlib import Path
from typing import Annotated

import typer

from cli import logs
from cli.context import settings_of_services

app = typer.Typer(no_args_is_help=True, help="The HTTP API.")


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on; POINTS_API_HOST.")] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port; 0 a free one; POINTS_API_PORT.")
    ] = None,
    log_file: Annotated[
        Path | None, typer.Option(help="Write the log here instead of standard error.")
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Folder of the embedded services to use.")
    ] = None,
) -> None:
    """Serve the HTTP API and the console until stopped (Ctrl-C, SIGTERM). Prints where.

    TLS and more than one address belong to the proxy in front.

    Example: `points api serve --port 8080`
    """
    # Imported here: the framework takes a second, which `points --help` must not.
    from api.server import serve as run
    from console.app import attach

    settings = settings_of_services(data_dir=data_dir)
    if host is not None:
        settings = settings.model_copy(update={"api_host": host})
    if port is not None:
        settings = settings.model_copy(update={"api_port": port})
    logs.configure(log_file)

    def started(url: str) -> None:
        typer.echo(f"api: {url}/v1 (document: {url}/openapi.json)")
        typer.echo(f"console: {url}/console")

    run(settings, started, attach)


def register(main: typer.Typer) -> None:
    """Add the group."""
    main.add_typer(app, name="api")
