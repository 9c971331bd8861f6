"""A back-test: the recorded history of inputs under another program, shard by shard, in parallel.

First the effects of decisions on other accounts (a referrer's rewards) are gathered, by living
through the accounts that have any under the new program. What an account sends does not depend on
what it gets: qualifying and shares go by what was bought. So one gathering is enough. Then every
account is lived through under both programs and counted. Nothing is written.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import psycopg
from msgspec import Struct, field
from psycopg import Connection

from analytics.backtest_account import Effects, Gathered, Play, Setting
from analytics.backtest_tally import CHANGED_MAX, Member, Tally, largest
from audit.redecide import JOBS, JOBS_MAX, Log, Place, Progress, accounts, heads
from ledger.accounts import account_id_of
from ledger.core.account import ANONYMOUS
from ledger.core.calendar import format_instant
from ledger.core.program.canonical import canonical, from_canonical
from ledger.core.program.compiled import Compiled, compile_program
from ledger.core.program.form import Program
from ledger.core.program.timeline import Timeline
from ledger.errors import LedgerError
from ledger.sharding import shard_of
from projections.connection import connect
from projections.log import histories
from projections.system import System
from schemas.fields import Instant
from schemas.log_events import decode_account_event

T = TypeVar("T")

TOP = 10
"""Members told as changed the most, where no number is asked for."""

EFFECTS_MAX = 5_000_000
"""Most effects of a history: each takes some 500 bytes in every process. Beyond it the program's
referrals are too many for one machine's memory, and the back-test is refused."""

SAMPLE_PARTS = 1_000_000
"""In how many parts the members are divided for a sample: a part is what a percent is exact to."""

ACCOUNTS_AT_ONCE = 200
"""Accounts of one query."""


class Options(Struct, frozen=True):
    """What is asked. [`start`, `end`): whose inputs are decided anew; None: all. `sample`: percent
    of the members, with `seed`. `top`: how many members are told as changed the most. `members`: a
    folder for one Parquet file of members per shard."""

    start: Instant | None = None
    end: Instant | None = None
    jobs: int = JOBS
    sample: float = 100.0
    seed: int = 0
    top: int = TOP
    members: str | None = None


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


