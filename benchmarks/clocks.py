"""Which part of the worker uses how much CPU: clocks around its real functions, put there from
outside.

Steps of a batch are timed with the thread's CPU clock; what happens inside deciding, for each
purchase, with the cheaper wall clock, scaled to the CPU of the step around it. Time counts for the
innermost part that is being timed; a coroutine's only while it runs. Only the thread of the event
loop is looked into: the Kafka client's own thread is what remains of the process.
"""

import functools
import gc
import threading
import time
from collections.abc import Callable, Generator
from typing import Any

Nanoseconds = dict[str, float]

OTHER = "delivery and the rest"
"""What no clock is around: Faust, the event loop, the connection pool, metrics."""


class _Step:
    __slots__ = ("cpu", "fine", "part", "wall")

    def __init__(self, part: str) -> None:
        self.part = part
        self.cpu = self.wall = 0
        self.fine: dict[str, int] = {}


class Clocks:
    """Of the thread that makes them. `parts`: nanoseconds of CPU by part."""

    def __init__(self) -> None:
        self.parts: Nanoseconds = {}
        self._thread = threading.get_ident()
        self._steps = [_Step(OTHER)]
        self._fine: list[tuple[str, int]] = []
        self._cpu = time.thread_time_ns()
        self._wall = time.perf_counter_ns()
        self._gc_since = 0
        gc.callbacks.append(self._collecting)

    def step(self, owner: object, name: str, part: str) -> None:
        """Time each call of the function `owner.name`, which is made once per batch or so."""
        function = _found(owner, name)

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            self._enter(part)
            try:
                return function(*args, **kwargs)
            finally:
                self._leave()

        setattr(owner, name, timed)

    def coroutine(self, owner: object, name: str, part: str) -> None:
        """The same for a coroutine function."""
        function = _found(owner, name)

        @functools.wraps(function)
        async def timed(*args: Any, **kwargs: Any) -> Any:
            return await _Timed(self, part, function(*args, **kwargs))

        setattr(owner, name, timed)

    def inside(self, owner: object, name: str, part: str) -> None:
        """Time each call of a function that is made for each input, inside a step."""
        function = _found(owner, name)
        fine, clock = self._fine, time.perf_counter_ns

        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            fine.append((part, clock()))
            try:
                return function(*args, **kwargs)
            finally:
                self._leave_fine()

        setattr(owner, name, timed)

    def now(self) -> Nanoseconds:
        """The parts so far, the one under way included; also `loop` (all of this thread) and
        `process`."""
        self._switch()
        for step in self._steps:
            self._book(step)
        return {
            **self.parts,
            "loop": time.thread_time_ns(),
            "process": time.process_time_ns(),
        }

    def _enter(self, part: str) -> None:
        self._switch()
        self._steps.append(_Step(part))

    def _leave(self) -> None:
        self._switch()
        self._book(self._steps.pop())

    def _switch(self) -> None:
        cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
        step = self._steps[-1]
        step.cpu += cpu - self._cpu
        step.wall += wall - self._wall
        self._cpu, self._wall = cpu, wall

    def _book(self, step: _Step) -> None:
        scale = min(1.0, step.cpu / step.wall) if step.wall else 0.0
        own = float(step.cpu)
        for part, wall in step.fine.items():
            self.parts[part] = self.parts.get(part, 0.0) + wall * scale
            own -= wall * scale
        self.parts[step.part] = self.parts.get(step.part, 0.0) + own
        step.cpu = step.wall = 0
        step.fine = {}

    def _leave_fine(self) -> None:
        part, since = self._fine.pop()
        spent = time.perf_counter_ns() - since
        fine = self._steps[-1].fine
        fine[part] = fine.get(part, 0) + spent
        if self._fine:
            outer = self._fine[-1][0]
            fine[outer] = fine.get(outer, 0) - spent

    def _collecting(self, phase: str, _: object) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._fine.append(("garbage collection", time.perf_counter_ns()))
        elif self._fine:
            self._leave_fine()


class _Timed:
    """A coroutine whose every step counts for a part."""

    def __init__(self, clocks: Clocks, part: str, inner: Any) -> None:
        self._clocks = clocks
        self._part = part
        self._inner = inner

    def __await__(self) -> Generator[Any, Any, Any]:
        send: Callable[[Any], Any] = self._inner.send
        given: Any = None
        while True:
            self._clocks._enter(self._part)
            try:
                asked = send(given)
            except StopIteration as done:
                return done.value
            finally:
                self._clocks._leave()
            try:
                given = yield asked
                send = self._inner.send
            except BaseException as error:
                given, send = error, self._inner.throw


def _found(owner: object, name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(owner, name)
    return function
