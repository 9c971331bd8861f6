"""Getting a batch through the door: retries, halving, dead letters."""

import asyncio

import psycopg
import pytest

from ledger.errors import (
    AppendFailed,
    DatabaseUnavailable,
    InternalErrors,
    OffsetGap,
    WorkerStopped,
)
from ledger.received import Received, RecordRef
from streams.append import Part, is_transient
from tests.streams.doors import Door, Offsets, appender, inputs, poisoned


def test_transient_errors_are_retried_in_place() -> None:
    errors: list[Exception] = [
        psycopg.errors.DeadlockDetected("deadlock"),
        DatabaseUnavailable("away"),
    ]
    door = Door(lambda _: errors.pop() if errors else None)
    changed: set[int] = set()
    offsets = Offsets()
    asyncio.run(appender(door, changed).append(inputs(3), offsets))
    assert [offset for offset, _ in door.stored] == [0, 1, 2]
    assert offsets.stored == 3
    assert changed == {3}


def test_a_database_that_stays_away_stops_the_worker() -> None:
    door = Door(lambda _: DatabaseUnavailable("away"))
    with pytest.raises(WorkerStopped) as stopped:
        asyncio.run(appender(door, give_up=0.2).append(inputs(3), Offsets()))
    assert stopped.value.code == "database_gone"


def test_the_one_bad_record_is_dead_lettered_and_the_rest_goes_on() -> None:
    door = Door(poisoned(137))
    offsets = Offsets()
    asyncio.run(appender(door).append(inputs(500), offsets))
    assert [offset for offset, _ in door.stored] == list(range(500))
    assert [offset for offset, kind in door.stored if kind == "dead_lettered"] == [137]
    assert offsets.stored == 500


def test_a_gap_is_never_passed_over() -> None:
    door = Door(lambda _: OffsetGap("gap"))
    with pytest.raises(OffsetGap):
        asyncio.run(appender(door).append(inputs(3), Offsets()))
    assert door.stored == []


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (psycopg.OperationalError("lost"), True),
        (psycopg.errors.SerializationFailure("again"), True),
        (psycopg.errors.DiskFull("full"), True),
        (ConnectionResetError(), True),
        (psycopg.errors.ProgramLimitExceeded("row"), False),
        (psycopg.errors.CheckViolation("check"), False),
        (AppendFailed("no"), False),
        (KeyError("bug"), False),
    ],
)
def test_which_errors_may_pass(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient


def of_partition(partition: int, count: int) -> list[Received]:
    """Records of a partition; their offsets tell which one it is."""
    first = partition * 1_000
    return [
        Received(record=RecordRef("purchases", partition, offset))
        for offset in range(first, first + count)
    ]


def parts_of(*counts: int) -> tuple[list[Part], list[Offsets]]:
    """What as many partitions have."""
    cursors = [Offsets(partition * 1_000) for partition in range(len(counts))]
    parts = [
        Part(of_partition(partition, count), cursors[partition])
        for partition, count in enumerate(counts)
    ]
    return parts, cursors


def test_what_several_partitions_have_goes_through_the_door_at_once() -> None:
    door = Door(lambda _: None)
    parts, cursors = parts_of(3, 2, 1)
    asyncio.run(appender(door).append_all(parts))
    assert [offset for offset, _ in door.stored] == [0, 1, 2, 1_000, 1_001, 2_000]
    assert [cursor.stored for cursor in cursors] == [3, 1_002, 2_001]
    assert door.calls == 1


def test_the_one_bad_record_of_several_partitions_is_told_apart() -> None:
    door = Door(poisoned(1_003))
    parts, cursors = parts_of(20, 20, 20)
    asyncio.run(appender(door).append_all(parts))
    dead = [offset for offset, kind in door.stored if kind == "dead_lettered"]
    assert dead == [1_003]
    assert sorted(offset for offset, _ in door.stored) == [
        *range(20),
        *range(1_000, 1_020),
        *range(2_000, 2_020),
    ]
    assert [cursor.stored for cursor in cursors] == [20, 1_020, 2_020]


def test_too_many_bugs_in_one_partition_leave_nothing_of_the_append() -> None:
    door = Door(poisoned(*range(2_000, 2_020)))
    parts, cursors = parts_of(2, 2, 20)
    with pytest.raises(InternalErrors):
        asyncio.run(appender(door).append_all(parts))
    # Its partitions are told apart before it is known: the healthy ones may be stored.
    assert not [offset for offset, _ in door.stored if offset >= 2_010]
    assert [cursor.stored for cursor in cursors[:2]] in ([0, 1_000], [2, 1_002], [2, 1_000])
