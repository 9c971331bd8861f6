"""Several statements for one wait: sent together, answered together, the transaction included.

psycopg's own pipeline sends each statement as soon as it is executed and looks for answers in
between. Where the processors are busy, each of these is a turn to wait for: a batch of two hundred
events spent more time on them than on folding (docs/decisions/0024-a-fold-is-two-round-trips.md).
In here statements gather in libpq's buffer until the block ends; their answers are read after it.
`ledger.round_trip` is the same for asynchronous sessions.

Uses private methods of the pinned psycopg.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg import Connection, Pipeline
from psycopg.abc import PQGen
from psycopg.generators import send
from psycopg.pq import TransactionStatus


class RoundTrip(Pipeline):
    """A pipeline that sends when it must."""

    def _communicate_gen(self) -> PQGen[None]:
        while self.command_queue:
            self.command_queue.popleft()()
        yield from ()

    def _exit_gen(self) -> PQGen[None]:
        try:
            self._enqueue_sync()
            yield from self._communicate_gen()
            yield from send(self.pgconn)
        finally:
            yield from self._fetch_gen(flush=False)

    def send(self) -> None:
        """Send the statements so far, without waiting for answers."""
        with self._lock:
            self._conn.wait(send(self.pgconn))


@contextmanager
def round_trip(connection: Connection) -> Iterator[RoundTrip]:
    """The statements of the block go to the server together. Not inside of another such block."""
    assert connection._pipeline is None, "a block in a block would be two round trips"
    trip = RoundTrip(connection)
    connection._pipeline = trip
    try:
        with connection.pipeline():
            yield trip
    except BaseException:
        # Behind a statement that fails the server skips all, also what was to be prepared, which
        # psycopg takes for prepared since it was sent.
        connection._prepared.clear()
        raise


@contextmanager
def rolled_back(connection: Connection) -> Iterator[None]:
    """A transaction that the block begins and ends itself, by statements, is rolled back when an
    exception comes out of the block."""
    try:
        yield
    except BaseException:
        if connection.info.transaction_status != TransactionStatus.IDLE:
            with suppress(psycopg.Error):  # a connection that is lost has rolled back
                connection.rollback()
        raise
