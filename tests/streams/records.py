"""Records as the Kafka client hands them over, made by hand for tests of pure parts."""

import json
from typing import Any

from aiokafka import ConsumerRecord
from faust.types import TP

from streams.chunks import Fetched, Record

TIMESTAMP_MS = 1_700_000_000_000


def record(
    offset: int,
    value: bytes | None = b"{}",
    *,
    topic: str = "purchases",
    partition: int = 0,
    key: bytes | None = b"m1",
    timestamp: int = TIMESTAMP_MS,
    headers: tuple[tuple[str, bytes | None], ...] = (),
) -> Record:
    """One record."""
    made: Record = ConsumerRecord(
        topic,
        partition,
        offset,
        timestamp,
        1,
        key,
        value,
        None,
        -1 if key is None else len(key),
        -1 if value is None else len(value),
        headers,
    )
    return made


def fetched(records: list[Record], *, from_offset: int, next_offset: int | None = None) -> Fetched:
    """What one drain gave."""
    end = records[-1].offset + 1 if next_offset is None else next_offset
    return Fetched(records, epoch=1, from_offset=from_offset, next_offset=end, fetched_ms=0)


def purchase(member_id: str | None, order_id: str, time: str, **data: Any) -> bytes:
    """A purchase of one line, structured mode."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": order_id,
        "source": "till",
        "type": "purchase.completed.v1",
        "time": time,
        "data": {
            "order_id": order_id,
            "store_id": "s1",
            "channel": "store",
            "currency": "USD",
            "lines": [{"line_id": "1", "sku": "apple", "amount": 1234}],
            **data,
        },
    }
    if member_id is not None:
        event["subject"] = member_id
    return json.dumps(event).encode()


def tp(topic: str = "purchases", partition: int = 0) -> TP:
    """A topic-partition."""
    return TP(topic, partition)
