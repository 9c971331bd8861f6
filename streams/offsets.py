"""Where to go on reading: the offsets that PostgreSQL holds, checked against what Kafka has.

aiokafka would silently reset an offset that is out of range. Here the worker stops loudly when the
log is not the one that was read: of a topic with another id, shorter than the stored offset,
expired past it, or with another record where the last one stored was. Kafka's group offsets are
never read.
"""

import time
from collections.abc import Mapping

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from faust.types import TP

from ledger.errors import WorkerStopped
from ledger.received import StoredPosition
from streams.chunks import Record
from streams.guard import recreated
from streams.partition import checksum

REREAD_SECONDS = 20.0
"""To re-read one record of each topic-partition: a second on a healthy broker, however many."""

REREAD_BYTES = 1 << 17
"""Asked of each partition when re-reading: one producer batch, not a megabyte of them."""

log = structlog.get_logger(__name__)

Starts = dict[TP, int]


def check_ids(stored: Mapping[TP, StoredPosition], ids: Mapping[str, bytes]) -> None:
    """Are these the topics whose offsets are stored? Raises: WorkerStopped (topic_recreated)."""
    for tp, position in stored.items():
        known = position.topic_id
        if None not in (known, ids.get(tp.topic)) and known != ids[tp.topic]:
            raise recreated(tp.topic)


def check_range(
    stored: Mapping[TP, StoredPosition], first: Mapping[TP, int], end: Mapping[TP, int]
) -> Starts:
    """Where each topic-partition starts: at the stored offset, or at the log's first if it was
    never read. Raises: WorkerStopped (input_lost)."""
    starts = {}
    for tp in first:
        position = stored.get(tp)
        if position is None:
            starts[tp] = first[tp]
            continue
        offset = position.next_offset
        if offset > end[tp]:
            raise WorkerStopped(
                f"{tp.topic}/{tp.partition} ends at offset {end[tp]}, but records up to {offset} "
                "were taken from it: the topic was truncated or recreated. Restore it; or fill it "
                "from its source and run `points kafka adopt` (what was taken before is then a "
                "duplicate).",
                "input_lost",
            )
        if max(offset, position.read_to or 0) < first[tp]:
            raise WorkerStopped(
                f"{tp.topic}/{tp.partition} begins at offset {first[tp]}, but {offset} is the next "
                "to read: records expired before the worker read them. Lengthen the topic's "
                "retention, run `points kafka adopt`, and publish them again from their source "
                "(what was taken before is then a duplicate).",
                "input_lost",
            )
        starts[tp] = max(offset, first[tp])
    return starts


async def check_last_records(
    bootstrap: str, stored: Mapping[TP, StoredPosition], first: Mapping[TP, int]
) -> None:
    """Re-read the last record taken of each topic-partition, as far as Kafka still has it, and
    compare. Raises: WorkerStopped (input_changed, kafka_gone)."""
    wanted = {
        tp: position
        for tp, position in stored.items()
        if tp in first and position.last_checksum and position.next_offset > first[tp]
    }
    if not wanted:
        return
    reader = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        enable_auto_commit=False,
        auto_offset_reset="none",
        max_partition_fetch_bytes=REREAD_BYTES,
    )
    try:
        await reader.start()
        for tp, record in (await _read_one_each(reader, wanted)).items():
            _compare(tp, wanted[tp], record)
    finally:
        await reader.stop()


async def _read_one_each(
    reader: AIOKafkaConsumer, wanted: Mapping[TP, StoredPosition]
) -> dict[TP, Record]:
    found: dict[TP, Record] = {}
    remaining = {tp: position.next_offset - 1 for tp, position in wanted.items()}
    deadline = time.monotonic() + REREAD_SECONDS
    while remaining:
        # Assigned anew, so that what was read no longer takes up the broker's answers.
        reader.assign([TopicPartition(*tp) for tp in remaining])
        for tp, offset in remaining.items():
            reader.seek(TopicPartition(*tp), offset)
        answer = await reader.getmany(timeout_ms=1_000)
        for tp, records in answer.items():
            found[TP(*tp)] = records[0]
            del remaining[TP(*tp)]
        for tp in list(remaining):
            if await reader.position(TopicPartition(*tp)) > remaining[tp]:
                del remaining[tp]  # nothing but the end of a transaction lies there
        if remaining and time.monotonic() > deadline:
            raise WorkerStopped(
                f"Kafka did not give back the last records taken of {sorted(remaining)} within "
                f"{REREAD_SECONDS:.0f} seconds: see whether its brokers are well.",
                "kafka_gone",
            )
    return found


def _compare(tp: TP, position: StoredPosition, record: Record) -> None:
    if record.offset != position.next_offset - 1:
        log.info("last_record_gone", topic=tp.topic, partition=tp.partition)
        return
    if checksum(record.key, record.value) != position.last_checksum:
        raise WorkerStopped(
            f"Record {record.offset} of {tp.topic}/{tp.partition} is not the one that was taken "
            "there: the topic was recreated or restored from elsewhere. Restore the right one; or "
            "fill this one from its source and run `points kafka adopt` (what was taken before is "
            "then a duplicate).",
            "input_changed",
        )
