"""The entry point of `points`: gathers the groups of commands and turns errors into sentences.

Whatever a person can put right ends as `error [code] sentence` on standard error and exit status 1
(2 for wrong usage, 130 for Ctrl-C). A traceback is a defect of ours and is shown as one.
"""

import sys

import typer

from cli import (
    dead_letters,
    demo,
    history,
    init,
    members,
    program,
    projections,
    publish,
    schemas,
    services,
    worker,
)
from deploy.embedded import EmbeddedServicesError
from ledger.errors import LedgerError

app = typer.Typer(
    name="points",
    help="Points Ledger: an event-sourced loyalty points ledger with stream processing.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for group in (
    services,
    init,
    program,
    schemas,
    publish,
    worker,
    projections,
    members,
    history,
    dead_letters,
    demo,
):
    group.register(app)


def main() -> None:
    """Run the command line; ends the process with its exit status."""
    try:
        app()
    except (LedgerError, EmbeddedServicesError) as error:
        print(f"error [{error.code}] {error.message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
