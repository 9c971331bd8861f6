"""Every decision of the log made again from its recorded input: shard by shard, in parallel.

Each shard is read as it was when its reading began, its accounts in pages in the order of their
ids, and of each account only the next events are in memory. `run` is what `points audit redecide`
and `points audit replay` call. Nothing is written.
"""

import gc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct, field
from psycopg import Connection

from audit.deciding_again import Tally, decide_again
from ledger.accounts import account_id_of
from ledger.core.program.timeline import Timeline
from ledger.errors import LedgerError
from ledger.sharding import shard_of
from projections.connection import READING, connect
from projections.log import Entry, accounts_after, decode, histories
from projections.parallel import GC_THRESHOLDS
from projections.system import System
from schemas.decisions import AccountEvent

ACCOUNTS_AT_ONCE = 200
"""Accounts of one query. Their events stream through memory; more of them at once would only make
the server sort more."""

JOBS = 2
"""Processes where none are asked for: as many as a small machine has cores."""

JOBS_MAX = 64
"""Most processes: each holds a session of the database."""

Progress = Callable[[int, int], None]
"""Called with the events read so far and all of them."""


class Report(Struct, frozen=True):
    """What deciding again came to, in all and by shard. `heads`: up to which position each shard
    was read."""

    tally: Tally
    shards: dict[int, Tally] = field(default_factory=dict)
    heads: dict[int, int] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether every decision is what its input leads to."""
        return not self.tally.differing


class Place(NamedTuple):
    """A shard as it is read: up to which position."""

    shard: int
    position: int


class Log:
    """The accounts of others that a shard meets (`audit.deciding_again.Others`). In a session of
    its own, opened when it is first asked: that of the shard is in the middle of a stream."""

    def __init__(self, url: str, shards: int, program_id: str) -> None:
        self._url = url
        self._session: Connection | None = None
        self.shards = shards
        self.program_id = program_id

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        if self._session is not None:
            self._session.close()

    @property
    def _connection(self) -> Connection:
        if self._session is None:
            self._session = connect(self._url, roles=READING)
        return self._session

    def events_of(self, member_id: str) -> Iterator[AccountEvent]:
        """All events of the member's account, in order."""
        return map(decode, self.entries_of(member_id))

    def entries_of(self, member_id: str) -> Iterator[Entry]:
        """All entries of the member's account, in order."""
        account_id = account_id_of(self.program_id, member_id)
        rows = self._connection.execute(
            "SELECT shard, position, account_id, member_id, version, payload FROM ledger.events"
            " WHERE shard = %s AND account_id = %s ORDER BY version",
            [shard_of(member_id, self.shards), account_id],
            binary=True,
        )
        return map(Entry._make, rows)

    def knows(self, member_id: str, shard: int | None = None) -> bool:
        """Whether the member has an account in the log (of a shard, for one that is in many)."""
        where = shard_of(member_id, self.shards) if shard is None else shard
        found = self._connection.execute(
            "SELECT 1 FROM ledger.events WHERE shard = %s AND account_id = %s AND version = 1",
            [where, account_id_of(self.program_id, member_id)],
        )
        return found.fetchone() is not None


def accounts(
    connection: Connection, place: Place, chosen: Callable[[UUID], bool] | None = None
) -> Iterator[tuple[str, Iterator[Entry]]]:
    """Each account of the shard, by id: its member, and its entries in order, to be read before the
    next account is asked for. `chosen`: which accounts; else all."""
    after = None
    while ids := accounts_after(connection, place.shard, after, place.position, ACCOUNTS_AT_ONCE):
        after = ids[-1]
        if chosen is not None:
            ids = list(filter(chosen, ids))
        entries = histories(connection, place.shard, ids, place.position)
        head = next(entries, None)
        while head is not None:
            own = _Own(head, entries)
            yield head.member_id, own
            for _ in own:  # what the reader left
                pass
            head = own.following


class _Own:
    """The entries of one account out of a stream; then `following`, the next account's first."""

    def __init__(self, head: Entry, entries: Iterator[Entry]) -> None:
        self._account = head.account_id
        self._next: Entry | None = head
        self._entries = entries
        self.following: Entry | None = None

    def __iter__(self) -> "_Own":
        return self

    def __next__(self) -> Entry:
        entry = self._next
        if entry is None:
            raise StopIteration
        self._next = next(self._entries, None)
        if self._next is not None and self._next.account_id != self._account:
            self.following, self._next = self._next, None
        return entry


def redecide_shard(url: str, place: Place) -> Tally:
    """Decide every input of one shard again."""
    tally = Tally()
    with connect(url, roles=READING) as connection:
        programs = _programs(connection)
        row = connection.execute("SELECT shards, program_id FROM ledger.ledger").fetchone()
        assert row is not None, "the session was checked"
        with Log(url, *row) as log:
            for member_id, entries in accounts(connection, place):
                decide_again(member_id, entries, programs, log, tally)
    return tally


def _programs(connection: Connection) -> Timeline:
    system = System()
    system.catch_up(connection)
    return system.programs


def heads(connection: Connection, wanted: Sequence[int] | None = None) -> list[Place]:
    """Where the logs of the members' shards end. Raises LedgerError (`unknown_shard`)."""
    rows = connection.execute(
        "SELECT shard, position FROM ledger.heads WHERE shard >= 0 ORDER BY shard"
    ).fetchall()
    known = {shard: Place(shard, position) for shard, position in rows}
    if wanted is None:
        return list(known.values())
    for shard in wanted:
        if shard not in known:
            raise LedgerError(
                f"there is no shard {shard}: name one of 0 to {len(known) - 1}.", "unknown_shard"
            )
    return [known[shard] for shard in dict.fromkeys(wanted)]


def run(
    url: str,
    *,
    jobs: int = JOBS,
    shards: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> Report:
    """Decide every input of the ledger in the database again, or of some of its shards.

    Raises LedgerError (`unknown_shard`).
    """
    with connect(url, roles=READING) as connection:
        places = heads(connection, shards)
    total = sum(place.position for place in places)
    report = Report(Tally(), {}, {place.shard: place.position for place in places})
    done = 0

    def note(place: Place, tally: Tally) -> None:
        nonlocal done
        done += place.position
        report.shards[place.shard] = tally
        if progress is not None:
            progress(done, total)

    busy = [place for place in places if place.position]
    if jobs == 1 or len(busy) < 2:
        for place in busy:
            note(place, redecide_shard(url, place))
    else:
        # New processes, not forks: this one may run threads (a progress bar has one).
        workers = min(jobs, JOBS_MAX, len(busy))
        with ProcessPoolExecutor(
            workers, get_context("spawn"), gc.set_threshold, GC_THRESHOLDS
        ) as pool:
            # The longest first, so that no process ends alone with a long one.
            longest = sorted(busy, key=lambda place: -place.position)
            waiting: dict[Future[Tally], Place] = {
                pool.submit(redecide_shard, url, place): place for place in longest
            }
            try:
                for one in as_completed(waiting):
                    note(waiting[one], one.result())
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
    for shard in sorted(report.shards):
        report.tally.add(report.shards[shard])
    return report
