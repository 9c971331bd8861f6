"""A back-test: the recorded history of inputs under another program, shard by shard, in parallel.

Effects of decisions on other accounts (a referrer's rewards) need an order. What an account sends
does not depend on what it gets: qualifying and shares go by what was bought. So there are two
rounds. In the first every account is lived through and counted that nobody's effects can reach, and
all effects are gathered, those of the other accounts too; in the second come those. Nothing is
written.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct, field
from psycopg import Connection

from analytics.backtest_account import Effects, Gathered
from analytics.backtest_shard import (
    Options,
    Scan,
    Task,
    chosen_by,
    first_round,
    scan_shard,
    second_round,
)
from analytics.backtest_tally import CHANGED_MAX, Tally, largest
from audit.redecide import JOBS_MAX, Place, Progress, heads
from ledger.accounts import account_id_of
from ledger.core.calendar import format_instant
from ledger.core.program.canonical import canonical
from ledger.core.program.compiled import Compiled, compile_program
from ledger.core.program.form import Program
from ledger.core.program.timeline import Timeline
from ledger.errors import LedgerError
from ledger.sharding import shard_of
from projections.connection import connect
from projections.system import System
from schemas.fields import Instant

T = TypeVar("T")

EFFECTS_MAX = 5_000_000
"""Most effects of a history: each takes some 500 bytes in every process. Beyond it the program's
referrals are too many for one machine's memory, and the back-test is refused."""


class Result(Struct):
    """What a back-test found. `start` and `last`: the first and last moment that it is about;
    `all_members`: how many accounts there are, of which a sample is taken; `warnings`: what could
    not be known."""

    version: str
    recorded_versions: tuple[str, ...]
    currency: str
    start: Instant
    last: Instant
    options: Options
    all_members: int = 0
    tally: Tally = field(default_factory=Tally)
    effects: int = 0
    budgets: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def run(url: str, program: Program, options: Options, progress: Progress | None = None) -> Result:
    """Live through the history of the ledger in the database under another program.

    Raises LedgerError: other_currency, empty_range, no_program, bad_sample, too_many_effects.
    """
    if not 0 < options.sample <= 100:
        raise LedgerError("--sample is a percentage above 0, up to 100.", "bad_sample")
    compiled = compile_program(program)
    with connect(url) as connection:
        places = [place for place in heads(connection) if place.position]
        system = System()
        system.catch_up(connection)
        last = _last(connection)
        row = connection.execute("SELECT shards, program_id FROM ledger.ledger").fetchone()
        assert row is not None, "the session was checked"
        shards, program_id = row
    recorded = system.programs
    result, other = _setting(recorded, compiled, options, last)
    task = _task(url, recorded, other, compiled, result, options)
    task = msgspec.structs.replace(task, shards=shards, program_id=program_id)
    total = sum(place.position for place in places)
    done = 0

    def note(position: int) -> None:
        nonlocal done
        done += position
        if progress is not None:
            progress(done, total)

    jobs = min(options.jobs, JOBS_MAX, max(1, len(places)))
    longest = sorted(places, key=lambda place: -place.position)
    tasks = [msgspec.structs.replace(task, place=place) for place in longest]
    with _Pool(jobs) as pool:
        scanned = {one.place.shard: scan for one, scan in pool.map(scan_shard, tasks)}
        later = _later(scanned, places, program_id, shards)
        known = {name for scan in scanned.values() for name in scan.known}
        firsts = [
            msgspec.structs.replace(
                one,
                later=later[one.place.shard],
                senders=_senders(scanned[one.place.shard], options, program_id),
            )
            for one in tasks
        ]
        found: list[Gathered] = []
        tallies: dict[tuple[int, int], Tally] = {}
        for one, (gathered, tally) in pool.map(first_round, firsts):
            found += gathered
            tallies[1, one.place.shard] = tally
            note(one.place.position)
        effects = _sorted(found, known)
        result.effects = len(found)
        seconds = [
            msgspec.structs.replace(one, effects=effects)
            for one in firsts
            if one.later or effects.fresh
        ]
        for one, tally in pool.map(second_round, seconds):
            tallies[2, one.place.shard] = tally
    result.all_members = sum(scan.members for scan in scanned.values())
    for place_of_tally in sorted(tallies):
        result.tally.add(tallies[place_of_tally], options.top)
    top = min(options.top, CHANGED_MAX)
    tally = result.tally
    tally.changed = largest(tally.changed, top, lambda one: abs(one.change))
    tally.short = largest(tally.short, top, lambda one: one.shortfall)
    return result


def _last(connection: Connection) -> Instant:
    """The latest moment for which anything was decided."""
    row = connection.execute(
        "SELECT (extract(epoch FROM max(decided_to)) * 1000000)::bigint FROM ledger.heads"
        " WHERE shard >= 0 AND position > 0"
    ).fetchone()
    if row is None or row[0] is None:
        raise LedgerError("The log holds no input yet: there is nothing to test.", "empty_range")
    return int(row[0])


