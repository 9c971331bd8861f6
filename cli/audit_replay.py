"""`points audit replay`: thin; the work is `audit.replay`."""

from time import monotonic
from typing import Annotated, Any

import typer

from audit import redecide
from audit.deciding_again import as_json as decided_json
from audit.replay import ModelReplayed, Replayed, drop
from audit.replay import replay as replay_log
from cli.audit import commands
from cli.audit_redecide import print_tally
from cli.context import print_json, settings_of_services
from cli.progress import progress_shown
from cli.projections import reading, translated
from ledger.crash import crash_point
from projections.comparing import Compared


def replay(
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes.")] = 1,
    keep: Annotated[
        bool, typer.Option(help="Leave what was folded in the schema audit_scratch, to look at it.")
    ] = False,
    discard: Annotated[
        bool, typer.Option(help="Drop what an earlier replay left, and do nothing else.")
    ] = False,
    decide: Annotated[
        bool, typer.Option(help="Then decide every recorded input again, as `redecide` does.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fold the log from its beginning into a scratch schema and compare every row of every read
    model; then decide every input again and compare. Exit status 1 where something differs; the
    first of each table is named.

    Nothing that is read is changed, and everything goes on meanwhile. The same command goes on
    where one was broken off.

    Example: `points audit replay --jobs 2`
    """
    url = settings_of_services().require_database_url()
    with reading():
        pass
    if discard:
        with translated():
            found = drop(url)
        typer.echo("dropped" if found else "nothing was left", err=True)
        return
    begun = monotonic()
    with translated(), progress_shown("replay") as told:
        replayed = replay_log(url, jobs=jobs, keep=keep, progress=told, step=crash_point)
        seconds = monotonic() - begun
        decided = None
        if decide:
            decided = redecide.run(
                url, jobs=jobs, progress=lambda done, total: told("deciding again", done, total)
            )
    if as_json:
        again = decided and {"equal": decided.equal, **decided_json(decided.tally)}
        print_json({**_json(replayed, seconds), "decided": again})
    else:
        _print(replayed, seconds)
        if decided is not None:
            print_tally(decided.tally)
    if not replayed.equal or (decided is not None and not decided.equal):
        raise typer.Exit(1)


def _json(replayed: Replayed, seconds: float) -> dict[str, Any]:
    first = replayed.first
    return {
        "equal": replayed.equal,
        "events": replayed.events,
        "seconds": round(seconds, 1),
        "models": [_model(model) for model in replayed.models],
        "first_difference": None if first is None else first._asdict(),
        "kept": replayed.kept,
    }


def _model(model: ModelReplayed) -> dict[str, Any]:
    return {
        "projection": model.projection,
        "position": model.position,
        "behind": model.behind,
        "tables": {name: _table(compared) for name, compared in model.tables.items()},
    }


def _table(compared: Compared) -> dict[str, Any]:
    return {
        "rows": compared.rows,
        "differences": compared.differences,
        "first": None if compared.first is None else compared.first._asdict(),
    }


def _print(replayed: Replayed, seconds: float) -> None:
    typer.echo(f"{replayed.events} events folded from the beginning, in {seconds:.1f} s")
    for model in replayed.models:
        compared = model.compared
        behind = f", {model.behind} events behind the log" if model.behind else ""
        found = f"{compared.rows:>12} rows, {compared.differences} differ"
        typer.echo(f"{model.projection:<10} {found}{behind}")
        for table in model.tables.values():
            if table.first is not None:
                typer.echo(f"WRONG {table.first}")
    if replayed.kept is not None:
        typer.echo(f"kept in schema {replayed.kept}; `points audit replay --discard` drops it")
    if replayed.equal:
        typer.echo("every row is what the log gives")


def register(_app: typer.Typer) -> None:
    """Add the command to the group `audit`."""
    commands.command("replay")(replay)
