"""Up to where each topic-partition was handled: rows locked and moved by the append itself.

They, and not Kafka's group offsets, are the truth. What lies below a stored offset was handled and
is skipped; a batch that begins above it would lose records and is refused.
"""

from collections.abc import Mapping
from itertools import chain

from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from ledger.batch import Batch
from ledger.core.calendar import to_instant
from ledger.errors import OffsetGap
from ledger.lookups import Connection
from ledger.packed_arrays import (
    any_bytea_array,
    any_moment_array,
    bigint_array,
    integer_array,
    text_array,
)
from ledger.received import Sources, StoredPosition, TopicMove

# Always in this order, so that no two appends wait for each other, of whatever partitions they are.
LOCK_STREAMS = """
SELECT p.topic, p.partition, p.next_offset, p.topic_id
FROM unnest(%s::text[], %s::integer[]) AS v (topic, partition)
JOIN ledger.stream_positions p USING (topic, partition)
WHERE p."group" = %s ORDER BY p.partition, p.topic FOR UPDATE OF p
"""
_BEGIN_STREAMS = (
    'INSERT INTO ledger.stream_positions ("group", topic, partition, next_offset)'
    " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"
)
_MOVE_STREAMS = """
UPDATE ledger.stream_positions p
SET next_offset = v.next_offset, last_checksum = v.last_checksum, event_time = v.event_time,
    topic_id = coalesce(v.topic_id, p.topic_id)
FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::bytea[], %s::bytea[], %s::timestamptz[])
    AS v (topic, partition, next_offset, last_checksum, topic_id, event_time)
WHERE p."group" = %s AND p.topic = v.topic AND p.partition = v.partition
    AND p.next_offset < v.next_offset
"""
# Rows that an append has locked are left out: it locks those of several partitions in an order that
# an UPDATE does not keep, and moves their offsets anyway.
_NOTE_READ = """
WITH free AS (
    SELECT p.topic, p.partition, p.next_offset, v.read_to
    FROM unnest(%s::text[], %s::integer[], %s::bigint[], %s::bigint[])
        AS v (topic, partition, next_offset, read_to)
    JOIN ledger.stream_positions p USING (topic, partition)
    WHERE p."group" = %s AND p.next_offset = v.next_offset
        AND coalesce(p.read_to, p.next_offset) < v.read_to
    FOR UPDATE OF p SKIP LOCKED
)
UPDATE ledger.stream_positions p SET read_to = free.read_to FROM free
WHERE p."group" = %s AND p.topic = free.topic AND p.partition = free.partition
    AND p.next_offset = free.next_offset
"""
_STREAMS = (
    "SELECT topic, partition, next_offset, topic_id, last_checksum, event_time, read_to"
    ' FROM ledger.stream_positions WHERE "group" = %s'
)


TopicPartition = tuple[str, int]
"""Topic and partition number."""


def moves_of(sources: Sources) -> dict[TopicPartition, TopicMove]:
    """The moves of all sources, in the order in which their rows are locked."""
    found = chain.from_iterable(
        (((move.topic, source.partition), move) for move in source.moves) for source in sources
    )
    return dict(sorted(found, key=lambda each: (each[0][1], each[0][0])))


async def lock_streams(connection: Connection, sources: Sources) -> AsyncCursor[TupleRow]:
    """Lock the rows of these sources, at least one, in a round trip; `told_streams` reads the
    answer after it."""
    places = list(moves_of(sources))
    return await connection.execute(
        LOCK_STREAMS,
        (
            text_array([topic for topic, _ in places]),
            integer_array([number for _, number in places]),
            sources[0].group,
        ),
    )


async def told_streams(
    asked: AsyncCursor[TupleRow],
) -> dict[TopicPartition, tuple[int, bytes | None]]:
    """Of each row that is there, the stored offset and Kafka's id of the topic, None where it is
    not known."""
    return {
        (topic, partition): (offset, topic_id)
        for topic, partition, offset, topic_id in await asked.fetchall()
    }


async def begin_streams(connection: Connection, sources: Sources) -> None:
    """Create the stream rows of topics that are new to this ledger, each at this batch's
    predecessor."""
    for (topic, partition), move in moves_of(sources).items():
        await connection.execute(
            _BEGIN_STREAMS, (sources[0].group, topic, partition, move.from_offset)
        )


def check_rows(sources: Sources, topic_ids: Mapping[TopicPartition, bytes | None]) -> None:
    """Are the locked rows those of the topics that are read? Raises OffsetGap (offset_gone,
    other_topic)."""
    for (topic, partition), move in moves_of(sources).items():
        if (topic, partition) not in topic_ids:
            if move.begun:
                raise OffsetGap(
                    f"The stored offset of {topic}/{partition} is gone: the database was changed by"
                    " hand, or the ledger was given to another Kafka (`points kafka adopt`)."
                    " Nothing was stored. If this worker is the right one, start it again: it reads"
                    " the topic from its beginning, and what was taken before is a duplicate.",
                    "offset_gone",
                )
            continue
        known = topic_ids[topic, partition]
        if None not in (known, move.topic_id) and known != move.topic_id:
            raise OffsetGap(
                f"The stored offset of {topic}/{partition} belongs to another topic of that name:"
                " workers of two Kafka clusters write to this database, or the topic was recreated."
                " Nothing was stored. Stop the workers that do not belong here.",
                "other_topic",
            )


def check_offsets(batch: Batch, sources: Sources, offsets: Mapping[TopicPartition, int]) -> bool:
    """Skip what was handled before; whether anything was. Raises OffsetGap."""
    skipped = False
    for (topic, partition), move in moves_of(sources).items():
        stored = offsets[topic, partition]
        if stored < move.from_offset:
            raise OffsetGap(
                f"{topic}/{partition} was handled up to {stored}, but this batch begins after"
                f" {move.from_offset}: the records in between would be lost. Restart the worker; it"
                " resumes at the stored offset."
            )
        if stored > move.from_offset:
            skipped = True
            batch.drop_below(topic, partition, stored)
    return skipped


async def move_streams(connection: Connection, sources: Sources) -> None:
    """Move the stored offsets."""
    places = moves_of(sources)
    moves = places.values()
    await connection.execute(
        _MOVE_STREAMS,
        (
            text_array([topic for topic, _ in places]),
            integer_array([partition for _, partition in places]),
            bigint_array([move.next_offset for move in moves]),
            any_bytea_array([move.last_checksum for move in moves]),
            any_bytea_array([move.topic_id for move in moves]),
            any_moment_array([move.event_time for move in moves]),
            sources[0].group,
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
            group,
        ),
    )
