"""From a chunk's records to inputs and their instants."""

from typing import Any

import pytest
import structlog

from ledger.core.calendar import parse_instant
from ledger.sharding import partition_of
from streams.chunks import Chunk, Record
from streams.intake import Intake
from streams.merge import UNTIMED
from streams.strays import Strays
from tests.streams.records import TIMESTAMP_MS, purchase, record

NOW = TIMESTAMP_MS * 1_000
PARTITIONS = 8


Told = list[tuple[str, str]]


def intake(strays: Told | None = None, *, history: bool = False) -> Intake:
    told: Told = [] if strays is None else strays
    return Intake(
        partitions=PARTITIONS,
        max_clock_skew=300_000_000,
        history=history,
        now=lambda: NOW,
        strays=Strays(lambda topic, reason: told.append((topic, reason))),
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


@pytest.mark.parametrize(
    ("key", "away", "reason"),
    [
        (b"m1", 0, None),
        (b"m1", 1, "other_partitioner"),
        (None, 0, "no_key"),
        (None, 1, "no_key"),
        (b"", 0, "other_key"),
        (b"card-7", 1, "other_key"),
        (b"\xff", 0, "other_key"),
    ],
)
def test_a_record_that_lies_elsewhere_is_counted_and_taken(
    key: bytes | None, away: int, reason: str | None
) -> None:
    strays: Told = []
    partition = (partition_of("m1", PARTITIONS) + away) % PARTITIONS
    value = purchase("m1", "o1", "2023-01-01T00:00:00Z")
    feed = intake(strays).feed(chunk(record(0, value, partition=partition, key=key)))
    assert strays == ([] if reason is None else [("purchases", reason)])
    assert feed.items[0].event is not None


def test_the_log_tells_of_strays_once_in_a_while() -> None:
    clock = [0.0]
    counted: list[str] = []
    strays = Strays(lambda topic, reason: counted.append(reason), lambda: clock[0])
    with structlog.testing.capture_logs() as lines:
        for second in range(121):
            clock[0] = float(second)
            strays.seen(record(second), "no_key")
        strays.seen(record(500), "other_key")
    assert len(counted) == 122
    assert [(line["reason"], line["records"]) for line in lines] == [
        ("no_key", 1),
        ("no_key", 60),
        ("no_key", 60),
        ("other_key", 1),
    ]


def test_an_anonymous_purchase_is_at_home_where_its_order_is() -> None:
    strays: Told = []
    value = purchase(None, "order-7", "2023-01-01T00:00:00Z")
    intake(strays).feed(chunk(at_home("order-7", value, key=b"order-7")))
    assert strays == []
