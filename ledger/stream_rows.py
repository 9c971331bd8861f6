"""Up to where each topic-partition was handled: rows locked and moved by the append itself.

They, and not Kafka's group offsets, are the truth. What lies below a stored offset was handled and
is skipped; a batch that begins above it would lose records and is refused.
"""

from collections.abc import Mapping

from ledger.batch import Batch
from ledger.core.calendar import from_instant, to_instant
from ledger.errors import OffsetGap
from ledger.lookups import Connection
from ledger.received import SourcePosition, StoredPosition

LOCK_STREAMS = (
    'SELECT topic, next_offset, topic_id FROM ledger.stream_positions WHERE "group" = %s'
    " AND partition = %s AND topic = ANY(%s) ORDER BY topic FOR UPDATE"
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
_NOTE_READ = """
UPDATE ledger.stream_positions p SET read_to = v.read_to
FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::bigint[])
    AS v (topic, partition, next_offset, read_to)
WHERE p."group" = %s AND p.topic = v.topic AND p.partition = v.partition
    AND p.next_offset = v.next_offset AND coalesce(p.read_to, p.next_offset) < v.read_to
"""
_STREAMS = (
    "SELECT topic, partition, next_offset, topic_id, last_checksum, event_time, read_to"
    ' FROM ledger.stream_positions WHERE "group" = %s'
)


async def begin_streams(connection: Connection, source: SourcePosition) -> None:
    """Create the stream rows of topics that are new to this ledger, each at this batch's
    predecessor."""
    for move in sorted(source.moves, key=lambda move: move.topic):
        await connection.execute(
            _BEGIN_STREAMS, (source.group, move.topic, source.partition, move.from_offset)
        )


def check_rows(source: SourcePosition, topic_ids: dict[str, bytes | None]) -> None:
    """Are the locked rows those of the topics that are read? Raises OffsetGap (offset_gone,
    other_topic)."""
    for move in source.moves:
        if move.topic not in topic_ids:
            if move.begun:
                raise OffsetGap(
                    f"The stored offset of {move.topic}/{source.partition} is gone: the database"
                    " was changed by hand, or the ledger was given to another Kafka (`points kafka"
                    " adopt`). Nothing was stored. If this worker is the right one, start it"
                    " again: it reads the topic from its beginning, and what was taken before is a"
                    " duplicate.",
                    "offset_gone",
                )
            continue
        known = topic_ids[move.topic]
        if None not in (known, move.topic_id) and known != move.topic_id:
            raise OffsetGap(
                f"The stored offset of {move.topic}/{source.partition} belongs to another topic of"
                " that name: workers of two Kafka clusters write to this database, or the topic"
                " was recreated. Nothing was stored. Stop the workers that do not belong here.",
                "other_topic",
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
            next_offset, topic_id, checksum, None if at is None else to_instant(at), read_to
        )
        for (
            topic,
            partition,
            next_offset,
            topic_id,
            checksum,
            at,
            read_to,
        ) in await cursor.fetchall()
    }


async def note_read(
    connection: Connection, group: str, reads: Mapping[tuple[str, int], tuple[int, int]]
) -> None:
    """Note that no record lies between a stored offset and an offset read to: (topic, partition) →
    both. A row that has moved meanwhile is left alone."""
    await connection.execute(
        _NOTE_READ,
        (
            [topic for topic, _ in reads],
            [partition for _, partition in reads],
            [stored for stored, _ in reads.values()],
            [read_to for _, read_to in reads.values()],
            group,
        ),
    )
