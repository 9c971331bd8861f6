"""`points projections …`: keep the read models up with the log, say how far they are, rebuild one.

Thin: folding is `projections.runner`, rebuilding `projections.rebuild`.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any

import psycopg
import typer
from psycopg import Connection

from analytics.rfm_nights import RfmNights
from cli import logs
from cli.context import print_json, settings_of_services
from cli.progress import progress_shown
from ledger.crash import crash_point
from ledger.database import unreachable
from ledger.errors import DatabaseUnavailable, LedgerError, StartRefused
from ledger.identity import check_session
from ledger.migrate import no_ledger
from projections import queries
from projections import rebuild as rebuilding
from projections.comparing import Compared
from projections.connection import READING, connect
from projections.errors import ProjectionError
from projections.runner import Runner
from projections.system import System, rfm_segments_without_bounds


class ReadModelName(StrEnum):
    """The read models."""

    balances = "balances"
    tiers = "tiers"
    segments = "segments"
    kpis = "kpis"


class Rebuilt(StrEnum):
    """What can be rebuilt: one of them, or all in one pass over the log."""

    balances = "balances"
    tiers = "tiers"
    segments = "segments"
    kpis = "kpis"
    all = rebuilding.ALL


AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the projections raise into the errors that the command line shows as sentences."""
    try:
        yield
    except ProjectionError as error:
        raise LedgerError(f"{error.message}.", error.code) from error
    except (
        psycopg.errors.UndefinedTable,
        psycopg.errors.InvalidSchemaName,
        psycopg.errors.InvalidParameterValue,  # no such role: no ledger on this server
    ) as error:
        raise no_ledger() from error
    except psycopg.errors.InsufficientPrivilege as error:
        reason = str(error).strip().splitlines()[0]
        raise LedgerError(
            f"The login may not do this ({reason}): auditors are members of points_auditor, who"
            " works on the ledger of points_app; their owner grants it.",
            "not_allowed",
        ) from error
    except psycopg.OperationalError as error:
        reason = str(error).strip().splitlines()[0]
        raise DatabaseUnavailable(
            f"The database did not answer as it should ({reason}): run the command again."
        ) from error


@contextmanager
def reading() -> Iterator[Connection]:
    """A session on the ledger's database, for questions."""
    url = settings_of_services().require_database_url()
    with translated(), _connected(url) as connection:
        check_session(connection)
        yield connection


def _connected(url: str) -> Connection:
    """Raises StartRefused (no_connection)."""
    try:
        return connect(url, roles=READING)
    except (psycopg.errors.InvalidParameterValue, psycopg.errors.InsufficientPrivilege):
        raise
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise unreachable(error) from error


def run(
    until_caught_up: Annotated[
        bool, typer.Option(help="Stop once nothing is left to fold.")
    ] = False,
) -> None:
    """Fold the log into the read models; goes on where it stopped. Ctrl-C ends it in order.

    With POINTS_RFM_REFRESH_HOUR set it also records RFM bounds every day.

    Example: `points projections run --until-caught-up`
    """
    logs.configure()
    settings = settings_of_services()
    url = settings.require_database_url()
    try:
        with reading():
            pass
    except StartRefused as refused:
        if refused.code != "no_connection":  # which the runner waits for
            raise
    runner = Runner(url, step=crash_point)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: runner.stop())
    nights = None
    if settings.rfm_refresh_hour is not None and not until_caught_up:
        nights = RfmNights(settings, settings.rfm_refresh_hour, on_fail=runner.stop)
        nights.start()
    try:
        with translated():
            folded = runner.run(until_caught_up)
    finally:
        if nights is not None:
            nights.stop()
    if nights is not None and nights.failure is not None:
        raise nights.failure
    typer.echo(f"folded {folded} events", err=True)


