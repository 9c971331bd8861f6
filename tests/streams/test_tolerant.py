"""Batches are read whatever their headers are called; what is damaged otherwise still raises."""

from typing import Any

import pytest
from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record import default_records, memory_records

from streams import tolerant
from tests.streams.raw_batches import BAD_NAME, MARK, Row, batch, with_checksum

GOOD: Row = (b"m1", b"{}", [("content-type", b"application/cloudevents+json")])
BAD: Row = (b"m2", b"[]", [("ce_id", b"1"), (MARK, b"\xff\x00"), ("none", None)])
EMPTY: Row = (None, None, [])
MANY: Row = (b"", b"", [(f"h{n}", b"") for n in range(5_000)])

CODECS = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}


@pytest.fixture(params=["compiled", "python"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With each of aiokafka's two parsers of batches."""
    if request.param == "python":
        monkeypatch.setattr(tolerant, "DefaultRecordBatch", default_records._DefaultRecordBatchPy)
    else:
        assert default_records.DefaultRecordBatch is not default_records._DefaultRecordBatchPy


def read(data: bytes) -> list[list[Any]]:
    records = tolerant.TolerantRecords(data)
    batches = []
    while records.has_next():
        found = records.next_batch()
        assert found.validate_crc()
        batches.append(list(found))
    assert records.next_batch() is None
    return batches


def shown(record: Any) -> tuple[Any, ...]:
    return (record.offset, record.timestamp, record.key, record.value, list(record.headers))


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("codec", CODECS, ids=CODECS.values())
def test_a_name_that_is_not_utf8_is_kept_and_the_others_are_read(codec: int) -> None:
    rows = [GOOD, EMPTY, BAD, MANY, GOOD]
    (records,) = read(batch(rows, codec))
    name = BAD_NAME.decode("utf-8", "surrogateescape")
    headers = [[(name if key == MARK else key, raw) for key, raw in row[2]] for row in rows]
    assert [shown(record) for record in records] == [
        (n, 1_000 + n, row[0], row[1], headers[n]) for n, row in enumerate(rows)
    ]


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("codec", CODECS, ids=CODECS.values())
def test_what_the_parser_can_read_is_read_alike(codec: int) -> None:
    data = batch([GOOD, EMPTY, MANY], codec)
    theirs = memory_records.MemoryRecords(data + data)
    expected = []
    while theirs.has_next():
        expected.append([shown(record) for record in theirs.next_batch()])
    assert [[shown(record) for record in one] for one in read(data + data)] == expected
    ours = [shown(record) for record in tolerant.parse(memoryview(data))]
    assert ours == expected[0]


@pytest.mark.usefixtures("parser")
def test_the_head_of_a_batch_is_the_parsers() -> None:
    data = batch([GOOD, BAD])
    ours = tolerant.TolerantRecords(data).next_batch()
    theirs = memory_records.MemoryRecords(data).next_batch()
    for name in ("base_offset", "next_offset", "producer_id", "is_control_batch", "attributes"):
        assert getattr(ours, name) == getattr(theirs, name)


@pytest.mark.parametrize("cut", [1, 11, 40, 61, 80])
def test_the_begin_of_another_batch_is_left_alone(cut: int) -> None:
    data = batch([GOOD])
    records = tolerant.TolerantRecords(data + data[:cut])
    assert records.size_in_bytes() == len(data) + cut
    assert len(list(records.next_batch())) == 1
    assert not records.has_next()
    assert not tolerant.TolerantRecords(data[:cut]).has_next()


@pytest.mark.usefixtures("parser")
@pytest.mark.parametrize("where", [61, 62, 66, 70, 90])
def test_a_batch_that_is_damaged_raises(where: int) -> None:
    data = bytearray(batch([GOOD, GOOD]))
    data[where] ^= 0x55
    damaged = tolerant.TolerantRecords(bytes(data)).next_batch()
    assert not damaged.validate_crc()
    changed = with_checksum(bytes(data))
    try:
        records = list(tolerant.TolerantRecords(changed).next_batch())
    except CorruptRecordException:
        return
    assert len(records) == 2, "a changed byte of a key or value is still a record"


def test_every_consumer_reads_so() -> None:
    tolerant.install()
    assert fetcher.MemoryRecords is tolerant.TolerantRecords