def _setting(
    recorded: Timeline, compiled: Compiled, options: Options, last: Instant
) -> tuple[Result, Timeline]:
    if recorded.empty:
        raise LedgerError("No program version is published in this ledger.", "no_program")
    versions = recorded.versions
    form, known = compiled.form, versions[-1][1].form
    if form.currency != known.currency:
        raise LedgerError(
            f"The program is in {form.currency}, the recorded purchases are in {known.currency}:"
            " no other currency can be judged.",
            "other_currency",
        )
    first = versions[0][0]
    start = first if options.start is None else max(first, options.start)
    end = last if options.end is None else min(last, options.end - 1)
    if start > end:
        raise LedgerError(
            f"Nothing is recorded in this range: the log is about {format_instant(first)} to"
            f" {format_instant(last)}.",
            "empty_range",
        )
    other = Timeline([*(one for one in versions if one[0] < start), (start, compiled)])
    result = Result(
        compiled.version,
        tuple(version.version for _, version in versions),
        known.currency,
        start,
        end,
        options,
        warnings=_unknown(recorded, compiled),
    )
    return result, other


def _unknown(recorded: Timeline, compiled: Compiled) -> list[str]:
    """What the new program asks of members that no recorded version had asked."""
    if compiled.asked is None:
        return []
    known: dict[str, set[Any]] = {"tags": set(), "birthdays": set(), "segments": set()}
    for _, version in recorded.versions:
        if version.asked is not None:
            for name in known:
                known[name].update(getattr(version.asked, name))
    found = []
    for name in known:
        missing = [str(one) for one in getattr(compiled.asked, name) if one not in known[name]]
        if missing:
            found.append(
                f"no recorded decision asked for these {name}, so they never hold: "
                + ", ".join(missing)
            )
    return found


def _task(
    url: str,
    recorded: Timeline,
    other: Timeline,
    compiled: Compiled,
    result: Result,
    options: Options,
) -> Task:
    before: dict[str, Any] = {}
    for _, version in recorded.versions:
        before.update(version.budgets)
    result.budgets = {name: budget.total for name, budget in compiled.budgets.items()}
    scarce = {name for name, budget in compiled.budgets.items() if before.get(name) == budget}
    versions = (
        *((at, canonical(version.form), "recorded") for at, version in recorded.versions),
        *((at, canonical(version.form), "other") for at, version in other.versions),
    )
    return Task(
        url,
        Place(0, 0),
        versions,
        result.start,
        options.end,
        result.last,
        options,
        Effects(),
        frozenset(scarce),
        bool(before or compiled.budgets),
        0,
        "",
    )


def _sorted(found: Sequence[Gathered], known: set[str]) -> Effects:
    if len(found) > EFFECTS_MAX:
        raise LedgerError(
            f"The program leads to more than {EFFECTS_MAX} effects: test it on a part of the time"
            " with --from and --to.",
            "too_many_effects",
        )
    effects = Effects({one.id: one.effect for one in found})
    fresh = [one for one in found if one.id not in known]
    for one in sorted(fresh, key=lambda one: (one.effect.occurred_at, one.id)):
        effects.fresh.setdefault(one.effect.target, []).append(one)
    return effects


def _later(
    scanned: Mapping[int, Scan], places: Sequence[Place], program_id: str, shards: int
) -> dict[int, frozenset[UUID]]:
    """By shard, the accounts that may get effects: referrers, and who got one in the log."""
    found = {place.shard: set(scanned[place.shard].takers) for place in places}
    for scan in scanned.values():
        for referrers in scan.senders.values():
            for member_id in referrers:
                shard = shard_of(member_id, shards)
                if shard in found:
                    found[shard].add(account_id_of(program_id, member_id))
    return {shard: frozenset(ids) for shard, ids in found.items()}


def _senders(scan: Scan, options: Options, program_id: str) -> tuple[UUID, ...]:
    """The accounts of the shard whose effects may reach one that is looked at."""
    chosen = chosen_by(options)
    if chosen is None:
        return tuple(sorted(scan.senders))
    return tuple(
        sorted(
            account_id
            for account_id, referrers in scan.senders.items()
            if not referrers or any(chosen(account_id_of(program_id, r)) for r in referrers)
        )
    )


class _Pool:
    """Processes for the shards; with one job everything is done here."""

    def __init__(self, jobs: int) -> None:
        self._pool: ProcessPoolExecutor | None = None
        if jobs > 1:
            self._pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))

    def __enter__(self) -> "_Pool":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def map(self, work: Callable[[Task], T], tasks: Sequence[Task]) -> Iterable[tuple[Task, T]]:
        """Each task with what came of it, as it is done."""
        if self._pool is None:
            for task in tasks:
                yield task, work(task)
            return
        waiting: dict[Future[T], Task] = {self._pool.submit(work, task): task for task in tasks}
        for one in as_completed(waiting):
            yield waiting[one], one.result()