def status(as_json: AsJson = False) -> None:
    """Say how far each read model is, how many members each segment has, and what is missing.

    Example: `points projections status --json`
    """
    with reading() as connection:
        standings = queries.standings(connection)
        system = System()
        system.catch_up(connection)
        counts = dict(queries.members_of_segments(connection, datetime.now(UTC)))
    waiting = rfm_segments_without_bounds(system)
    if as_json:
        print_json(
            {
                "projections": [standing._asdict() for standing in standings],
                "caught_up": bool(standings)
                and not any(s.behind or s.refreshing for s in standings),
                "segments": counts,
                "segments_without_rfm_bounds": list(waiting),
            }
        )
        return
    if not standings:
        typer.echo("nothing was folded yet: run `points projections run`")
    for standing in standings:
        state = "up to date" if not standing.behind else f"{standing.behind} events behind"
        if standing.refreshing:
            state += f", computing {standing.refreshing} shards anew"
        typer.echo(f"{standing.projection:<10} {standing.folded:>12} events folded, {state}")
    for segment, members in counts.items():
        typer.echo(f"segment {segment}: {members} members now")
    for segment in waiting:
        typer.echo(
            f"segment {segment} is empty until RFM bounds are recorded: "
            "run `points segments refresh`"
        )


Name = Annotated[ReadModelName, typer.Argument(help="Which read model.")]


def rebuild(
    name: Annotated[Rebuilt, typer.Argument(help="Which read model, or all in one pass.")],
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Processes that fold.")] = 1,
    accept_differences: Annotated[
        bool, typer.Option(help="Exchange them also when the rows are others than those read.")
    ] = False,
    discard: Annotated[
        bool, typer.Option(help="Throw away a rebuild that was broken off, and do nothing else.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Build one read model anew from the log beside the one that is read, compare, exchange them;
    `all`: every one, in one pass over the log and one exchange.

    Readers and runners go on meanwhile. The same command goes on where one was broken off. What was
    read is kept: `points projections restore` is the way back.

    Example: `points projections rebuild segments --jobs 2`
    """
    url = _owner_url()
    if discard:
        with translated():
            found = rebuilding.discard(url, name)
        typer.echo(f"{name}: {'thrown away' if found else 'no rebuild was under way'}", err=True)
        return
    with translated(), progress_shown(name) as told:
        done = rebuilding.rebuild(
            url, name, told, crash_point, jobs=jobs, accept_differences=accept_differences
        )
    compared = done.compared
    if as_json:
        print_json(
            {
                "projection": name.value,
                "events": done.events,
                "rows_compared": None if compared is None else compared.rows,
                "differences": None if compared is None else compared.differences,
                "first_difference": None
                if compared is None or compared.first is None
                else compared.first._asdict(),
            }
        )
        return
    typer.echo(f"{name}: folded {done.events} events anew, {_compared(compared)}, exchanged")


def _compared(compared: Compared | None) -> str:
    if compared is None:
        return "compared nothing"
    if compared.first is None:
        return f"compared {compared.rows} rows, all the same"
    return f"compared {compared.rows} rows, {compared.differences} others, first {compared.first}"


def restore(name: Name) -> None:
    """The way back: read again what was read before the last rebuild (or before the last restore).

    It is folded on from where it stood.

    Example: `points projections restore segments`
    """
    url = _owner_url()
    with translated():
        rebuilding.restore(url, name)
    typer.echo(f"{name}: what was read before is read again; `points projections run` folds it on")


def drop_old(name: Name) -> None:
    """Drop what the last rebuild kept for the way back.

    Example: `points projections drop-old segments`
    """
    url = _owner_url()
    with translated():
        found = rebuilding.drop_old(url, name)
    typer.echo(f"{name}: {'dropped' if found else 'nothing was kept'}")


def _owner_url() -> str:
    with reading():
        pass
    return settings_of_services().require_database_url()


def moment_json(moment: datetime | None) -> Any:
    """RFC 3339 with Z, None for an open end."""
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        help="The read models: run, status, rebuild.\n\nExample: `points projections status`",
        no_args_is_help=True,
    )
    group.command()(run)
    group.command()(status)
    group.command()(rebuild)
    group.command()(restore)
    group.command("drop-old")(drop_old)
    app.add_typer(group, name="projections")
