"""Calls in groups: nobody waits for others, and nobody suffers for another's fault."""

import asyncio
from collections.abc import Sequence

import pytest

from api.groups import Full, Groups


class Unreachable(Exception):
    """No item's fault."""


def test_what_comes_during_a_group_is_the_next_group() -> None:
    seen: list[list[int]] = []

    async def story() -> None:
        begun, go = asyncio.Event(), asyncio.Event()

        async def answers(items: Sequence[int]) -> list[int]:
            seen.append(list(items))
            begun.set()
            await go.wait()
            return [10 * item for item in items]

        groups = Groups(answers, size=3, at_once=1, waiting=9, of_all=lambda _: False)
        first = asyncio.create_task(groups.add(1))
        await begun.wait()
        others = [asyncio.create_task(groups.add(n)) for n in range(2, 7)]
        await asyncio.sleep(0)
        go.set()
        assert await asyncio.gather(first, *others) == [10, 20, 30, 40, 50, 60]
        await groups.close()

    asyncio.run(story())
    assert seen == [[1], [2, 3, 4], [5, 6]]


def test_items_of_one_key_are_not_in_one_group() -> None:
    seen: list[list[str]] = []

    async def answers(items: Sequence[str]) -> list[str]:
        seen.append(list(items))
        return list(items)

    async def story() -> None:
        groups = Groups(
            answers, size=9, at_once=1, waiting=9, of_all=lambda _: False, key=lambda text: text[0]
        )
        told = await asyncio.gather(*(groups.add(text) for text in ("a1", "b1", "a2", "b2")))
        assert told == ["a1", "b1", "a2", "b2"]

    asyncio.run(story())
    assert seen == [["a1", "b1"], ["a2", "b2"]]


def test_one_at_fault_fails_alone_and_what_is_nobodys_fault_fails_all_at_once() -> None:
    calls = 0

    async def answers(items: Sequence[int]) -> list[int]:
        nonlocal calls
        calls += 1
        if 99 in items:
            raise Unreachable
        if 3 in items:
            raise ValueError
        return list(items)

    async def story() -> None:
        nonlocal calls
        groups = Groups(
            answers,
            size=9,
            at_once=1,
            waiting=9,
            of_all=lambda error: isinstance(error, Unreachable),
        )
        told = await asyncio.gather(*(groups.add(n) for n in range(5)), return_exceptions=True)
        assert isinstance(told.pop(3), ValueError)
        assert told == [0, 1, 2, 4]
        calls = 0
        told = await asyncio.gather(*(groups.add(n) for n in (1, 99)), return_exceptions=True)
        assert [type(each) for each in told] == [Unreachable, Unreachable]
        assert calls == 1

    asyncio.run(story())


def test_more_than_may_wait_are_refused_at_once() -> None:
    async def story() -> None:
        go = asyncio.Event()

        async def answers(items: Sequence[int]) -> list[int]:
            await go.wait()
            return list(items)

        groups = Groups(answers, size=1, at_once=1, waiting=2, of_all=lambda _: False)
        tasks = [asyncio.create_task(groups.add(n)) for n in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Full):
            await groups.add(3)
        go.set()
        assert await asyncio.gather(*tasks) == [0, 1]

    asyncio.run(story())
