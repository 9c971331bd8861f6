"""Cutting a fetch into chunks, and which partitions are asked for."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import chunks
from streams.chunks import ChunkScheduler, Room, cut
from tests.streams.records import fetched, record, tp


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 900)), min_size=1, max_size=60))
def test_chunks_follow_each_other_and_hold_every_record_once(
    steps: list[tuple[int, int]],
) -> None:
    """Offsets have holes (`steps`: distance to the record before, size)."""
    records, offset = [], 10
    for distance, size in steps:
        offset += distance
        records.append(record(offset, bytes(size)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CHUNK_RECORDS_MAX", 7)
        patch.setattr(chunks, "CHUNK_BYTES_MAX", 1_000)
        made = list(cut(tp(), fetched(records, from_offset=9, next_offset=offset + 3)))
    assert made[0].from_offset == 9
    assert made[-1].next_offset == offset + 3
    assert all(a.next_offset == b.from_offset for a, b in pairwise(made))
    assert [r for chunk in made for r in chunk.records] == records
    for chunk in made:
        assert len(chunk.records) <= 7
        assert chunk.size_bytes == sum(chunks.record_bytes(r) for r in chunk.records)
        assert chunk.size_bytes <= 1_000 or len(chunk.records) == 1


def test_a_stretch_without_records_is_an_empty_chunk() -> None:
    (chunk,) = cut(tp(), fetched([], from_offset=4, next_offset=6))
    assert (chunk.from_offset, chunk.next_offset, chunk.records) == (4, 6, [])


def test_partitions_take_turns() -> None:
    many = [record(offset) for offset in range(1_200)]
    one = [record(offset, partition=1) for offset in range(3)]
    order = [
        (where.partition, len(chunk.records))
        for where, chunk in ChunkScheduler().iterate(
            {tp(): fetched(many, from_offset=0), tp(partition=1): fetched(one, from_offset=0)}
        )
    ]
    assert order == [(0, 500), (1, 3), (0, 500), (0, 200)]


def test_a_full_partition_is_left_out_until_it_has_room() -> None:
    room = Room()
    assert room.asked() == set()
    room.open([tp(), tp(partition=1)])
    room.put(tp(), chunks.QUEUED_RECORDS_MAX, 1)
    assert room.asked() == {tp(partition=1)}
    assert room.some_full()
    room.put(tp(partition=1), 1, chunks.QUEUED_BYTES_MAX)
    assert room.asked() == set()
    room.took(tp(), 500, 1)
    assert room.asked() == {tp()}
    room.close()
    assert room.asked() == set()
    room.put(tp(), 5, 5)  # a late chunk of a partition that was taken away
    assert room.waiting() == 0


def test_a_record_weighs_its_key_its_value_and_its_headers() -> None:
    bare = record(1, b"12345", key=b"abc")
    assert chunks.record_bytes(bare) == 8
    assert chunks.record_bytes(record(1, None, key=None)) == 0
    full = record(1, b"12345", key=b"abc", headers=(("name", b"12"), ("x", None)))
    assert chunks.record_bytes(full) == 8 + (4 + 2) + (1 + 0) + 2 * chunks.HEADER_BYTES


def test_room_is_counted_down_to_nothing() -> None:
    room = Room()
    room.open([tp()])
    for _ in range(4):
        room.put(tp(), 3, chunks.QUEUED_BYTES_MAX // 4)
    assert (room.asked(), room.waiting()) == (set(), 12)
    room.took(tp(), 3, chunks.QUEUED_BYTES_MAX // 4)
    assert (room.asked(), room.waiting()) == ({tp()}, 9)
    room.put(tp(), 3, chunks.QUEUED_BYTES_MAX // 4)
    assert room.asked() == set()
    for _ in range(4):
        room.took(tp(), 3, chunks.QUEUED_BYTES_MAX // 4)
    assert (room.asked(), room.waiting()) == ({tp()}, 0)
    room.put(tp(), chunks.QUEUED_RECORDS_MAX - 1, 0)
    assert room.asked() == {tp()}
    room.put(tp(), 1, 0)
    assert room.asked() == set()
    room.open([tp()])
    assert (room.asked(), room.waiting()) == ({tp()}, 0), "opened anew, nothing waits"
