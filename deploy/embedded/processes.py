"""Processes of the embedded services: start one that outlives us, find it again, end it.

A process is ours if its command line names the program and it works in our own data folder. A
number read from a file is only a hint: process ids are used again, so a recorded pid alone must
never be signalled. Looking at the process itself instead of start times also finds one whose record
was lost, and does not trip over a changed clock; looking at its working folder, which the system
keeps up to date, tells a moved folder from a new one at the old place.
"""

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .errors import EmbeddedServicesError, require
from .files import POLL_SECONDS

# Asked with the command line and the working folder, None if the system does not tell that.
Belongs = Callable[[Sequence[str], str | None], bool]

# Seconds for /bin/sh to fork the server and print its pid, it does nothing else; then as many for
# its child to become the server.
_LAUNCH_SECONDS = 20.0

# Seconds for which a starting server may not show itself: while it becomes another program, or is
# busy with its memory on a loaded machine, its command line reads as empty.
_UNSEEN_SECONDS = 2.0

# Seconds a process has to vanish after SIGKILL; only a hung disk takes longer.
_KILL_SECONDS = 10.0

# The shell goes at once and the server is left to init: no zombie stays in a long-lived parent
# (PostgreSQL would take the zombie in its pid file for a running server), and nothing ties the
# server to the terminal.
_DETACH = '"$@" </dev/null >&2 & echo $!'


def launch(
    argv: Sequence[str], *, log: Path, cwd: Path, env: Mapping[str, str], user: Mapping[str, Any]
) -> int:
    """Start a server in a session of its own with its output in `log` (made new); the pid."""
    with open(log, "wb") as sink:
        done = subprocess.run(
            ["/bin/sh", "-c", _DETACH, "sh", *argv],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=sink,
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
            umask=0o077,
            timeout=_LAUNCH_SECONDS,
            check=True,
            text=True,
            **user,
        )
    pid = int(done.stdout)
    # Until then the command line is the shell's, and none at all for a moment: not ours to see.
    wait_until(lambda: _is_no_shell(pid), seconds=_LAUNCH_SECONDS)
    return pid


def _is_no_shell(pid: int) -> bool:
    """True if a launched process has become the server, or has ended already."""
    psutil = require("psutil")
    try:
        argv = psutil.Process(pid).cmdline()
    except psutil.Error:  # gone, or of another user and not to be seen
        return True
    return bool(argv) and _DETACH not in argv


def find(belongs: Belongs, hint: int | None = None) -> int | None:
    """The pid of the live process that `belongs` accepts, looked for at `hint` first."""
    psutil = require("psutil")
    if hint is not None and is_live(hint, belongs):
        return hint
    for process in psutil.process_iter(["cmdline", "cwd"]):
        info = process.info
        if belongs(info["cmdline"] or (), info["cwd"]) and is_live(process.pid, belongs):
            return int(process.pid)
    return None


def is_live(pid: int, belongs: Belongs) -> bool:
    """True if `pid` runs, is no zombie, and is ours."""
    psutil = require("psutil")
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        try:
            folder = process.cwd() or None
        except psutil.AccessDenied:  # of another user
            folder = None
        return belongs(process.cmdline(), folder)
    except (psutil.Error, ValueError, OverflowError):
        return False


def has_ended(pid: int, belongs: Belongs) -> bool:
    """True if a process that we started runs no more; looked at again, as it may be unseen for a
    moment."""
    return not wait_until(lambda: is_live(pid, belongs), seconds=_UNSEEN_SECONDS)


def listens(pid: int, port: int) -> bool:
    """True if `pid` is who listens on the port, or the system does not tell."""
    psutil = require("psutil")
    try:
        connections = psutil.Process(pid).net_connections("tcp")
    except psutil.AccessDenied:  # of another user
        return True
    except psutil.Error:
        return False
    return any(c.status == psutil.CONN_LISTEN and c.laddr.port == port for c in connections)


def names(pid: int, path: Path) -> bool:
    """True if the command line of `pid` has `path`, or cannot be seen (any more)."""
    psutil = require("psutil")
    try:
        return str(path) in psutil.Process(pid).cmdline()
    except psutil.Error:
        return True


def exists(pid: int) -> bool:
    """True if any process, even a zombie, has this pid."""
    return bool(require("psutil").pid_exists(pid))


def working_in(folder: Path, name: str) -> list[int]:
    """Live processes called `name` whose working directory is `folder`."""
    psutil = require("psutil")
    pids = []
    for process in psutil.process_iter(["name", "cwd", "status"]):
        info = process.info
        ours = info["name"] == name and info["cwd"] == str(folder)
        if ours and info["status"] != psutil.STATUS_ZOMBIE:
            pids.append(int(process.pid))
    return pids


def wait_until(condition: Callable[[], bool], *, seconds: float) -> bool:
    """Look at `condition` until it is true (True) or the time is over (False)."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def end(
    pid: int, belongs: Belongs, steps: Sequence[tuple[signal.Signals, float]]
) -> signal.Signals:
    """End our process by signals, each with its patience in seconds, SIGKILL last.

    Returns the signal that ended it. Raises: stop_failed.
    """
    psutil = require("psutil")
    try:
        process = psutil.Process(pid)
    except psutil.NoSuchProcess:
        return steps[0][0]

    def gone() -> bool:
        # Not by the command line: a dying process loses it before it gives back its ports.
        try:
            return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    if not is_live(pid, belongs):  # asked again, now that `process` is bound to this very process
        return steps[0][0]  # ended by itself meanwhile
    for number, seconds in (*steps, (signal.SIGKILL, _KILL_SECONDS)):
        try:
            process.send_signal(number)  # refuses a pid that was used again since
        except psutil.NoSuchProcess:
            return number
        except psutil.AccessDenied as error:
            raise EmbeddedServicesError(
                "stop_failed", f"Process {pid} belongs to another user: stop it as that user."
            ) from error
        if wait_until(gone, seconds=seconds):
            return number
    raise EmbeddedServicesError(
        "stop_failed",
        f"Process {pid} did not end even after SIGKILL: look at it with `ps -p {pid}`.",
    )
