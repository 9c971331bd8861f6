"""`points program …`: check a program file, publish a version, list and show versions.

Thin: reading and checking is `ledger.core.program.load`, publishing is the ledger's own.
"""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.context import open_ledger, print_json, run
from ledger.core.calendar import format_instant, to_instant
from ledger.core.program.canonical import canonical, version_of
from ledger.core.program.compiled import Compiled
from ledger.core.program.document import FILE_SIZE_MAX, write_document
from ledger.core.program.form import Program
from ledger.core.program.load import ProgramErrors, load_program
from ledger.core.program.timeline import Timeline
from ledger.errors import ProgramRefused
from ledger.programs import version_named

SHOWN = 12
"""Characters of a version shown in lists: enough to tell versions apart, and to name one."""

group = typer.Typer(
    help="Check, publish and show program versions; run the past under another one.\n\n"
    "Example: `points program check program.yaml`",
    no_args_is_help=True,
)

ProgramFile = Annotated[Path, typer.Argument(help="The program's YAML file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def read_program(path: Path) -> Program:
    """The checked program in a file.

    Raises ProgramRefused: `unreadable_file`, or `bad_program` with all problems in the message.
    """
    try:
        return load_program(_text(path), str(path))
    except ProgramErrors as error:
        count = len(error.problems)
        what = "1 problem" if count == 1 else f"{count} problems"
        raise ProgramRefused(f"{path} has {what}:\n{error}", "bad_program") from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            # One byte more than is allowed, so that a larger file is refused for its size.
            return file.read(FILE_SIZE_MAX + 1).decode()
    except OSError as error:
        raise ProgramRefused(
            f"cannot read {path}: {error.strerror}; name a program's YAML file.", "unreadable_file"
        ) from None
    except UnicodeDecodeError as error:
        message = f"{path} is not UTF-8 (byte {error.start}); save it as UTF-8"
        raise ProgramRefused(message, "unreadable_file") from None


def check(file: ProgramFile, as_json: AsJson = False) -> None:
    """Check a program file; tell every problem with line and sentence.

    Example: `points program check program.yaml`
    """
    if not as_json:
        program = read_program(file)
        rules = ", ".join(rule.id for rule in program.earn)
        typer.echo(f"{file} is a program that can be used: {program.program}, {program.currency}")
        typer.echo(f"version {version_of(program)}")
        typer.echo(f"in force from {_start(program)}")
        typer.echo(f"rules: {rules}")
        return
    try:
        program = load_program(_text(file), str(file))
    except ProgramErrors as error:
        problems = [
            {"code": p.code, "path": p.path, "line": p.line, "message": p.message}
            for p in error.problems
        ]
        print_json({"ok": False, "file": str(file), "problems": problems})
        raise typer.Exit(1) from None
    print_json(
        {
            "ok": True,
            "file": str(file),
            "problems": [],
            "program": program.program,
            "version": version_of(program),
            "effective_from": _start(program),
        }
    )


def publish(file: ProgramFile, as_json: AsJson = False) -> None:
    """Publish a program file: from its `effective_from` on it decides. The same again is no change.

    Example: `points program publish program.yaml`
    """
    program = read_program(file)
    version, fresh = run(_publish(program))
    if as_json:
        print_json({"version": version, "published": fresh, "effective_from": _start(program)})
    elif fresh:
        typer.echo(f"published version {version}, in force from {_start(program)}")
    else:
        typer.echo(f"version {version} is published already; nothing changed")


async def _publish(program: Program) -> tuple[str, bool]:
    async with open_ledger() as ledger:
        done: tuple[str, bool] = await ledger.publish_program(program)
        return done


def list_versions(as_json: AsJson = False) -> None:
    """List the published versions, by the moment from which they are in force.

    Example: `points program list`
    """
    versions = [_row(program) for _, program in run(_timeline()).versions]
    if as_json:
        print_json(versions)
        return
    if not versions:
        typer.echo("no program version is published; use `points program publish FILE`")
    for row in versions:
        typer.echo(f"{row['version'][:SHOWN]}  from {row['effective_from']}  {row['rules']} rules")


async def _timeline() -> Timeline:
    async with open_ledger() as ledger:
        timeline: Timeline = await ledger.reload_programs()
        return timeline


def _row(program: Compiled) -> dict[str, Any]:
    return {
        "version": program.version,
        "program": program.form.program,
        "effective_from": format_instant(program.effective_from),
        "rules": len(program.rules),
    }


def show(
    which: Annotated[
        str, typer.Argument(metavar="VERSION|FILE", help="A version (or its beginning), or a file.")
    ],
    as_json: AsJson = False,
) -> None:
    """Show a program in its normal form, which is what its version is the hash of.

    Example: `points program show 3f9a1c20`
    """
    path = Path(which)
    if path.is_file():
        program = read_program(path)
        version = version_of(program)
    else:
        found = version_named(run(_timeline()), which)
        program, version = found.form, found.version
    content = json.loads(canonical(program))
    if as_json:
        print_json({"version": version, "content": content})
        return
    typer.echo(f"# version {version}")
    typer.echo(write_document(content), nl=False)


def _start(program: Program) -> str:
    return format_instant(to_instant(program.effective_from))


def register(app: typer.Typer) -> None:
    """Add the group `program`."""
    group.command()(check)
    group.command()(publish)
    group.command("list")(list_versions)
    group.command()(show)
    app.add_typer(group, name="program")
