"""Ends the process when it hangs where no error would ever be raised.

A thread of its own, because what it watches may be the event loop. It watches a rebalance that does
not end, a loop that does not turn, and a stop that does not finish. Nothing is lost by the end: the
worker resumes at its stored offsets.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable

REBALANCE_SECONDS_MAX = 120.0
"""A rebalance takes seconds; after two minutes the worker is out of the group for good."""

LOOP_SECONDS_MAX = 120.0
"""The loop turns every few milliseconds; the slowest batch takes a second."""

STOP_SECONDS_MAX = 60.0
"""A stop: one batch, one group offset, leaving the group."""

LOOK_SECONDS = 1.0
"""Between two looks."""

STDERR = 2
"""The file descriptor of standard error."""

EXIT_STUCK = 70
"""Exit status (sysexits' EX_SOFTWARE)."""


class Watchdog:
    """`rebalancing_since`: monotonic seconds, None in peace. Call `alive` from the loop."""

    def __init__(self, rebalancing_since: Callable[[], float | None]) -> None:
        self._rebalancing_since = rebalancing_since
        self._alive_at = time.monotonic()
        self._stopping_since: float | None = None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def alive(self) -> None:
        """The loop turned."""
        self._alive_at = time.monotonic()

    def stopping(self) -> None:
        """The worker has begun to stop."""
        self._stopping_since = time.monotonic()

    def stop(self) -> None:
        """The worker is done: watch no longer."""
        self._done.set()

    def reason(self, now: float) -> str | None:
        """Why the process is to be ended at `now`, if it is."""
        rebalancing = self._rebalancing_since()
        if self._stopping_since is not None:
            if now - self._stopping_since > STOP_SECONDS_MAX:
                return f"stopping has taken over {STOP_SECONDS_MAX:.0f} seconds"
            return None
        if rebalancing is not None and now - rebalancing > REBALANCE_SECONDS_MAX:
            return f"a rebalance has taken over {REBALANCE_SECONDS_MAX:.0f} seconds"
        if now - self._alive_at > LOOP_SECONDS_MAX:
            return f"the event loop has not turned for {LOOP_SECONDS_MAX:.0f} seconds"
        return None

    def _run(self) -> None:
        while not self._done.wait(LOOK_SECONDS):
            reason = self.reason(time.monotonic())
            if reason is not None:
                _tell(f'{{"event": "worker_stuck", "reason": "{reason}", "level": "error"}}\n')
                os._exit(EXIT_STUCK)


def _tell(line: str) -> None:
    """A last word, which must not keep the process from ending: not by the logger, whose lock may
    be held by what hangs; not by a pipe that is full, or that nobody reads any more."""
    with contextlib.suppress(OSError):  # full, or closed: the exit status tells of it too
        os.set_blocking(STDERR, False)
        os.write(STDERR, line.encode())
