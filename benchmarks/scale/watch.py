"""A command of ours as a process, and what it took: time, CPU, memory, and PostgreSQL's part.

Memory of ours is the largest resident size (VmHWM) of the process or of any that it started; of
PostgreSQL it is the largest memory that a session had for itself (RssAnon: what is shared between
sessions is the server's cache, and has a size of its own). Both are looked at four times a second.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import psutil
from msgspec import Struct

from ledger.errors import LedgerError

LOOK_SECONDS = 0.25
"""Between two looks at memory."""

END_SECONDS = 30.0
"""For a command to end in order: some times what its longest step takes."""

TAIL_LINES = 15
"""Of a failed command's log: enough for its last message."""


class Took(Struct, frozen=True):
    """What a command took: seconds of wall and of CPU, MiB. `events`: over how many events of the
    log it went."""

    events: int
    wall: float
    cpu: float
    postgres_cpu: float
    peak_mib: int
    postgres_mib: int

    def micros(self, seconds: float) -> float:
        """Microseconds per event."""
        return seconds / max(self.events, 1) * 1e6


def run(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    postgres: int,
    events: int,
    log: Path,
    module: str = "cli.main",
) -> tuple[Took, str]:
    """Run `python -m module arguments` to its end; what it took and its standard output, which is
    left in `log` too. What it says on standard error is shown. Raises LedgerError (`step_failed`).
    """
    server = psutil.Process(postgres)
    before, began, peak, memory = _cpu_of(server), time.monotonic(), 0, 0
    with log.open("wb") as out:
        process = _started([sys.executable, "-m", module, *arguments], environment, out)
        try:
            while True:
                pid, status, used = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    process.returncode = os.waitstatus_to_exitcode(status)
                    break
                peak = max(peak, _largest(_with_children(process.pid), "VmHWM:"))
                memory = max(memory, _largest(_children(server), "RssAnon:"))
                time.sleep(LOOK_SECONDS)
        except BaseException:
            _end(process)
            raise
    told = log.read_text()
    if process.returncode != 0:
        end = "\n".join(told.splitlines()[-TAIL_LINES:])
        raise LedgerError(
            f"`{' '.join(arguments)}` ended with status {process.returncode}: {end}", "step_failed"
        )
    took = Took(
        events,
        time.monotonic() - began,
        used.ru_utime + used.ru_stime,
        _cpu_of(server) - before,
        peak >> 10,
        memory >> 10,
    )
    return took, told


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End it in order, as Ctrl-C does; or at once, with all that it started."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _started(
    command: Sequence[str], environment: Mapping[str, str], out: IO[bytes]
) -> "subprocess.Popen[bytes]":
    # A session of its own: Ctrl-C reaches this process alone, which then ends the command in order.
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=out,
        env={**os.environ, **environment},
        start_new_session=True,
    )


def _cpu_of(server: psutil.Process) -> float:
    """CPU of all sessions, alive or ended, and of the server's own processes, so far."""
    own = server.cpu_times()
    used = own.user + own.system + own.children_user + own.children_system
    for child in server.children():
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        used += times.user + times.system
    return float(used)


def _with_children(pid: int) -> list[int]:
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def _children(server: psutil.Process) -> list[int]:
    return [child.pid for child in server.children()]


def _largest(pids: Sequence[int], field: str) -> int:
    """Of the processes, the largest value of a field of their status, KiB."""
    largest = 0
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue
        for line in status.splitlines():
            if line.startswith(field):
                largest = max(largest, int(line.split()[1]))
    return largest
