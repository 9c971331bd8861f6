"""Processes under test: workers and the projections, started by the command line as in service.

Each writes its log into the campaign's folder. One that ends by itself is told of with the code it
gave: a worker may give up while Kafka or PostgreSQL is away (its supervisor starts it again), any
other end is a finding.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

STOP_SECONDS = 60.0
"""What a graceful stop may take: the batch in flight, leaving the group, closing the database."""

STARTED = '{"event": "the campaign starts the process"}'
"""Written into a log at each start."""

TAIL_LINES = 20
"""Of a log that is quoted."""


class Process:
    """One `points …` process, again and again: `start` after it ended starts a new one."""

    def __init__(
        self, name: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._arguments = arguments
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self.wanted = False
        self.starts = 0

    def start(self) -> None:
        """Start it unless it runs."""
        self.wanted = True
        if self.running:
            return
        self.starts += 1
        with self.log.open("ab") as log:
            log.write(STARTED.encode() + b"\n")
            log.flush()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "cli.main", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        """Whether there is a process."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the last one started."""
        assert self._process is not None
        return self._process.pid

    @property
    def up(self) -> bool:
        """Whether the worker started last has told where its probes are: it heeds signals."""
        return "worker: http" in self._since_start()

    def _since_start(self) -> str:
        return self.log.read_text(errors="replace").rpartition(STARTED)[2]

    def kill(self) -> None:
        """kill -9; it is not wanted until started again."""
        self.wanted = False
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def freeze(self) -> None:
        """Stop it wherever it is."""
        if self.running:
            os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.running:
            os.kill(self.pid, signal.SIGCONT)

    def terminate(self) -> int:
        """Ask for a graceful stop and wait; the exit status. Raises subprocess.TimeoutExpired."""
        self.wanted = False
        if self._process is None:
            return 0
        if self.running:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(STOP_SECONDS)

    def ended_by_itself(self) -> str | None:
        """The code with which it ended although it was wanted; None while all is well."""
        if not self.wanted or self.running or self._process is None:
            return None
        return _code(self.log, self._process.returncode)

    def tail(self) -> str:
        """The end of its log."""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL_LINES:]
        return "\n".join(lines)


def _code(log: Path, status: int) -> str:
    """The code of the last error in a log: `error [code] …`, the last line of a command."""
    for line in reversed(log.read_text(errors="replace").splitlines()[-TAIL_LINES:]):
        if line.startswith("error ["):
            return line.removeprefix("error [").partition("]")[0]
        if '"worker_stuck"' in line:
            return str(json.loads(line)["event"])
    return f"status {status}"
