"""Getting a batch through the door: retries, halving, dead letters."""

import asyncio

import psycopg
import pytest

from ledger.errors import AppendFailed, DatabaseUnavailable, OffsetGap, WorkerStopped
from streams.append import is_transient
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
