"""From a chunk's records to inputs and their instants."""

from typing import Any

from ledger.core.calendar import parse_instant
from ledger.sharding import partition_of
from streams.chunks import Chunk, Record
from streams.intake import Intake
from streams.merge import UNTIMED
from tests.streams.records import TIMESTAMP_MS, purchase, record

NOW = TIMESTAMP_MS * 1_000
PARTITIONS = 8


def intake(misrouted: list[str] | None = None, *, history: bool = False) -> Intake:
    told = [] if misrouted is None else misrouted
    return Intake(
        partitions=PARTITIONS,
        max_clock_skew=300_000_000,
        history=history,
        now=lambda: NOW,
        misrouted=told.append,
    )


def chunk(*records: Record) -> Chunk:
    return Chunk("purchases", 0, 1, 0, 0, len(records), list(records), 0)


def at_home(routing_key: str, value: bytes, **kwargs: Any) -> Record:
    return record(0, value, partition=partition_of(routing_key, PARTITIONS), **kwargs)


def test_an_event_keeps_its_record_and_gets_its_instant() -> None:
    value = purchase("m1", "o1", "2023-01-01T10:00:00+01:00")
    feed = intake().feed(chunk(at_home("m1", value)))
    (received,) = feed.items
    assert received.event is not None
    assert received.event.subject == "m1"
    assert feed.times == [parse_instant("2023-01-01T09:00:00Z")] == [received.occurred_at]
    assert received.record is not None
    assert received.record.value == value
    assert received.record.timestamp == TIMESTAMP_MS


def test_what_cannot_be_decoded_is_marked_and_goes_at_once() -> None:
    feed = intake().feed(chunk(record(0, b"not json"), record(1, None)))
    assert [received.undecodable.code for received in feed.items if received.undecodable] == [
        "not_json",
        "empty",
    ]
    assert feed.times == [UNTIMED, UNTIMED]
    assert feed.items[0].record is not None
    assert feed.items[0].record.value == b"not json"


def test_an_event_from_the_future_does_not_hold_its_topic_back() -> None:
    feed = intake().feed(chunk(at_home("m1", purchase("m1", "o1", "2024-06-01T00:00:00Z"))))
    assert feed.times == [UNTIMED]
    assert feed.items[0].event is not None


def test_a_history_is_bounded_by_the_wall_clock_alone() -> None:
    feed = intake(history=True).feed(
        chunk(at_home("m1", purchase("m1", "o", "2017-01-01T00:00:00Z")))
    )
    assert feed.items[0].record is not None
    assert feed.items[0].record.timestamp is None


def test_records_on_another_partition_are_counted_and_taken() -> None:
    misrouted: list[str] = []
    elsewhere = (partition_of("m1", PARTITIONS) + 1) % PARTITIONS
    value = purchase("m1", "o1", "2023-01-01T00:00:00Z")
    feed = intake(misrouted).feed(chunk(record(0, value, partition=elsewhere)))
    assert misrouted == ["purchases"]
    assert feed.items[0].event is not None


def test_an_anonymous_purchase_is_at_home_where_its_order_is() -> None:
    misrouted: list[str] = []
    value = purchase(None, "order-7", "2023-01-01T00:00:00Z")
    intake(misrouted).feed(chunk(at_home("order-7", value, key=None)))
    assert misrouted == []
