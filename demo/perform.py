"""The acts of the demo in order: services, ledger, load, checks, summary; and the way out.

Whatever ends it (success, an error, Ctrl-C), the worker and the projections are stopped in order
and so are embedded services, unless they are to be kept. A new start goes on where this one
ended.
"""

import asyncio
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from audit.entries import explain
from cli.context import data_dir_of, own_services, with_services
from cli.init import initialise
from cli.program import read_program
from demo import checks, grocer, summary
from demo.run import Clock, Load, Options, Screen, balances_at, children, load
from deploy import embedded
from ledger.core.calendar import format_instant, from_instant
from ledger.core.program.canonical import version_of
from ledger.core.program.form import Program
from ledger.errors import ChainBroken, LedgerError
from ledger.settings import Settings, load_settings
from schemas.fields import Instant

PROGRAM = Path(__file__).with_name("program.yaml")
"""The demo's own program."""

ENTRIES_EXPLAINED = 8
"""The busiest account's last entries that the summary explains: a screen's worth."""


def perform(
    *,
    households: int | None,
    program: Path | None,
    at: Instant,
    keep: bool,
    data_dir: Path | None,
    screen: Screen,
) -> dict[str, Any]:
    """Run the demo and return its report; `ok` tells whether every check passed.

    Raises LedgerError, EmbeddedServicesError.
    """
    clock = Clock()
    begun = time.monotonic()
    options = Options(program if program is not None else PROGRAM, at, households)
    _check(read_program(options.program))
    with _services(options, data_dir, keep, clock, screen) as settings:
        with clock.stage("prepare"):
            ledger = initialise(options.program, settings)
        running = children(settings, _environment(settings))
        try:
            with clock.stage("load"):
                done = asyncio.run(load(settings, options, running, screen))
        finally:
            peaks = {c.name: mib for c in running if (mib := c.peak_memory_mib()) is not None}
            with clock.stage("stop"):
                for child in running:
                    child.stop()
        report = _report(settings, options, done, clock, screen)
    report.update(
        program_id=ledger["program"],
        ledger_id=ledger["ledger_id"],
        peak_memory_mib=peaks,
        data_dir=str(settings.data_dir),
        kept=keep,
    )
    report["seconds"] = time.monotonic() - begun
    report["purchases_per_second"] = done.purchases / report["seconds"]
    report["stages"] = _stages(clock, done)
    report["try_next"] = _try_next(report)
    return report


def _check(program: Program) -> None:
    """A program that cannot judge the demo's data is refused before anything is started."""
    if program.currency != grocer.CURRENCY:
        raise LedgerError(
            f"The grocer's amounts are in {grocer.CURRENCY}, the program is in {program.currency}:"
            f" choose a program in {grocer.CURRENCY}.",
            "other_currency",
        )


def _points() -> str:
    """How the command is typed here: by its name if that is on the path."""
    if shutil.which("points") is not None:
        return "points"
    return _short(Path(sys.executable).with_name("points"))


def _short(path: Path) -> str:
    """Relative to the current folder where it lies below that."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


@contextmanager
def _services(
    options: Options, data_dir: Path | None, keep: bool, clock: Clock, screen: Screen
) -> Iterator[Settings]:
    if own_services():
        settings = load_settings()
        if settings.database_url is None or settings.kafka_bootstrap is None:
            raise LedgerError(
                "Only one of your own services is named: set POINTS_DATABASE_URL and"
                " POINTS_KAFKA_BOOTSTRAP, or neither.",
                "half_set",
            )
        yield settings
        return
    folder = data_dir if data_dir is not None else _folder(options.program)
    with clock.stage("services"):
        running = embedded.start(folder, progress=screen.say)
    try:
        yield with_services(load_settings(), running)
    finally:
        if not keep:
            with clock.stage("stop"):
                embedded.stop(folder, progress=screen.say)


def _folder(program: Path) -> Path:
    """A program's ledger is its own for ever, so each program version gets a folder of its own."""
    base = data_dir_of(None)
    if program == PROGRAM:
        return base / "demo"
    return base / f"demo-{version_of(read_program(program))[:12]}"


def _environment(settings: Settings) -> dict[str, str]:
    assert settings.kafka_bootstrap is not None
    return {
        "POINTS_DATABASE_URL": settings.require_database_url(),
        "POINTS_KAFKA_BOOTSTRAP": settings.kafka_bootstrap,
        "POINTS_DATA_DIR": str(settings.data_dir),
        "POINTS_HTTP_PORT": "0",
    }


