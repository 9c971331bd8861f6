"""What one process does of a back-test: see who sends effects, then live through accounts."""

import gc
import hashlib
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from uuid import UUID

import msgspec
import psycopg
from msgspec import Struct, field
from psycopg import Connection

from analytics.backtest_account import Effects, Gathered, Play, Setting
from analytics.backtest_tally import Member, Tally
from audit.redecide import JOBS, Log, Place, accounts
from ledger.accounts import account_id_of
from ledger.core.account import ANONYMOUS
from ledger.core.program.canonical import from_canonical
from ledger.core.program.compiled import Compiled, compile_program
from ledger.core.program.timeline import Timeline
from ledger.sharding import shard_of
from projections.connection import connect
from projections.log import Entry, histories
from schemas.decisions import InputRefused, ReferralAccepted
from schemas.fields import Instant
from schemas.inputs import ReferralData
from schemas.log_events import decode_account_event

TOP = 10
"""Members told as changed the most, where no number is asked for."""

SAMPLE_PARTS = 1_000_000
"""In how many parts the members are divided for a sample: so exact is a percentage."""

COLLECT_EVERY = 100_000
"""New objects between two collections of garbage: nearly nothing here is in a cycle, and looking
for it every 700 objects costs a tenth."""

ACCOUNTS_AT_ONCE = 200
"""Accounts of one query."""

VERSIONS_KNOWN_MAX = 64
"""Compiled program versions that a process remembers from shard to shard."""


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


class Task(Struct, frozen=True):
    """What a process is told of its shard. `versions`: (in force from, canonical form, and whether
    it is `recorded` or `other`); `later`: the accounts whose turn is the second round; `senders`:
    those whose effects are gathered although they are not counted in the first."""

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
    shards: int
    program_id: str
    later: frozenset[UUID] = frozenset()
    senders: tuple[UUID, ...] = ()


class Scan(Struct):
    """Who may send effects, and who gets any. `senders`: accounts with a referral, with the
    referrers named (none: whoever was merged into it had one); `takers`: accounts for which the log
    has effects, or that others were merged into; `known`: the ids of the effects that the log has;
    `members`: how many accounts there are."""

    senders: dict[UUID, tuple[str, ...]] = field(default_factory=dict)
    takers: set[UUID] = field(default_factory=set)
    known: set[str] = field(default_factory=set)
    members: int = 0


_SCAN = """
SELECT account_id, type, payload FROM ledger.events
WHERE shard = %s AND position <= %s AND (
    type IN ('ReferralAccepted', 'AccountAbsorbed', 'RewardReceived', 'RewardTakenBack')
    OR (type = 'InputRefused' AND (position('"referral.registered.v1"'::bytea in payload) > 0
        OR position('"effect.'::bytea in payload) > 0)))
"""
_MEMBERS = """
SELECT count(*) FROM ledger.events
WHERE shard = %s AND position <= %s AND version = 1 AND member_id <> %s
"""


def scan_shard(task: Task) -> Scan:
    """Look for referrals and effects in the shard's log."""
    found = Scan()
    with connect(task.url) as connection:
        row = connection.execute(_MEMBERS, [*task.place, ANONYMOUS]).fetchone()
        found.members = 0 if row is None else row[0]
        for account_id, kind, payload in connection.execute(_SCAN, task.place, binary=True):
            event = decode_account_event(payload)
            if isinstance(event, ReferralAccepted):
                _add(found, account_id, event.referrer_id)
            elif isinstance(event, InputRefused) and event.input_type.startswith("referral."):
                data = msgspec.json.decode(event.data, type=ReferralData)
                _add(found, account_id, data.referrer_id)
            elif kind == "AccountAbsorbed":
                found.takers.add(account_id)
                found.senders.setdefault(account_id, ())
            else:
                found.takers.add(account_id)
                if event.cause is not None:
                    found.known.add(event.cause.id)
    return found


def _add(found: Scan, account_id: UUID, referrer_id: str) -> None:
    found.senders[account_id] = (*found.senders.get(account_id, ()), referrer_id)


