"""The same work for each of many things, in this process or in several, the results in order.

A worker process ends with the one that started it, also when that was killed: it asks who its
parent is between two pieces of work.
"""

import gc
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from multiprocessing import get_context
from typing import Any, TypeVar

AHEAD = 4
"""Pieces of work given out per process before the first one's result is taken: none is ever without
work, and none has a queue worth mentioning."""

POLL_SECONDS = 0.5
"""How often whoever waits is told that time passes."""

GC_THRESHOLDS = (100_000, 20, 100)
"""Of whoever folds: allocations before Python looks for reference cycles. What is read, folded and
written makes none worth mentioning, and many objects that stay: with Python's 700 the search takes
a tenth to a fifth of the time."""

Given = TypeVar("Given")
Result = TypeVar("Result")

_stop: Any = None
_parent = 0


def stopping() -> bool:
    """In a worker process: whether it should end after the work under way."""
    return _parent != 0 and (_stop.is_set() or os.getppid() != _parent)


def _begin(stop: Any, parent: int) -> None:
    global _stop, _parent
    _stop, _parent = stop, parent
    gc.set_threshold(*GC_THRESHOLDS)
    # Ctrl-C goes to all processes of a terminal; the parent tells when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def each(
    work: Callable[[Given], Result],
    things: Iterable[Given],
    jobs: int,
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[Result]:
    """Yield what `work` gives for each of `things`, in their order. With more than one job it must
    be importable, and `waiting` is called now and then. What `work` raises is raised here."""
    if jobs == 1:
        for thing in things:
            yield work(thing)
        return
    # Not forked: a child must not share this process's connections.
    context = get_context("spawn")
    stop = context.Event()
    pool = ProcessPoolExecutor(jobs, context, _begin, (stop, os.getpid()))
    under_way: deque[Future[Result]] = deque()

    def first() -> Result:
        while not under_way[0].done():
            wait([under_way[0]], POLL_SECONDS, FIRST_COMPLETED)
            waiting()
        return under_way.popleft().result()

    try:
        for thing in things:
            under_way.append(pool.submit(work, thing))
            if len(under_way) >= AHEAD * jobs:
                yield first()
        while under_way:
            yield first()
    finally:
        stop.set()
        pool.shutdown(wait=True, cancel_futures=True)
