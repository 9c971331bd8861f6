"""Several statements for one wait: sent together, answered together.

psycopg's own pipeline sends each statement as soon as it is executed and looks for answers in
between: a call into the kernel or two for each, and a server process that is woken for each. In
here statements gather in libpq's buffer until the first answer is fetched or the block ends. So an
append of ten purchases, which is some twenty statements, costs half the processor time that it
did (docs/decisions/0016-small-batches.md). Answers are best fetched after the block: inside of it
each first fetch is a wait of its own.

Uses private methods of the pinned psycopg, as `ledger.database.left_clean` does.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import AsyncConnection, AsyncPipeline
from psycopg.abc import PQGen
from psycopg.generators import send
from psycopg.rows import TupleRow

from ledger.crash import armed_at, crash_point


class RoundTrip(AsyncPipeline):
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

    async def reached(self, point: str) -> None:
        """A crash point behind the statements so far: whoever is to die there has sent them."""
        if armed_at(point):
            async with self._lock:
                await self._conn.wait(send(self.pgconn))
        crash_point(point)


@asynccontextmanager
async def round_trip(connection: AsyncConnection[TupleRow]) -> AsyncIterator[RoundTrip]:
    """The statements of the block go to the server together. Not inside of another such block."""
    assert connection._pipeline is None, "a block in a block would be two round trips"
    trip = RoundTrip(connection)
    connection._pipeline = trip
    try:
        async with connection.pipeline():
            yield trip
    except BaseException:
        # Behind a statement that fails the server skips all, also what was to be prepared, which
        # psycopg takes for prepared since it was sent. A rollback makes it forget; but there is
        # none where no transaction was begun, and the connection would refuse that statement, as
        # if its rows were bad, for as long as it lives.
        connection._prepared.clear()
        raise
