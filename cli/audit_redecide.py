"""`points audit redecide`: decide every recorded input again and compare with what is stored."""

from typing import Annotated

import typer

from audit import redecide
from audit.deciding_again import Difference, Tally, as_json
from cli.audit import commands
from cli.context import print_json, settings_of_services
from cli.progress import bar_shown
from cli.projections import reading, translated

SHOWN = 20
"""Differences printed: enough to see what is wrong. `--json` has more."""


def run(
    jobs: Annotated[int, typer.Option(min=1, max=redecide.JOBS_MAX, help="Processes.")] = (
        redecide.JOBS
    ),
    shard: Annotated[
        list[int] | None, typer.Option(help="Only this shard; may be given again.")
    ] = None,
    as_json_text: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Decide every recorded input again, with the program version and the facts of its event, and
    compare each decision byte for byte with the stored one. Nothing is written. Exit code 1 where
    one differs.

    Example: `points audit redecide --jobs 2`
    """
    url = settings_of_services().require_database_url()
    with reading():
        pass
    with translated(), bar_shown("deciding again") as show:
        report = redecide.run(url, jobs=jobs, shards=shard, progress=show)
    if as_json_text:
        heads = {str(shard): position for shard, position in report.heads.items()}
        print_json({"equal": report.equal, "heads": heads, **as_json(report.tally)})
    else:
        print_tally(report.tally)
    if not report.equal:
        raise typer.Exit(1)


def print_tally(tally: Tally) -> None:
    """What deciding again came to, in words."""
    typer.echo(
        f"{tally.accounts} accounts, {tally.events} events: {sum(tally.inputs.values())} inputs and"
        f" {tally.ticks} settlings decided again"
    )
    for name, count in sorted(tally.inputs.items()):
        typer.echo(f"  {name:<26} {count:>12}")
    if not tally.differing:
        typer.echo("every decision is what its input leads to")
        return
    typer.echo(f"{tally.differing} decisions differ:")
    for one in tally.differences[:SHOWN]:
        typer.echo(f"  {told(one)}")
    if tally.differing > SHOWN:
        typer.echo(f"  … and {tally.differing - SHOWN} more (--json tells {SHOWN * 5} a shard)")
    if tally.unfolded:
        typer.echo(f"{tally.unfolded} events after them cannot be folded any more")


def told(one: Difference) -> str:
    """A difference as a line."""
    after = f" (after {one.follows} others of this account)" if one.follows else ""
    where = f" at {one.field}" if one.field else ""
    return (
        f"shard {one.shard}, position {one.position}, member {one.member_id}: {one.type}{where}:"
        f" stored {one.stored}, decided again {one.decided}{after}"
    )


def register(_app: typer.Typer) -> None:
    """Add the command to the group `audit`."""
    commands.command("redecide")(run)
