"""`points audit …`: the group; each command has a file of its own (`cli/audit_*.py`)."""

import typer

commands = typer.Typer(
    no_args_is_help=True, help="Prove that the log and what follows from it are whole."
)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(commands, name="audit")
