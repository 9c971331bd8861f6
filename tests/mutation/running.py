"""Running tests in forks of the process that collected them.

A fork leads a process group of its own, so that whatever its tests started ends with it, and its
CPU time and memory are bounded: a mutant may loop for ever.
"""

import contextlib
import gc
import os
import resource
import signal
import traceback
from collections.abc import Callable
from dataclasses import dataclass

import pytest

SLOWER = 5.0
"""How many times a test's own time a mutant may take, before it counts as endless."""

SPARE_CPU_SECONDS = 10.0
"""For short tests: what comes with a first run, such as imports inside functions."""

MEMORY_BYTES = 4 * 2**30
"""Address space of a fork: a mutant may fill a list for ever."""

KILLED, SURVIVED, NO_MUTANT, BROKEN = 10, 11, 12, 13
"""How a fork ends; by a signal when its time was up."""


@dataclass(frozen=True, slots=True)
class Fork:
    """A process and the file descriptor of what it tells."""

    pid: int
    told: int


def fork(work: Callable[[int], int]) -> Fork:
    """Do `work` in a fork; it gets a descriptor to write to, and returns the exit code."""
    reading, writing = os.pipe()
    gc.freeze()
    pid = os.fork()
    if pid:
        os.close(writing)
        return Fork(pid, reading)
    code = BROKEN
    try:
        os.setpgid(0, 0)
        os.close(reading)
        code = work(writing)
    except BaseException:
        os.write(writing, traceback.format_exc(limit=-4).encode()[-2000:])
    finally:
        os._exit(code)


def end(child: Fork) -> None:
    """End the fork's group; to be called before it is waited for."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def run(item: pytest.Item, following: pytest.Item | None) -> str | None:
    """Run one test; what failed, or None. Nothing is printed."""
    watch = _Watch()
    plugins = item.config.pluginmanager
    if plugins.has_plugin("terminalreporter"):
        plugins.unregister(name="terminalreporter")
    plugins.register(watch)
    try:
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    finally:
        plugins.unregister(watch)
    return watch.failed


def first_failure(items: list[pytest.Item], seconds: dict[str, float]) -> str | None:
    """Run tests until one fails; its name, or None. Ends by SIGXCPU when one takes far too long."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for item, following in zip(items, [*items[1:], None], strict=True):
        used = resource.getrusage(resource.RUSAGE_SELF)
        allowed = SLOWER * seconds[item.nodeid] + SPARE_CPU_SECONDS
        limit = int(used.ru_utime + used.ru_stime + allowed) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        failed = run(item, following)
        if failed is not None:
            if following is not None:
                with contextlib.suppress(BaseException):
                    item.session._setupstate.teardown_exact(None)
            return failed
    return None


class _Watch:
    """Remembers the first failure of a test."""

    def __init__(self) -> None:
        self.failed: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.failed is None:
            self.failed = f"{report.nodeid} ({report.when})"
