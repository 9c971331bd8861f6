"""`points init` and `points migrate`: prepare a database and the topics for a program's ledger."""

from pathlib import Path
from typing import Annotated

import typer

from cli.context import print_json, run, settings_of_services
from cli.program import read_program
from ledger.errors import StartRefused
from ledger.settings import Settings

ProgramFile = Annotated[Path, typer.Argument(help="The program's YAML file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def initialise(program: Path, settings: Settings) -> dict[str, object]:
    """Migrate the database, create the topics and the ledger; what exists stays as it is.

    Raises StartRefused, ProgramRefused.
    """
    from ledger.crash import crash_point
    from ledger.create import create_ledger
    from ledger.migrate import migrate
    from streams.topics import TOPICS, ensure_topics

    form = read_program(program)
    if settings.program_id not in (None, form.program):
        raise StartRefused(
            f"POINTS_PROGRAM_ID is {settings.program_id}, but {program} is of the program"
            f" {form.program}: name that program's file, or correct POINTS_PROGRAM_ID.",
            "other_program",
        )
    url = settings.require_database_url()
    bootstrap = settings.kafka_bootstrap
    assert bootstrap is not None
    revision = migrate(url)
    run(ensure_topics(bootstrap, settings.partitions))
    crash_point("init.after_topics")
    identity = create_ledger(url, form, settings.shards, insist=settings.shards_asked is not None)
    return {
        "ledger_id": str(identity.ledger_id),
        "program": identity.program_id,
        "currency": identity.currency,
        "time_zone": identity.time_zone,
        "shards": identity.shards,
        "partitions": settings.partitions,
        "topics": list(TOPICS),
        "schema_version": revision,
    }


def init(program: ProgramFile, as_json: AsJson = False) -> None:
    """Create the ledger of a program: tables, topics, first program version. Safe to run again.

    Example: `points init demo/program.yaml`
    """
    made = initialise(program, settings_of_services(kafka=True))
    if as_json:
        print_json(made)
        return
    typer.echo(
        f"ledger {made['ledger_id']} of program {made['program']}: {made['shards']} shards,"
        f" {made['currency']}, {made['time_zone']}; topics with {made['partitions']} partitions"
    )


def migrate(as_json: AsJson = False) -> None:
    """Bring the database's tables up to this version of the software.

    Example: `points migrate`
    """
    from ledger.migrate import migrate as run_migrations

    revision = run_migrations(settings_of_services().require_database_url())
    if as_json:
        print_json({"schema_version": revision})
    else:
        typer.echo(f"the database has schema version {revision}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(init)
    app.command()(migrate)
