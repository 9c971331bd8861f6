"""The worker and the projections as processes of their own, as in service.

Their standard error goes to a file each in the data folder. A child that ends by itself while the
demo runs is an error that quotes the end of its log; at the end each gets SIGTERM and a bounded
time to finish its batch.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from ledger.errors import LedgerError

STOP_SECONDS = 60
"""How long a child may take to finish its batch and leave its group before it is killed."""

LOG_TAIL_LINES = 15
"""Lines of a dead child's log that the error quotes: enough for the last message."""


class Child:
    """One process of ours: `points …`, or another `module`."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        log: Path,
        environment: Mapping[str, str],
        module: str = "cli.main",
    ) -> None:
        self.name = name
        self.log = log
        self._log_file: IO[bytes] = log.open("ab")
        # A session of its own: Ctrl-C in the terminal reaches the demo alone, which then stops
        # its children in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=self._log_file,
            stderr=self._log_file,
            env={**os.environ, **environment},
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def check(self) -> None:
        """Raise LedgerError `child_ended` when the process is no longer there."""
        code = self._process.poll()
        if code is None:
            return
        lines = self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        raise LedgerError(
            f"The {self.name} ended with status {code}; its log {self.log} ends with:\n"
            + "\n".join(lines),
            "child_ended",
        )

    def peak_memory_mib(self) -> int | None:
        """Largest resident size so far in MiB, where the system tells it (Linux)."""
        try:
            text = Path(f"/proc/{self.pid}/status").read_text()
        except OSError:
            return None
        for line in text.splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) // 1024
        return None

    def stop(self) -> None:
        """Ask it to finish and leave; kill it when it has not within STOP_SECONDS."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(timeout=STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()
        self._log_file.close()

    def answer(self, seconds: float) -> str:
        """The last line that it wrote, once it has ended. Raises LedgerError `child_ended` when it
        failed or is not done within `seconds`."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            if self._process.wait(timeout=seconds) == 0:
                return self.log.read_text().splitlines()[-1]
        self.kill()
        self.check()
        raise AssertionError("an ended process is no success")

    def kill(self) -> None:
        """End it at once, if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._log_file.close()