def first_round(task: Task) -> tuple[list[Gathered], Tally]:
    """Count the accounts that no effect can reach; gather everybody's effects."""
    gc.set_threshold(COLLECT_EVERY)
    found: list[Gathered] = []
    chosen = chosen_by(task.options)
    later = task.later

    def now(account_id: UUID) -> bool:
        return account_id not in later and (chosen is None or chosen(account_id))

    with connect(task.url) as connection, _log(task) as log:
        counting = _Counting(task, log, 1)
        for member_id, entries in accounts(connection, task.place, now):
            if member_id != ANONYMOUS:
                counting.play(member_id, entries, found.append)
        scratch = Tally()
        rest = [account_id for account_id in task.senders if not now(account_id)]
        for member_id, entries in _pages(connection, task.place, rest):
            play = Play(counting.setting, member_id, counting.log, scratch, found.append)
            _run(play, entries)
    return found, counting.end()


def second_round(task: Task) -> Tally:
    """Count the accounts that effects may reach, and those that only effects open."""
    chosen = chosen_by(task.options)
    with connect(task.url) as connection, _log(task) as log:
        counting = _Counting(task, log, 2)
        ids = sorted(one for one in task.later if chosen is None or chosen(one))
        for member_id, entries in _pages(connection, task.place, ids):
            counting.play(member_id, entries)
        for member_id in sorted(task.effects.fresh):
            if shard_of(member_id, log.shards) != task.place.shard or log.knows(member_id):
                continue
            if chosen is None or chosen(account_id_of(log.program_id, member_id)):
                counting.play(member_id, ())
        return counting.end()


def _pages(
    connection: Connection, place: Place, ids: list[UUID]
) -> Iterator[tuple[str, Iterator[Entry]]]:
    """The accounts of these ids that have events."""
    for first in range(0, len(ids), ACCOUNTS_AT_ONCE):
        page = ids[first : first + ACCOUNTS_AT_ONCE]
        entries = histories(connection, place.shard, page, place.position)
        yield from groupby(entries, attrgetter("member_id"))


class _Counting:
    """The accounts of one shard in one round, counted."""

    def __init__(self, task: Task, log: Log, number: int) -> None:
        self.setting = _of(task)
        self.log = log
        self._task = task
        self._round = number
        self._tally = Tally()
        self._members: list[Member] = []

    def play(
        self,
        member_id: str,
        entries: Iterable[Entry],
        sink: Callable[[Gathered], None] | None = None,
    ) -> None:
        """Live through an account and count it."""
        play = Play(self.setting, member_id, self.log, self._tally, sink)
        why = _run(play, entries)
        if why is not None:
            self._tally.left_out.append((member_id, why))
            return
        self._tally.end(play.member, self._task.options.top)
        if self._task.options.members is not None:
            self._members.append(play.member)

    def end(self) -> Tally:
        """What was counted; the members' file is written, where one was asked for."""
        self._tally.close()
        path = self._task.options.members
        if path is not None and self._members:
            from analytics.backtest_files import write_members

            write_members(path, self._task.place.shard, self._round, self._members)
        return self._tally


def _run(play: Play, entries: Iterable[Entry]) -> str | None:
    """Live through an account; why it has to be left out, if so."""
    try:
        play.run(entries)
    except psycopg.Error:
        raise
    except Exception as error:  # the other program brings the account into an impossible state
        return f"{type(error).__name__}: {error}"
    return None


@lru_cache(VERSIONS_KNOWN_MAX)
def _compiled(content: bytes) -> Compiled:
    return compile_program(from_canonical(content))


def _of(task: Task) -> Setting:
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
    )


def chosen_by(options: Options) -> Callable[[UUID], bool] | None:
    """Which accounts are in the sample, by a hash of the seed and the account's id; None: all."""
    if options.sample >= 100:
        return None
    seed, parts = str(options.seed).encode(), round(options.sample * SAMPLE_PARTS / 100)

    def chosen(account_id: UUID) -> bool:
        hashed = hashlib.blake2b(account_id.bytes, digest_size=8, key=seed).digest()
        return int.from_bytes(hashed, "big") % SAMPLE_PARTS < parts

    return chosen


def _log(task: Task) -> Log:
    return Log(task.url, task.shards, task.program_id)
