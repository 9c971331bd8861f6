"""Where reading goes on, and when the worker refuses to."""

import pytest
from faust.types import TP

from ledger.errors import WorkerStopped
from ledger.received import StoredPosition
from streams.offsets import check_ids, check_range
from streams.partition import checksum
from tests.streams.records import tp


def stored(offset: int) -> dict[TP, StoredPosition]:
    return {tp(): StoredPosition(offset, None, None)}


def test_the_stored_offset_counts() -> None:
    assert check_range(stored(7), {tp(): 3}, {tp(): 9}) == {tp(): 7}


def test_what_was_never_read_starts_at_the_first_record() -> None:
    assert check_range({}, {tp(): 3}, {tp(): 9}) == {tp(): 3}


@pytest.mark.parametrize("offset", [3, 9])
def test_both_ends_of_the_log_are_inside(offset: int) -> None:
    starts = check_range(stored(offset), {tp(): 3}, {tp(): 9})
    assert starts == {tp(): offset}


@pytest.mark.parametrize(("first", "start"), [(6, 7), (7, 7), (8, 8), (9, 9)])
def test_where_no_record_lies_the_log_may_begin_later(first: int, start: int) -> None:
    read = {tp(): StoredPosition(7, None, None, read_to=9)}
    assert check_range(read, {tp(): first}, {tp(): 12}) == {tp(): start}
    with pytest.raises(WorkerStopped):
        check_range(read, {tp(): 10}, {tp(): 12})


@pytest.mark.parametrize(
    ("known", "found", "stops"),
    [(b"a", b"a", False), (b"a", b"b", True), (None, b"b", False), (b"a", None, False)],
)
def test_a_topic_is_known_by_its_id_as_far_as_ids_are_told(
    known: bytes | None, found: bytes | None, stops: bool
) -> None:
    at = {tp(): StoredPosition(7, known, None)}
    ids = {} if found is None else {tp().topic: found}
    if not stops:
        check_ids(at, ids)
        return
    with pytest.raises(WorkerStopped) as stopped:
        check_ids(at, ids)
    assert stopped.value.code == "topic_recreated"


@pytest.mark.parametrize(("offset", "what"), [(2, "expired"), (10, "truncated or recreated")])
def test_outside_of_the_log_the_worker_stops(offset: int, what: str) -> None:
    with pytest.raises(WorkerStopped, match=what) as stopped:
        check_range(stored(offset), {tp(): 3}, {tp(): 9})
    assert stopped.value.code == "input_lost"


def test_a_checksum_tells_key_value_and_their_border_apart() -> None:
    assert len({checksum(b"a", b"bc"), checksum(b"ab", b"c"), checksum(None, b"abc")}) == 3
    assert checksum(b"a", b"") != checksum(b"a", None)
