"""How many records of a batch may fail for reasons of ours before the worker stops."""

import asyncio

import pytest

from ledger.errors import InternalErrors
from tests.streams.doors import Door, Offsets, appender, broken, inputs, poisoned


def test_a_bug_does_not_dead_letter_a_day() -> None:
    door = Door(lambda batch: ValueError("bug") if batch[0].undecodable is None else None)
    with pytest.raises(InternalErrors):
        asyncio.run(appender(door).append(inputs(500), Offsets()))
    assert len(door.stored) == 25, "5 % of the chunk, not of each half"


@pytest.mark.parametrize(("count", "of"), [(6, 500), (25, 500), (5, 100), (5, 10)])
def test_what_the_chunk_may_lose_its_first_records_may(count: int, of: int) -> None:
    """The refused stand together at the front, so they are most of the halves they end up in."""
    door, offsets = Door(poisoned(*range(count))), Offsets()
    asyncio.run(appender(door).append(inputs(of), offsets))
    assert [offset for offset, _ in door.stored] == list(range(of))
    assert [o for o, kind in door.stored if kind == "dead_lettered"] == list(range(count))
    assert offsets.stored == of


@pytest.mark.parametrize(("count", "of"), [(26, 500), (6, 100), (6, 10)])
def test_halving_gives_a_chunk_no_more_than_it_may_lose(count: int, of: int) -> None:
    """They are spread, so that each half alone would be below its own bound."""
    step = of // count
    door, offsets = Door(poisoned(*range(0, count * step, step))), Offsets()
    with pytest.raises(InternalErrors):
        asyncio.run(appender(door).append(inputs(of), offsets))
    lost = [offset for offset, kind in door.stored if kind == "dead_lettered"]
    assert len(lost) == count - 1


def test_bugs_and_refused_records_of_a_halved_chunk_count_together() -> None:
    """20 records meet a bug of ours and 6 more are refused by PostgreSQL: 26 of 500."""

    async def scenario(refused: range) -> list[tuple[int, str]]:
        door = Door(poisoned(*refused))
        await appender(door).append(broken(20, 500), Offsets())
        return door.stored

    stored = asyncio.run(scenario(range(100, 105)))
    assert len([kind for _, kind in stored if kind == "dead_lettered"]) == 25
    with pytest.raises(InternalErrors):
        asyncio.run(scenario(range(100, 106)))


def test_a_halved_chunk_counts_as_one_for_those_after_it() -> None:
    async def scenario(refused: int, then: int) -> None:
        door, offsets = Door(poisoned(*range(495, 495 + refused))), Offsets()
        one = appender(door)
        await one.append(inputs(500), offsets)
        door.fails = lambda _: None
        await one.append(broken(then, 30), offsets)

    # 26 of 530 may fail: the good records of the chunk are remembered with its bad ones.
    asyncio.run(scenario(5, 21))
    with pytest.raises(InternalErrors):
        asyncio.run(scenario(5, 22))


def test_one_failure_in_a_quiet_hour_is_not_a_hundred_percent() -> None:
    async def scenario() -> None:
        door = Door(poisoned(0))
        offsets = Offsets()
        one = appender(door)
        await one.append(inputs(1), offsets)
        assert door.stored == [(0, "dead_lettered")]

    asyncio.run(scenario())


@pytest.mark.parametrize(("count", "of"), [(1, 1), (1, 3), (5, 5), (5, 100), (25, 500)])
def test_a_few_broken_records_become_dead_letters(count: int, of: int) -> None:
    door = Door(lambda _: None)
    asyncio.run(appender(door).append(broken(count, of), Offsets()))
    assert len([kind for _, kind in door.stored if kind == "dead_lettered"]) == count
    assert len(door.stored) == of


@pytest.mark.parametrize(("count", "of"), [(6, 6), (6, 100), (26, 500), (500, 500)])
def test_more_than_a_few_are_refused_before_any_is_stored(count: int, of: int) -> None:
    door = Door(lambda _: None)
    with pytest.raises(InternalErrors):
        asyncio.run(appender(door).append(broken(count, of), Offsets()))
    assert door.stored == []


def test_the_latest_records_count_together() -> None:
    """Five of ten, then one more: refused; a hundred good ones later it is taken."""

    async def scenario() -> None:
        door, offsets = Door(lambda _: None), Offsets()
        one = appender(door)
        await one.append(broken(5, 10), offsets)
        with pytest.raises(InternalErrors):
            await one.append(broken(1, 10), offsets)
        assert len(door.stored) == 10
        await one.append(inputs(100), offsets)
        await one.append(broken(1, 10), offsets)
        assert len(door.stored) == 120

    asyncio.run(scenario())
