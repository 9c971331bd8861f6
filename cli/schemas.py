"""`points schemas`: generate the contract files from the types, or check that they are current."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ledger.errors import LedgerError
from schemas import files


def register(app: typer.Typer) -> None:
    """Add the command `schemas`."""

    @app.command()
    def schemas(
        check: Annotated[
            bool, typer.Option("--check", help="Write nothing; fail when a file is not current.")
        ] = False,
        to: Annotated[
            Path | None, typer.Option("--to", help="Write below this folder instead.")
        ] = None,
    ) -> None:
        """Generate JSON Schema files and the AsyncAPI document from the event types.

        Example: `points schemas --to contracts/`
        """
        folder = to or files.FOLDER
        if check:
            if different := files.stale(folder):
                raise LedgerError(
                    f"not as the types say: {', '.join(different)}; run `points schemas`.",
                    "schemas_stale",
                )
            print("The contract files are as the types say.", file=sys.stderr)
            return
        try:
            changed = files.write(folder)
        except OSError as error:
            raise LedgerError(
                f"cannot write {error.filename}: {error.strerror}; choose a folder with --to.",
                "cannot_write",
            ) from None
        for name in changed:
            print(folder / name)
        print(f"{len(changed)} file(s) changed.", file=sys.stderr)
