"""Calls of many callers go through one function in groups: what comes meanwhile is the next group.

A group costs hardly more than one call alone, so that many callers at once cost hardly more than
one. Nobody waits for others to come: the first call goes alone.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

from msgspec import Struct

T = TypeVar("T")
A = TypeVar("A")


class Full(Exception):
    """More calls wait than may."""


class _Waiting(Struct, Generic[T, A]):
    item: T
    answer: asyncio.Future[A]


class Groups(Generic[T, A]):
    """`answers` is called with the items of a group, in the order in which they came, and returns
    the answer to each. When it raises, each item is tried alone, for one may be at fault, except
    where `of_all` says that the error is no item's fault. `size`: items of a group; `at_once`:
    groups at once; `waiting`: items that wait, more are refused. Items of one `key` never are in
    the same group. `add` may be called by any number of tasks of one loop."""

    def __init__(
        self,
        answers: Callable[[Sequence[T]], Awaitable[Sequence[A]]],
        *,
        size: int,
        at_once: int,
        waiting: int,
        of_all: Callable[[Exception], bool],
        key: Callable[[T], Hashable] = id,
    ) -> None:
        self._answers = answers
        self._size = size
        self._at_once = at_once
        self._waiting_max = waiting
        self._of_all = of_all
        self._key = key
        self._waiting: deque[_Waiting[T, A]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self.groups = 0
        self.items = 0

    async def add(self, item: T) -> A:
        """The answer. Raises Full, and what `answers` raises."""
        if len(self._waiting) >= self._waiting_max:
            raise Full
        answer: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, answer))
        self._start()
        return await answer

    async def close(self) -> None:
        """Let everything that was taken end."""
        while self._running:
            await asyncio.wait(set(self._running))

    def _start(self) -> None:
        """Begin a group if there is something to do and a group is free. It is gathered when its
        task comes on, so that all who call in one turn of the loop are in it."""
        if self._waiting and len(self._running) < self._at_once:
            task = asyncio.create_task(self._run())
            self._running.add(task)
            task.add_done_callback(self._ended)

    async def _run(self) -> None:
        group = self._next()
        if self._waiting:
            self._start()
        if group:
            await self._carry_out(group)

    def _next(self) -> list[_Waiting[T, A]]:
        """What waits, in its order, up to an item whose key is there already."""
        group: dict[Hashable, _Waiting[T, A]] = {}
        while self._waiting and len(group) < self._size:
            key = self._key(self._waiting[0].item)
            if key in group:
                break
            group[key] = self._waiting.popleft()
        return list(group.values())

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        self._start()

    async def _carry_out(self, group: list[_Waiting[T, A]]) -> None:
        try:
            answers = await self._answers([each.item for each in group])
        except BaseException as error:
            if len(group) > 1 and isinstance(error, Exception) and not self._of_all(error):
                for each in group:
                    await self._carry_out([each])
                return
            for each in group:
                if not each.answer.done():
                    each.answer.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        self.groups += 1
        self.items += len(group)
        for each, answer in zip(group, answers, strict=True):
            if not each.answer.done():  # else the caller has gone
                each.answer.set_result(answer)
