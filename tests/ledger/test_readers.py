"""Eight processes append to the same shards while readers follow: no reader ever sees a gap.

A reader that has seen position n of a shard never sees a new one at or below n, whoever commits
when; so reading on from a position loses nothing. What the writers leave behind is what one of them
alone would have.
"""

import contextlib
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import psycopg
from psycopg.rows import TupleRow

from ledger.application import Ledger
from ledger.chain import genesis
from ledger.received import Received
from ledger.settings import Settings
from ledger.sharding import shard_of
from projections.runner import Runner
from schemas.inputs import PurchaseCompleted
from tests.crash.state import read_models_of
from tests.ledger.events import SHARDS
from tests.ledger.opened import check_due, check_log, postings_sum, run
from tests.ledger.test_concurrency import MEMBERS, ROUNDS, gaps, inputs_of

WRITERS = 8
FOLDERS = 2

WRITE_SECONDS = 600
"""For all writers together: a hundred times what they take."""

LOOKS_MIN = 2
"""Batches that each reader has to find: the last when the log is whole, and one while it grows;
else it followed nothing. On two processors it is some dozens."""

Follow = Callable[[psycopg.Connection[TupleRow]], int]


class Tail:
    """Follows one shard by position, as the projections and the effects publisher do."""

    def __init__(self, shard: int, first: bytes) -> None:
        self.shard = shard
        self.position = 0
        self.hash = first
        self.versions: Counter[str] = Counter()

    def read(self, connection: psycopg.Connection[TupleRow]) -> int:
        """What is new: every position once, in order, chained; how many that were."""
        rows = connection.execute(
            "SELECT position, member_id, version, hash FROM ledger.events"
            " WHERE shard = %s AND position > %s ORDER BY position",
            (self.shard, self.position),
        ).fetchall()
        for position, member_id, version, link in rows:
            assert position == self.position + 1, (self.shard, self.position, position)
            assert version == self.versions[member_id] + 1, (member_id, version)
            assert link != self.hash
            self.position, self.hash = position, link
            self.versions[member_id] = version
        return len(rows)


class Census:
    """Counts all of the log again and again: what was there once stays, and nothing comes below."""

    def __init__(self) -> None:
        self.highest: dict[int, int] = {}

    def read(self, connection: psycopg.Connection[TupleRow]) -> int:
        """How many positions came since; in one statement, so of one moment."""
        rows = connection.execute(
            "SELECT h.shard, h.position, count(e.position), coalesce(max(e.position), 0)"
            " FROM ledger.heads h LEFT JOIN ledger.events e USING (shard)"
            " WHERE h.shard >= 0 GROUP BY 1, 2"
        ).fetchall()
        came = 0
        for shard, head, count, highest in rows:
            assert head == count == highest, (shard, head, count, highest)
            came += highest - self.highest.get(shard, 0)
            self.highest[shard] = highest
        return came


@contextlib.contextmanager
def following(url: str, reads: list[Follow]) -> Iterator[Callable[[], list[int]]]:
    """A thread for each reader. `stop()`: how often each found something; fails if one did."""
    over = threading.Event()
    failures: list[BaseException] = []
    found = [0] * len(reads)

    def follow(number: int) -> None:
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                while True:
                    last = over.is_set()
                    if reads[number](connection):
                        found[number] += 1
                    elif last:
                        return
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=follow, args=[n]) for n in range(len(reads))]

    def stop() -> list[int]:
        over.set()
        for thread in threads:
            thread.join(WRITE_SECONDS)
        if failures:
            raise failures[0]
        return found

    for thread in threads:
        thread.start()
    try:
        yield stop
    finally:
        over.set()


@contextlib.contextmanager
def folding(url: str) -> Iterator[None]:
    """Runners of the projections beside each other; at the end both have come to theirs."""
    runners = [Runner(url, batch_events=20) for _ in range(FOLDERS)]
    failures: list[BaseException] = []

    def fold(runner: Runner) -> None:
        try:
            runner.run()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=fold, args=[runner]) for runner in runners]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        for runner in runners:
            runner.stop()
        for thread in threads:
            thread.join(WRITE_SECONDS)
    assert not failures


def write(url: str) -> tuple[int, int]:
    """Eight processes append; how many inputs were applied and how many duplicates."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.ledger.writer", url, str(number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(WRITERS)
    ]
    said = [writer.communicate(timeout=WRITE_SECONDS)[0].split() for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    return sum(int(words[0]) for words in said), sum(int(words[1]) for words in said)


def orders() -> dict[str, set[str]]:
    """Which orders each member has when all was written."""
    found: dict[str, set[str]] = {}

    def add(item: Received) -> None:
        assert isinstance(item.event, PurchaseCompleted)
        found.setdefault(str(item.event.subject), set()).add(item.event.data.order_id)

    for writer in range(WRITERS):
        for batch in inputs_of(writer):
            for item in batch:
                add(item)
    return found


def test_eight_writers_and_their_readers(
    url: str, settings: Settings, owner: psycopg.Connection
) -> None:
    (ledger_id,) = owner.execute("SELECT ledger_id FROM ledger.ledger").fetchone() or ()
    tails = [Tail(shard, genesis(ledger_id, shard)) for shard in range(SHARDS)]
    with following(url, [*(tail.read for tail in tails), Census().read]) as stop, folding(url):
        applied, duplicates = write(url)
        looks = stop()
    wanted = orders()
    assert applied == sum(map(len, wanted.values()))
    assert applied + duplicates == WRITERS * ROUNDS * 6
    assert duplicates > 0
    populated = {shard_of(member, SHARDS) for member in wanted}
    assert all(looks[shard] >= LOOKS_MIN for shard in populated)
    assert looks[-1] >= LOOKS_MIN
    check_stored(owner, tails, applied)
    check_read_models(url)

    async def check() -> None:
        ledger = await Ledger.open(settings)
        try:
            await check_log(ledger)
            await check_due(ledger)
            for member, bought in wanted.items():
                account = await ledger.account(member)
                assert account.purchases == len(bought)
                assert account.granted == 10 * len(bought)
            counts = await ledger.outcome_counts()
            assert counts == {("direct", "applied"): applied, ("direct", "duplicate"): duplicates}
        finally:
            await ledger.close()

    run(check())
    assert len(wanted) == MEMBERS


def check_stored(owner: psycopg.Connection, tails: list[Tail], applied: int) -> None:
    """The readers came to the ends that the heads tell; every input was taken once."""
    heads = owner.execute(
        "SELECT shard, position, hash FROM ledger.heads WHERE shard >= 0 ORDER BY shard"
    ).fetchall()
    assert heads == [(tail.shard, tail.position, tail.hash) for tail in tails]
    inputs = owner.execute("SELECT count(*), count(DISTINCT key) FROM ledger.inputs").fetchone()
    assert inputs == (applied, applied)
    assert gaps(owner) == 0
    assert postings_sum(owner) == 0


def check_read_models(url: str) -> None:
    """Two runners that folded while the log grew: what one fold of the whole log gives."""
    assert read_models_of(url)["balances"]
