"""A process of its own for what is to die: its end, and what it said last."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

from ledger import crash

DEADLINE_SECONDS = 300.0
"""For one play: a hundred times what it takes."""

# Not forked from the tests' process, whose threads and connections a child must not have.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.crash.plays"])


def dies(point: str, said: Path, act: Callable[..., None], *arguments: object) -> bool:
    """Act in a process that is armed with `point` (NAME or NAME:N): whether it was killed there.

    False: it came to its end, for it did not pass the point so often. Anything else is a failure.
    """
    process = _CONTEXT.Process(target=_act, args=(point, str(said), act, *arguments))
    process.start()
    process.join(DEADLINE_SECONDS)
    if process.is_alive():
        process.kill()
        raise AssertionError(f"{point}: not at its end after {DEADLINE_SECONDS} s")
    text = said.read_text(encoding="utf-8")
    if process.exitcode == -signal.SIGKILL:
        assert f"crash point {point}" in text, f"killed, but not at {point}: {text}"
        return True
    assert process.exitcode == 0, text
    return False


def _act(point: str, said: str, act: Callable[..., None], *arguments: object) -> None:
    os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 2)
    crash.arm(point)
    act(*arguments)
