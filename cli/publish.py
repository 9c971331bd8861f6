"""`points publish`: check a file of events and produce it to Kafka."""

import asyncio
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import msgspec
import typer

from cli.context import print_json, settings_of_services
from cli.progress import bar_shown
from ledger.errors import LedgerError
from ledger.settings import load_settings
from streams.event_lines import BadLine, read_lines
from streams.publish import Produced, PublishFailed, Record, produce

ERRORS_LISTED_MAX = 10_000
"""Refused lines that are listed; the rest is counted. A file of another format is all refused."""

STDIN_MEMORY_BYTES = 16 << 20
"""Of standard input, 16 MiB are kept in memory for the second pass; more goes to a file."""


class Checked(msgspec.Struct):
    """What the first pass found. `errors`: at most ERRORS_LISTED_MAX of the `invalid` lines."""

    valid: int = 0
    invalid: int = 0
    by_type: dict[str, int] = {}
    errors: list[BadLine] = []


def register(app: typer.Typer) -> None:
    """Add the command `publish`."""
    app.command()(publish)


def publish(
    file: Annotated[str, typer.Argument(help="One CloudEvent per line; `-` is standard input.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check only.")] = False,
    skip_invalid: Annotated[
        bool, typer.Option("--skip-invalid", help="Produce the valid lines, leave out the others.")
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Folder of the embedded services (default: POINTS_DATA_DIR)."),
    ] = None,
) -> None:
    """Check a file of events line by line, then produce it, each to its topic under its key.

    Nothing is produced while a line is refused (unless `--skip-invalid`). Publishing a file again
    changes nothing: the ledger knows what it has seen.

    Example: `points publish january.jsonl --dry-run`
    """
    with _opened(file) as source:
        checked = _check(source, show=not as_json)
        refused = checked.invalid > 0 and not skip_invalid
        produced = None
        if not (refused or dry_run) and checked.valid:
            source.seek(0)
            produced = _produce(source, checked, _bootstrap(data_dir))
    if as_json:
        print_json(_report(checked, produced))
    elif not refused:
        _summary(checked, produced, file)
    if refused:
        raise LedgerError(
            f"{checked.invalid} of {checked.invalid + checked.valid} lines are refused and nothing"
            " was produced; correct them, or leave them out with --skip-invalid.",
            "lines_refused",
        )


def _bootstrap(data_dir: Path | None) -> str:
    """The user's own Kafka, or the embedded one. No database is needed here."""
    own = load_settings().kafka_bootstrap
    return own or settings_of_services(kafka=True, data_dir=data_dir).kafka_bootstrap or ""


@contextmanager
def _opened(name: str) -> Iterator[BinaryIO]:
    """The file, able to be read twice."""
    try:
        if name == "-":
            if sys.stdin is None:
                raise LedgerError(
                    "standard input is closed; pipe the events in, or name a file.", "cannot_read"
                )
            with tempfile.SpooledTemporaryFile(STDIN_MEMORY_BYTES) as copy:
                shutil.copyfileobj(sys.stdin.buffer, copy)
                copy.seek(0)
                yield cast(BinaryIO, copy)
        else:
            with Path(name).open("rb") as source:
                if not source.seekable():
                    raise LedgerError(
                        f"{name} can be read once only; pipe it in: `points publish - < {name}`.",
                        "cannot_read",
                    )
                yield source
    except OSError as error:
        raise LedgerError(
            f"cannot read {name}: {error.strerror}; give a file of one event per line.",
            "cannot_read",
        ) from None


def _check(source: BinaryIO, *, show: bool) -> Checked:
    types: Counter[str] = Counter()
    checked = Checked()
    for line in read_lines(source):
        if not isinstance(line, BadLine):
            types[line.type] += 1
            checked.valid += 1
            continue
        checked.invalid += 1
        if len(checked.errors) < ERRORS_LISTED_MAX:
            checked.errors.append(line)
            if show:
                typer.echo(f"line {line.line}: {line.path}: {line.message} [{line.code}]", err=True)
    checked.by_type = dict(types)
    if show and checked.invalid > len(checked.errors):
        typer.echo(f"and {checked.invalid - len(checked.errors)} more refused lines", err=True)
    return checked


def _produce(source: BinaryIO, checked: Checked, bootstrap: str) -> Produced:
    with bar_shown("producing", transient=True) as show:
        records = _records(source, checked)
        return asyncio.run(produce(records, bootstrap, lambda n: show(n, checked.valid)))


def _records(source: BinaryIO, checked: Checked) -> Iterator[Record]:
    """The valid lines again. Raises PublishFailed when the file is not what was checked."""
    valid = invalid = 0
    for line in read_lines(source):
        if isinstance(line, BadLine):
            invalid += 1
        else:
            valid += 1
            yield line.topic, line.key, line.value
        if valid > checked.valid or invalid > checked.invalid:
            break
    if (valid, invalid) != (checked.valid, checked.invalid):
        raise PublishFailed(
            "The file changed while it was published; publish it again when it is complete.",
            "file_changed",
        )


def _report(checked: Checked, produced: Produced | None) -> dict[str, object]:
    return {
        "lines": checked.valid + checked.invalid,
        "valid": checked.valid,
        "invalid": checked.invalid,
        "by_type": checked.by_type,
        "errors": [msgspec.structs.asdict(error) for error in checked.errors],
        "produced": produced.records if produced else 0,
        "by_topic": produced.by_topic if produced else {},
        "seconds": round(produced.seconds, 3) if produced else 0,
    }


def _summary(checked: Checked, produced: Produced | None, file: str) -> None:
    for name, count in sorted(checked.by_type.items()):
        typer.echo(f"{count:>10,}  {name}")
    if checked.invalid:
        typer.echo(f"{checked.invalid:>10,}  left out")
    if produced is None:
        typer.echo(f"{file}: {checked.valid:,} events are valid; nothing was produced.")
        return
    rate = produced.records / max(produced.seconds, 0.001)
    typer.echo(
        f"{file}: {produced.records:,} events produced in {produced.seconds:.1f} s ({rate:,.0f}/s)"
    )