class _Task(Struct, frozen=True):
    """What a process is told of its shard. Programs travel in their canonical form."""

    url: str
    place: Place
    versions: tuple[tuple[Instant, bytes, str], ...]
    start: Instant
    end: Instant | None
    last: Instant
    options: Options
    effects: Effects
    scarce: frozenset[str]
    counts_budgets: bool


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
    recorded = system.programs
    result, other = _setting(recorded, compiled, options, last)
    task = _task(url, recorded, other, compiled, result, options)
    total = sum(place.position for place in places)
    done = 0

    def note(position: int) -> None:
        nonlocal done
        done += position
        if progress is not None:
            progress(done, total)

    jobs = min(options.jobs, JOBS_MAX, max(1, len(places)))
    longest = sorted(places, key=lambda place: -place.position)
    with _Pool(jobs) as pool:
        effects = Effects()
        if any(version.form.referral for _, version in other.versions):
            known: set[str] = set()
            found: list[Gathered] = []
            tasks = [msgspec.structs.replace(task, place=place) for place in longest]
            for _, (gathered, ids) in pool.map(gather_shard, tasks):
                found += gathered
                known |= ids
            effects = _sorted(found, known)
            result.effects = len(found)
        tasks = [msgspec.structs.replace(task, place=p, effects=effects) for p in longest]
        shards: dict[int, tuple[int, Tally]] = {}
        for one, counted in pool.map(play_shard, tasks):
            shards[one.place.shard] = counted
            note(one.place.position)
    for shard in sorted(shards):
        members, tally = shards[shard]
        result.all_members += members
        result.tally.add(tally, options.top)
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
) -> _Task:
    before: dict[str, Any] = {}
    for _, version in recorded.versions:
        before.update(version.budgets)
    result.budgets = {name: budget.total for name, budget in compiled.budgets.items()}
    scarce = {name for name, budget in compiled.budgets.items() if before.get(name) == budget}
    versions = (
        *((at, canonical(version.form), "recorded") for at, version in recorded.versions),
        *((at, canonical(version.form), "other") for at, version in other.versions),
    )
    return _Task(
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


# --- in the processes ---------------------------------------------------------------------------


VERSIONS_KNOWN_MAX = 64
"""Compiled program versions that a process remembers from shard to shard."""


@lru_cache(VERSIONS_KNOWN_MAX)
def _compiled(content: bytes) -> Compiled:
    return compile_program(from_canonical(content))


def _of(task: _Task) -> Setting:
    timelines = {
        which: Timeline(
            [(at, _compiled(content)) for at, content, of in task.versions if of == which]
        )
        for which in ("recorded", "other")
    }
    return Setting(
        timelines["recorded"],
        timelines["other"],
        task.start,
        task.end,
        task.last,
        task.effects,
        task.scarce,
        task.counts_budgets,
        {},
    )


_SENDING = """
SELECT account_id, type, payload FROM ledger.events
WHERE shard = %s AND position <= %s AND (
    type IN ('ReferralAccepted', 'AccountAbsorbed', 'RewardReceived', 'RewardTakenBack')
    OR (type = 'InputRefused' AND (position('"referral.registered.v1"'::bytea in payload) > 0
        OR position('"effect.'::bytea in payload) > 0)))
"""


def gather_shard(task: _Task) -> tuple[list[Gathered], set[str]]:
    """The effects of the shard's accounts under the new program, and the ids of those that the log
    records at their targets."""
    found: list[Gathered] = []
    known: set[str] = set()
    sending: dict[UUID, None] = {}
    with connect(task.url) as connection, connect(task.url) as beside:
        place = task.place
        for account_id, kind, payload in connection.execute(_SENDING, place, binary=True):
            event = decode_account_event(payload)
            if kind in ("ReferralAccepted", "AccountAbsorbed") or (
                kind == "InputRefused" and getattr(event, "input_type", "")[:8] == "referral"
            ):
                sending[account_id] = None
            elif event.cause is not None:
                known.add(event.cause.id)
        setting, log, scratch = _of(task), _log(beside), Tally()
        ids = sorted(sending)
        for first in range(0, len(ids), ACCOUNTS_AT_ONCE):
            page = ids[first : first + ACCOUNTS_AT_ONCE]
            by_account: dict[UUID, list[Any]] = {}
            for entry in histories(connection, place.shard, page, place.position):
                by_account.setdefault(entry.account_id, []).append(entry)
            for entries in by_account.values():
                _play(Play(setting, entries[0].member_id, log, scratch, found.append), entries)
    return found, known


def play_shard(task: _Task) -> tuple[int, Tally]:
    """Live through the shard's accounts; how many there are, and what was counted."""
    tally, options, seen = Tally(), task.options, 0
    chosen = None
    if options.sample < 100:
        chosen = _Sample(options.seed, round(options.sample * SAMPLE_PARTS / 100))
    setting = _of(task)
    members: list[Member] = []
    fresh = set(task.effects.fresh)
    with connect(task.url) as connection, connect(task.url) as beside:
        log = _log(beside)
        for member_id, entries in accounts(connection, task.place, chosen):
            if member_id == ANONYMOUS:
                continue
            seen += 1
            fresh.discard(member_id)
            _counted(setting, member_id, log, tally, entries, options, members)
        for member_id in sorted(fresh):
            if shard_of(member_id, log.shards) != task.place.shard or log.knows(member_id):
                continue
            if chosen is None or chosen.has(account_id_of(log.program_id, member_id)):
                _counted(setting, member_id, log, tally, (), options, members)
    if options.members is not None:
        from analytics.backtest_files import write_members

        write_members(options.members, task.place.shard, members)
    return (seen if chosen is None else chosen.asked - _anonymous(task)), tally


def _counted(
    setting: Setting,
    member_id: str,
    log: Log,
    tally: Tally,
    entries: Iterable[Any],
    options: Options,
    members: list[Member],
) -> None:
    play = Play(setting, member_id, log, tally)
    why = _play(play, entries)
    if why is not None:
        tally.left_out.append((member_id, why))
        return
    tally.end(play.member, options.top)
    if options.members is not None:
        members.append(play.member)


def _play(play: Play, entries: Iterable[Any]) -> str | None:
    """Live through an account; why it has to be left out, if so."""
    try:
        play.run(entries)
    except psycopg.Error:
        raise
    except Exception as error:  # an account that the other program brings into no possible state
        return f"{type(error).__name__}: {error}"
    return None


class _Sample:
    """Which accounts are in a sample: by a hash of the seed and the account's id."""

    def __init__(self, seed: int, parts: int) -> None:
        self._seed = str(seed).encode()
        self._parts = parts
        self.asked = 0

    def __call__(self, account_id: UUID) -> bool:
        """Whether it is; each is asked once."""
        self.asked += 1
        return self.has(account_id)

    def has(self, account_id: UUID) -> bool:
        """Whether it is."""
        hashed = hashlib.blake2b(account_id.bytes, digest_size=8, key=self._seed).digest()
        return int.from_bytes(hashed, "big") % SAMPLE_PARTS < self._parts


def _anonymous(task: _Task) -> int:
    """1 where the shard has the account of anonymous purchases, else 0."""
    with connect(task.url) as connection:
        return int(_log(connection).knows(ANONYMOUS, task.place.shard))


def _log(connection: Connection) -> Log:
    row = connection.execute("SELECT shards, program_id FROM ledger.ledger").fetchone()
    assert row is not None, "the session was checked"
    return Log(connection, *row)


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

    def map(self, work: Callable[[_Task], T], tasks: Sequence[_Task]) -> Iterable[tuple[_Task, T]]:
        """Each task with what came of it, as it is done."""
        if self._pool is None:
            for task in tasks:
                yield task, work(task)
            return
        waiting: dict[Future[T], _Task] = {self._pool.submit(work, task): task for task in tasks}
        for one in as_completed(waiting):
            yield waiting[one], one.result()