def _report(
    settings: Settings, options: Options, done: Load, clock: Clock, screen: Screen
) -> dict[str, Any]:
    reference = checks.Reference(options.program, from_instant(options.at), options.households)
    try:
        with psycopg.connect(settings.require_database_url(), autocommit=True) as connection:
            screen.say("checking: balances, postings, hash chain, reference model")
            with clock.stage("check balances"):
                rows = balances_at(connection, options.at)
                if options.households is not None:
                    chosen = {str(h) for h in grocer.choose(options.households) or ()}
                    rows = {m: row for m, row in rows.items() if m in chosen}
            with clock.stage("check postings"):
                postings_sum, unbalanced, events = checks.postings(connection)
            with clock.stage("check hash chain"):
                chain_error = _verified(settings)
            with clock.stage("summary"):
                gathered = summary.gather(connection, options.at, rows)
                if gathered["busiest"] is not None:
                    gathered["busiest"]["entries"] = _entries(
                        connection, gathered["busiest"]["member_id"]
                    )
        with clock.stage("check reference model"):
            compared = reference.compare(rows)
    except BaseException:
        reference.abandon()
        raise
    accounted = sum(done.all_outcomes.values()) == done.records
    effects_accounted = sum(done.effect_outcomes.values()) == done.effects
    report: dict[str, Any] = {
        "ok": accounted
        and effects_accounted
        and postings_sum == 0
        and unbalanced == 0
        and chain_error is None
        and (compared.unsupported is not None or compared.agreeing == compared.members),
        "at": format_instant(options.at),
        "households": options.households,
        "published": done.published,
        **done.outcomes,
        "accounted": accounted and effects_accounted,
        "ever": {"published": done.records, **done.all_outcomes},
        "effects": {"published": done.effects, **done.effect_outcomes},
        "purchases": done.purchases,
        "members": compared.members,
        "members_agreeing": None if compared.unsupported is not None else compared.agreeing,
        "reference_unsupported": compared.unsupported,
        "differences": list(compared.differences),
        "events": events,
        "postings_sum": postings_sum,
        "unbalanced_events": unbalanced,
        "chain_verified": chain_error is None,
        "chain_error": chain_error,
        **gathered,
    }
    return report


def _verified(settings: Settings) -> str | None:
    """Why the log does not verify; None when it does."""
    try:
        asyncio.run(checks.verify_chain(settings))
    except ChainBroken as error:
        return error.message
    return None


def _entries(connection: psycopg.Connection[Any], member_id: str) -> list[str]:
    entries = []
    for event, currency in checks.last_events(connection, member_id, ENTRIES_EXPLAINED):
        told = explain(event, currency)
        entries.append(f"{format_instant(event.occurred_at)}  {told.headline}")
        entries.extend(f"    {detail}" for detail in told.details)
    return entries


def _stages(clock: Clock, done: Load) -> dict[str, dict[str, float]]:
    stages: dict[str, dict[str, float]] = {}
    for name, seconds in clock.stages.items():
        stages[name] = {
            "seconds": seconds,
            "purchases_per_second": done.purchases / max(seconds, 0.001),
        }
        if name == "load":
            for part, part_seconds in (
                ("load: produce", done.produce_seconds),
                ("load: decide and append", done.handled_seconds),
                ("load: fold into read models", done.folded_seconds),
            ):
                stages[part] = {
                    "seconds": part_seconds,
                    "purchases_per_second": done.purchases / max(part_seconds, 0.001),
                }
    return stages


def _try_next(report: Mapping[str, Any]) -> list[str]:
    """Commands for a look around, ready to be typed."""
    own = own_services()
    folder = _short(Path(report["data_dir"]))
    points = _points()
    where = points if own else f"POINTS_DATA_DIR={folder} {points}"
    member = report["busiest"]["member_id"] if report["busiest"] else "1"
    commands = [
        f"{where} balance {member} --at {report['at']}",
        f"{where} history {member}",
        f"{where} segments {member} --at {report['at']}",
        f"{where} balances --at {report['at']} --csv",
        f"{where} dead-letters list",
        f"{where} api keys create --client me --role viewer --role operator",
        f"{where} serve    (then sign in with that key at {_console()})",
    ]
    if own:
        return commands
    before = [] if report["kept"] else [f"{points} up --data-dir {folder}"]
    return [*before, *commands, f"{points} down --data-dir {folder}"]


def _console() -> str:
    """Where the console is, as the API listens without being told otherwise."""
    settings = load_settings()
    return f"http://{settings.api_host}:{settings.api_port}/console"
