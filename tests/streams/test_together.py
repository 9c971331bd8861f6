"""What several partition numbers have goes together, as long as it is little."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from ledger.errors import OffsetGap
from streams.append import Part
from streams.together import LARGE_AT_ONCE, TOGETHER_RECORDS_MAX, Together
from tests.streams.doors import Offsets, inputs

WAIT_SECONDS = 60.0


class Store:
    """Stands where `LedgerAppender` does: notes how many records of which cursors came together,
    and may be told to hold, or to fail."""

    def __init__(self) -> None:
        self.begun: list[list[tuple[Offsets, int]]] = []
        self.ended: list[list[tuple[Offsets, int]]] = []
        self.cancelled = 0
        self.fails: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def append_all(self, parts: Sequence[Part]) -> None:
        told = []
        for batch, cursor in parts:
            assert isinstance(cursor, Offsets)
            told.append((cursor, len(batch)))
        self.begun.append(told)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.fails is not None:
            raise self.fails
        self.ended.append(told)


class Rig:
    """Partitions that hand batches over."""

    def __init__(self) -> None:
        self.store = Store()
        self.together = Together(self.store)

    def append(self, count: int, cursor: Offsets) -> "asyncio.Task[None]":
        return asyncio.create_task(self.together.append(inputs(count), cursor))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while not condition():  # noqa: ASYNC110 (any condition: no event to wait for)
            await asyncio.sleep(0.001)


def play(scenario: Callable[[Rig], Coroutine[Any, Any, None]]) -> None:
    async def all_of_it() -> None:
        async with asyncio.timeout(WAIT_SECONDS):
            await scenario(Rig())

    asyncio.run(all_of_it())


def test_what_comes_while_an_append_is_under_way_goes_together() -> None:
    async def scenario(rig: Rig) -> None:
        a, b, c = Offsets(), Offsets(), Offsets()
        rig.store.gate.clear()
        first = rig.append(3, a)
        await until(lambda: len(rig.store.begun) == 1)
        rest = [rig.append(5, b), rig.append(7, c)]
        await asyncio.sleep(0.02)
        assert len(rig.store.begun) == 1, "the append under way is waited for"
        rig.store.gate.set()
        await asyncio.gather(first, *rest)
        assert rig.store.ended == [[(a, 3)], [(b, 5), (c, 7)]]

    play(scenario)


def test_no_more_go_together_than_the_bound_and_who_waits_longest_goes_first() -> None:
    async def scenario(rig: Rig) -> None:
        cursors = [Offsets() for _ in range(5)]
        size = TOGETHER_RECORDS_MAX // 2
        await asyncio.gather(*(rig.append(size, cursor) for cursor in cursors))
        assert [[cursor for cursor, _ in told] for told in rig.store.ended] == [
            cursors[:2],
            cursors[2:4],
            cursors[4:],
        ]

    play(scenario)


def test_few_large_batches_are_under_way_at_once_and_small_ones_do_not_wait_for_them() -> None:
    async def scenario(rig: Rig) -> None:
        large, small = TOGETHER_RECORDS_MAX + 1, Offsets()
        cursors = [Offsets() for _ in range(LARGE_AT_ONCE + 1)]
        rig.store.gate.clear()
        waiting = [rig.append(large, cursor) for cursor in cursors]
        await until(lambda: len(rig.store.begun) == LARGE_AT_ONCE)
        beside = rig.append(1, small)
        await until(lambda: len(rig.store.begun) == LARGE_AT_ONCE + 1)
        assert rig.store.begun[-1] == [(small, 1)], "one that is large began before its turn"
        rig.store.gate.set()
        await asyncio.gather(beside, *waiting)
        assert [(cursors[-1], large)] in rig.store.ended

    play(scenario)


def test_a_large_batch_that_is_given_up_leaves_its_turn_to_others() -> None:
    async def scenario(rig: Rig) -> None:
        large = TOGETHER_RECORDS_MAX + 1
        rig.store.gate.clear()
        waiting = [rig.append(large, Offsets()) for _ in range(LARGE_AT_ONCE)]
        await until(lambda: len(rig.store.begun) == LARGE_AT_ONCE)
        given_up = rig.append(large, Offsets())
        for task in (given_up, waiting.pop()):
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        last = rig.append(large, Offsets())
        await until(lambda: len(rig.store.begun) == LARGE_AT_ONCE + 1)
        rig.store.gate.set()
        await asyncio.gather(last, *waiting)

    play(scenario)


def test_a_large_batch_does_not_wait_for_small_ones() -> None:
    async def scenario(rig: Rig) -> None:
        small, large = Offsets(), Offsets()
        rig.store.gate.clear()
        waiting = rig.append(1, small)
        await until(lambda: len(rig.store.begun) == 1)
        beside = rig.append(TOGETHER_RECORDS_MAX + 1, large)
        await until(lambda: len(rig.store.begun) == 2)
        assert rig.store.begun[1] == [(large, TOGETHER_RECORDS_MAX + 1)]
        rig.store.gate.set()
        await asyncio.gather(waiting, beside)

    play(scenario)


def test_an_error_reaches_all_who_went_together_and_nobody_else() -> None:
    async def scenario(rig: Rig) -> None:
        rig.store.fails = OffsetGap("gap")
        failed = await asyncio.gather(
            rig.append(1, Offsets()), rig.append(1, Offsets()), return_exceptions=True
        )
        assert [type(each) for each in failed] == [OffsetGap, OffsetGap]
        rig.store.fails = None
        await rig.append(1, Offsets())
        assert len(rig.store.ended) == 1

    play(scenario)


def test_what_is_given_up_before_its_turn_is_not_appended() -> None:
    async def scenario(rig: Rig) -> None:
        a, b, c = Offsets(), Offsets(), Offsets()
        rig.store.gate.clear()
        first = rig.append(1, a)
        await until(lambda: len(rig.store.begun) == 1)
        given_up, kept = rig.append(1, b), rig.append(1, c)
        await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        rig.store.gate.set()
        await asyncio.gather(first, kept)
        assert rig.store.ended == [[(a, 1)], [(c, 1)]]

    play(scenario)


def test_an_append_goes_on_for_who_still_waits_for_it() -> None:
    async def scenario(rig: Rig) -> None:
        rig.store.gate.clear()
        given_up, kept = rig.append(1, Offsets()), rig.append(1, Offsets())
        await until(lambda: len(rig.store.begun) == 1)
        assert len(rig.store.begun[0]) == 2
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert not rig.store.cancelled
        rig.store.gate.set()
        await kept
        assert len(rig.store.ended) == 1

    play(scenario)


def test_an_append_that_nobody_waits_for_is_over_when_the_last_has_gone() -> None:
    async def scenario(rig: Rig) -> None:
        rig.store.gate.clear()
        both = [rig.append(1, Offsets()), rig.append(1, Offsets())]
        await until(lambda: len(rig.store.begun) == 1)
        for task in both:
            task.cancel()
        await asyncio.wait(both)
        assert rig.store.cancelled == 1
        rig.store.gate.set()
        await rig.append(1, Offsets())  # and the next one is not in its way
        assert len(rig.store.ended) == 1

    play(scenario)
