"""Up to where each topic-partition was handled: rows locked and moved by the append itself.

They, and not Kafka's group offsets, are the truth. What lies below a stored offset was handled and
is skipped; a batch that begins above it would lose records and is refused.
"""

from ledger.batch import Batch
from ledger.core.calendar import from_instant, to_instant
from ledger.errors import OffsetGap
from ledger.lookups import Connection
from ledger.received import SourcePosition, StoredPosition

LOCK_STREAMS = (
    'SELECT topic, next_offset FROM ledger.stream_positions WHERE "group" = %s AND partition = %s'
    " AND topic = ANY(%s) ORDER BY topic FOR UPDATE"
)
_BEGIN_STREAMS = (
    'INSERT INTO ledger.stream_positions ("group", topic, partition, next_offset)'
    " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
_MOVE_STREAMS = """
UPDATE ledger.stream_positions p
SET next_offset = v.next_offset, last_checksum = v.last_checksum, event_time = v.event_time,
    topic_id = coalesce(v.topic_id, p.topic_id)
FROM unnest(%s::text[], %s::bigint[], %s::bytea[], %s::bytea[], %s::timestamptz[])
    AS v (topic, next_offset, last_checksum, topic_id, event_time)
WHERE p."group" = %s AND p.partition = %s AND p.topic = v.topic AND p.next_offset < v.next_offset
"""
_STREAMS = (
    "SELECT topic, partition, next_offset, topic_id, last_checksum, event_time"
    ' FROM ledger.stream_positions WHERE "group" = %s'
)


async def begin_streams(connection: Connection, source: SourcePosition) -> None:
    """Create the stream rows that are missing, each at this batch's predecessor."""
    for move in sorted(source.moves, key=lambda move: move.topic):
        await connection.execute(
            _BEGIN_STREAMS, (source.group, move.topic, source.partition, move.from_offset)
        )


def check_offsets(batch: Batch, source: SourcePosition, offsets: dict[str, int]) -> bool:
    """Skip what was handled before; whether anything was. Raises OffsetGap."""
    skipped = False
    for move in source.moves:
        stored = offsets[move.topic]
        if stored < move.from_offset:
            raise OffsetGap(
                f"{move.topic}/{source.partition} was handled up to {stored}, but this batch"
                f" begins after {move.from_offset}: the records in between would be lost. Restart"
                " the worker; it resumes at the stored offset."
            )
        if stored > move.from_offset:
            skipped = True
            batch.drop_below(move.topic, stored)
    return skipped


async def move_streams(connection: Connection, source: SourcePosition) -> None:
    moves = source.moves
    await connection.execute(
        _MOVE_STREAMS,
        (
            [move.topic for move in moves],
            [move.next_offset for move in moves],
            [move.last_checksum for move in moves],
            [move.topic_id for move in moves],
            [None if move.event_time is None else from_instant(move.event_time) for move in moves],
            source.group,
            source.partition,
        ),
    )


async def stream_positions(
    connection: Connection, group: str
) -> dict[tuple[str, int], StoredPosition]:
    """Up to where each topic-partition of the group was handled."""
    cursor = await connection.execute(_STREAMS, (group,))
    return {
        (topic, partition): StoredPosition(
            next_offset, topic_id, checksum, None if at is None else to_instant(at)
        )
        for topic, partition, next_offset, topic_id, checksum, at in await cursor.fetchall()
    }
