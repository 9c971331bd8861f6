"""From the records of a chunk to what the ledger's door takes, with their instants for the merge.

A record that cannot be understood becomes an input marked so: the ledger writes its dead letter in
the transaction that moves the offset. Whose record it is, is decided by its subject; one that a
producer put on another partition is right but slow, and counted. No record raises.
"""

from collections.abc import Callable

from ledger.received import Received, RecordRef, undecodable
from ledger.sharding import partition_of
from schemas.decode import decode_record, instant_of
from schemas.errors import Malformed
from schemas.fields import Instant
from schemas.routing import key_of
from streams.chunks import Chunk, Record, record_bytes
from streams.merge import UNTIMED, Feed
from streams.strays import Strays, why


class Intake:
    """Decodes chunks. `now`: the wall clock. `strays` is told of each record that lies elsewhere.

    `history`: what happened is told long after, so the door bounds `occurred_at` by the wall clock
    alone, not by the record's time of arrival too (which is left out).
    """

    def __init__(
        self,
        *,
        partitions: int,
        max_clock_skew: Instant,
        history: bool,
        now: Callable[[], Instant],
        strays: Strays,
    ) -> None:
        self._partitions = partitions
        self._skew = max_clock_skew
        self._history = history
        self._now = now
        self._strays = strays

    def feed(self, chunk: Chunk) -> Feed[Received]:
        """The chunk's inputs in offset order, each with its instant and its bytes."""
        times: list[int] = []
        items: list[Received] = []
        latest = self._now() + self._skew
        for record in chunk.records:
            received = self._receive(record)
            items.append(received)
            # One from the future is not waited for: the door refuses it, and nothing behind it in
            # its topic may be held back until that future comes.
            untimed = received.event is None or received.occurred_at > latest
            times.append(UNTIMED if untimed else received.occurred_at)
        return Feed(times, [record_bytes(record) for record in chunk.records], items)

    def _receive(self, record: Record) -> Received:
        try:
            event = decode_record(record.value, record.headers)
        except Malformed as error:
            from_record = reference(record, record.timestamp)
            return undecodable(from_record, error.code, error.path, error.message)
        routing_key = event.subject or key_of(event)
        home = partition_of(routing_key, self._partitions)
        stray = why(record.key, routing_key, record.partition, home)
        if stray is not None:
            self._strays.seen(record, stray)
        timestamp = None if self._history else record.timestamp
        return Received(event, instant_of(event), record=reference(record, timestamp))


def reference(record: Record, timestamp: int | None) -> RecordRef:
    """The record as a dead letter keeps it."""
    return RecordRef(
        record.topic,
        record.partition,
        record.offset,
        record.key,
        record.value,
        record.headers,
        timestamp,
    )
