"""`points audit verify`: thin; the work is `audit.verify`."""

import signal
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated

import msgspec
import typer

from audit.held import check_held
from audit.page import page
from audit.report import Report
from audit.verify import JOBS
from audit.verify import verify as verify_ledger
from cli.audit_checkpoint import loaded
from cli.context import settings_of_services
from cli.main import INTERRUPTED
from cli.progress import bar_shown
from cli.projections import translated

SHOWN_MAX = 20
"""Differences printed; the JSON and the page hold all of them."""


def verify(
    shard: Annotated[
        list[int] | None,
        typer.Option(help="Only this shard; may be given more than once. -1: the system shard."),
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=64, help="Processes, each with shards of its own.")
    ] = JOBS,
    read_models: Annotated[
        bool, typer.Option(help="Compare every row of the read models with the log.")
    ] = True,
    resume: Annotated[
        Path | None,
        typer.Option(help="A file that says how far it came: the same command goes on from it."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="A checkpoint, or a folder of them: the log must still hold them."),
    ] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="The key that checks the checkpoints' signatures.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write the report as a page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Recompute the hash chains and compare all that follows from the log. Exit status 1 when
    something is wrong; the first wrong position of each shard is named.

    Example: `points audit verify --resume audit.state --html audit.html`
    """
    url = settings_of_services().require_database_url()
    extra = None
    if checkpoint is not None:
        extra = partial(check_held, checkpoints=loaded(checkpoint, public_key))
        if public_key is None:
            typer.echo("the checkpoints' signatures are not checked: name --public-key", err=True)
    stop = _Stop()
    with translated(), bar_shown("verifying") as show, stop:
        report = verify_ledger(
            url,
            shards=shard or (),
            jobs=jobs,
            read_models=read_models,
            resume=resume,
            show=show,
            stopping=stop.asked,
            extra=extra,
        )
    if html is not None:
        html.write_text(page(report), encoding="utf-8")
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        _print(report)
    if not report.ended:
        if resume is not None:
            typer.echo("stopped; the same command goes on from here", err=True)
        raise typer.Exit(INTERRUPTED)
    if not report.ok:
        raise typer.Exit(1)


class _Stop:
    """Ctrl-C asks the audit to end after the step under way; a second one ends it at once."""

    def __init__(self) -> None:
        self._asked = False

    def asked(self) -> bool:
        """Whether it was pressed."""
        return self._asked

    def __enter__(self) -> None:
        self._before = signal.signal(signal.SIGINT, self._hear)

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _hear(self, _number: int, _frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True


def _print(report: Report) -> None:
    events = sum(shard.events for shard in report.shards)
    inputs = sum(shard.inputs for shard in report.shards)
    folded = sum(shard.folded for shard in report.shards)
    typer.echo(
        f"{len(report.shards)} shards, {events} events and {inputs} dedupe rows verified,"
        f" {folded} events folded for the read models, in {report.seconds:.1f} s"
    )
    for line in report.checkpoints:
        typer.echo(line)
    for shard in report.shards:
        for reason in shard.not_compared:
            typer.echo(f"not compared: shard {shard.shard}: {reason}")
    for finding in report.findings[:SHOWN_MAX]:
        many = f" ({finding.count} rows differ)" if finding.count > 1 else ""
        typer.echo(f"WRONG {finding.place}: {finding.what}{many} [{finding.code}]")
        typer.echo(f"      {finding.do}")
    if len(report.findings) > SHOWN_MAX:
        typer.echo(f"… and {len(report.findings) - SHOWN_MAX} more; see --json or --html")
    if report.ok:
        typer.echo("nothing is wrong")


def register(group: typer.Typer) -> None:
    """Add the command to the group `points audit`."""
    group.command()(verify)
