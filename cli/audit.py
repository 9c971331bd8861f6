"""`points audit …`: the group; each command has a file of its own (`cli/audit_*.py`)."""

import typer

from cli import audit_checkpoint, audit_verify

commands = typer.Typer(
    no_args_is_help=True, help="Prove that the log and what follows from it are whole."
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for each in (audit_verify, audit_checkpoint):
        each.register(commands)
    app.add_typer(commands, name="audit")
