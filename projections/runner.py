"""The process that keeps the read models up with the log: wakes, folds what is new, waits.

It is woken by the notification that follows an append, and looks by itself at a bounded interval in
case one was lost. When the database goes away it waits with growing pauses and gives up after a
bounded time, so that a supervisor sees it; it always goes on from the stored positions.
"""

import gc
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from math import ceil

import psycopg
from psycopg import Connection

from projections import positions
from projections.balances import Balances
from projections.connection import connect
from projections.errors import DatabaseLost
from projections.folding import BATCH_EVENTS, BATCH_SHARDS, Folder, Step, no_step
from projections.kpis import Kpis
from projections.model import ReadModel
from projections.parallel import GC_THRESHOLDS
from projections.segments import Segments
from projections.tiers import Tiers

log = logging.getLogger(__name__)

CHANNEL = "points_ledger"
"""Where the ledger says, after a commit, that shards have grown."""

_BY_INDEX = "SET enable_seqscan = off"
"""What a fold asks for it asks by a key. The server plans its statements once, of a new ledger
while its tables are nearly empty, and kept a plan that reads a table from end to end as it grew."""

LINGER_SECONDS = 0.02
"""After small batches of all shards, how long news gathers before the next: some of what a small
batch costs is the same for any number of events. A balance waits for this, for the batch before
its own and for its own (docs/performance.md)."""

LINGER_BELOW = BATCH_EVENTS // 4
"""A batch smaller than this is small."""

POLL_SECONDS = 1.0
"""Longest wait without a look at the heads: how late a lost notification is noticed."""

PAUSE_SECONDS_FIRST = 0.1
PAUSE_SECONDS_MAX = 2.0
"""Pauses between attempts to reconnect double from the first to the longest, which is how late the
return of the database is noticed."""

GIVE_UP_SECONDS = 300
"""A database restart or failover is over by then; a supervisor should see anything longer."""

Progress = Callable[[int], None]


def read_models() -> list[ReadModel]:
    """One of each, in the order in which they are shown."""
    return [Balances(), Tiers(), Segments(), Kpis()]


class Runner:
    """Folds until told to stop. `stop` may be called from a signal handler."""

    def __init__(
        self,
        database_url: str,
        models: Sequence[ReadModel] | None = None,
        batch_events: int = BATCH_EVENTS,
        step: Step = no_step,
    ) -> None:
        self._url = database_url
        self._folder = Folder(models or read_models(), batch_events=batch_events, step=step)
        self._stopping = threading.Event()

    def stop(self) -> None:
        """End after the transaction under way."""
        self._stopping.set()

    def run(self, until_caught_up: bool = False, progress: Progress | None = None) -> int:
        """Fold; the number of events folded. Returns when stopped, or once nothing is left.

        `progress` is called after each transaction with how many events it folded.
        Raises LogDamaged, DatabaseLost.
        """
        gc.set_threshold(*GC_THRESHOLDS)
        total = 0
        lost_since: float | None = None
        pause = PAUSE_SECONDS_FIRST
        while not self._stopping.is_set():
            try:
                with connect(self._url) as connection:
                    positions.ensure(connection, list(self._folder.models))
                    connection.execute(_BY_INDEX)
                    connection.execute(f"LISTEN {CHANNEL}")
                    lost_since, pause = None, PAUSE_SECONDS_FIRST
                    for done in self._fold(connection, until_caught_up):
                        total += done
                        if progress is not None:
                            progress(done)
                    break
            except psycopg.OperationalError as error:
                self._folder.forget()
                now = time.monotonic()
                lost_since = lost_since if lost_since is not None else now
                if now - lost_since > GIVE_UP_SECONDS:
                    raise DatabaseLost(GIVE_UP_SECONDS, str(error).strip()) from error
                log.warning("database lost, trying again", extra={"reason": str(error).strip()})
                # Jitter, so that many runners do not come back at once.
                self._stopping.wait(pause * random.uniform(0.5, 1.0))
                pause = min(PAUSE_SECONDS_MAX, pause * 2)
        return total

    def _fold(self, connection: Connection, until_caught_up: bool) -> Iterator[int]:
        # Each shard's turn comes once between two pauses. Without that bound, shards that always
        # grow would never let news gather.
        turns = ceil(positions.shards(connection) / BATCH_SHARDS)
        turn = 0
        while not self._stopping.is_set():
            # What was told before the cycle is seen by it; what comes meanwhile ends the wait.
            _hear(connection, timeout=0)
            done = self._folder.cycle(connection)
            if done:
                yield done
                turn += 1
                if turn >= turns or not self._folder.more:
                    turn = 0
                    if done < LINGER_BELOW and not until_caught_up:
                        self._stopping.wait(LINGER_SECONDS)
                continue
            positions.ensure(connection, list(self._folder.models))
            if until_caught_up and not self._folder.behind(connection):
                return
            # Nothing to do, or what there is to do is another runner's: wait for news.
            _hear(connection, timeout=POLL_SECONDS)


def _hear(connection: Connection, timeout: float) -> None:
    """Wait for a notification, and drop those that have come: they only say that there is news."""
    for _ in connection.notifies(timeout=timeout, stop_after=1):
        pass
