"""Shards of an audit in parallel: some processes, each with its own session on the same snapshot.

A process takes one shard after the other. It tells after each step how far the shard is, so that
whoever gave the order can write it down; told to stop, it ends after the step under way. Ctrl-C is
the business of the process that gave the order: these ignore it.
"""

import gc
import multiprocessing
import queue
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.synchronize import Event
from typing import Any, NamedTuple

from audit.errors import AuditRefused
from audit.plan import Plan
from audit.session import connect, one_moment
from audit.shard_check import ShardState, check_shard
from projections.parallel import GC_THRESHOLDS

LOOK_SECONDS = 0.5
"""How long to wait for news before looking whether the processes still live."""

END_SECONDS = 30.0
"""For a process to end its step after it was told to stop: a hundred times what a step takes."""

Stopping = Callable[[], bool]


class Progress(NamedTuple):
    """How far a shard is. `failure`: why its process ended instead."""

    state: ShardState
    failure: str | None = None


def check_all(
    plan: Plan, states: Sequence[ShardState], jobs: int, stopping: Stopping
) -> Iterator[ShardState]:
    """Bring every state forward, `jobs` at a time; each is yielded after each of its steps.

    Ends early once `stopping` says so. Raises AuditRefused (worker_lost).
    """
    if jobs == 1 or len(states) <= 1:
        yield from _here(plan, states, stopping)
        return
    yield from _elsewhere(plan, states, min(jobs, len(states)), stopping)


def _here(plan: Plan, states: Sequence[ShardState], stopping: Stopping) -> Iterator[ShardState]:
    with connect(plan.url) as connection, one_moment(connection, plan.snapshot):
        for state in states:
            for _ in check_shard(connection, plan, state):
                yield state
                if stopping():
                    return


def _elsewhere(
    plan: Plan, states: Sequence[ShardState], jobs: int, stopping: Stopping
) -> Iterator[ShardState]:
    context = multiprocessing.get_context("spawn")  # libpq's sessions do not survive a fork
    orders: Any = context.Queue()
    news: Any = context.Queue()
    stop = context.Event()
    for state in states:
        orders.put(state)
    for _ in range(jobs):
        orders.put(None)
    processes = [
        context.Process(target=_work, args=(plan, orders, news, stop), daemon=True)
        for _ in range(jobs)
    ]
    for process in processes:
        process.start()
    running = jobs
    try:
        while running:
            if stopping():
                stop.set()
            try:
                told: Progress | None = news.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                if any(process.exitcode not in (None, 0) for process in processes):
                    raise AuditRefused(
                        "A process of the audit was ended from outside: run the same command"
                        " again, with --resume it goes on.",
                        "worker_lost",
                    ) from None
                continue
            if told is None:
                running -= 1
            elif told.failure is not None:
                raise AuditRefused(f"A process of the audit failed: {told.failure}", "worker_lost")
            else:
                yield told.state
    finally:
        stop.set()
        for process in processes:
            process.join(END_SECONDS if running == 0 else LOOK_SECONDS)
            if process.is_alive():
                process.terminate()


def _work(plan: Plan, orders: Any, news: Any, stop: Event) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.set_threshold(*GC_THRESHOLDS)
    state: ShardState | None = None
    try:
        with connect(plan.url) as connection, one_moment(connection, plan.snapshot):
            while not stop.is_set() and (state := orders.get()) is not None:
                for _ in check_shard(connection, plan, state):
                    news.put(Progress(state))
                    if stop.is_set():
                        break
    except Exception as error:  # told where somebody can read it
        news.put(Progress(state or ShardState(0), f"{type(error).__name__}: {error}"))
    news.put(None)
