"""Run the embedded PostgreSQL: start, wait until it answers, stop, and clean up after a kill.

Only the server on our own data folder is ever signalled. A stop is always PostgreSQL's fast
shutdown first; harder signals follow only when that does not end in time, and lose nothing, since
the next start recovers from the write-ahead log.
"""

import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import psycopg

from . import ports, processes
from .errors import EmbeddedServicesError
from .postgres_files import (
    DATABASE,
    USER,
    Layout,
    clean_environment,
    give_copied,
    make_data,
    write_configuration,
)
from .service_user import ServiceUser

log = logging.getLogger(__name__)

# Seconds until it must answer: recovery after a kill replays up to max_wal_size, 4 GB.
START_SECONDS = 600.0

# Seconds for a fast shutdown: its checkpoint writes some hundred MB, on a slow disk in half a
# minute. Then for an immediate one, which writes nothing: below a second, ten on a busy machine.
_FAST_SECONDS = 60.0
_IMMEDIATE_SECONDS = 10.0

# Seconds for sessions of a killed server to notice and end by themselves, which they do at once
# unless they are in a long statement; then as many after SIGTERM.
_ORPHAN_SECONDS = 10.0

# Seconds between attempts to connect: each one leaves two lines in the log during a recovery.
_CONNECT_POLL_SECONDS = 0.2

# Seconds for one connection attempt (libpq's least is 2).
_CONNECT_SECONDS = 2


def url(port: int, password: str) -> str:
    """The connection URL of the owner."""
    return f"postgresql://{USER}:{quote(password, safe='')}@{ports.LOOPBACK}:{port}/{DATABASE}"


def belongs(layout: Layout) -> processes.Belongs:
    """Recognise the server on this data folder; its children carry other command lines."""
    # It starts in its home and goes on to its data.
    folders = {os.path.realpath(layout.home), os.path.realpath(layout.data)}

    def is_server(argv: Sequence[str], folder: str | None) -> bool:
        if not argv or Path(argv[0]).name != "postgres" or "-D" not in argv:
            return False
        return str(layout.data) in argv if folder is None else folder in folders

    return is_server


def launch(layout: Layout, binaries: Path, user: ServiceUser, port: int, password: str) -> int:
    """Start the server, making its data if there is none; the pid. Raises: start_failed."""
    layout.home.mkdir(parents=True, exist_ok=True)
    layout.logs.mkdir(mode=0o700, exist_ok=True)
    user.give(layout.logs)
    give_copied(layout, user)
    make_data(layout, binaries, user, password)
    write_configuration(layout, binaries, port)
    _end_orphans(layout)
    _remove_stale_pid_file(layout)
    return processes.launch(
        [
            str(binaries / "bin" / "postgres"),
            "-D",
            str(layout.data),
            "-c",
            f"config_file={layout.configuration}",
        ],
        log=layout.start_log,
        cwd=layout.home,
        env=clean_environment(),
        user=user.popen,
    )


def wait_ready(layout: Layout, pid: int, port: int, database_url: str) -> None:
    """Wait until it answers and make the database.

    Raises: start_failed, start_slow, port_in_use, password_lost.
    """
    deadline = time.monotonic() + START_SECONDS
    is_ours = belongs(layout)
    while True:
        # Another folder's server may have taken the port first, and must be left alone.
        if processes.listens(pid, port):
            try:
                _make_database(database_url)
                return
            except psycopg.OperationalError as error:
                if "password authentication failed" in str(error):
                    raise EmbeddedServicesError("password_lost", str(error)) from error
        if processes.has_ended(pid, is_ours):
            if not ports.is_free(port):
                raise EmbeddedServicesError(
                    "port_in_use",
                    f"Port {port} was taken by another program while PostgreSQL started: "
                    "start again or give another port.",
                )
            raise EmbeddedServicesError(
                "start_failed",
                "PostgreSQL ended while starting: "
                f"read why in {layout.start_log} and {layout.current_log()}, then start again.",
            )
        if time.monotonic() > deadline:
            raise EmbeddedServicesError(
                "start_slow",
                f"PostgreSQL runs but did not answer within {START_SECONDS:.0f} s: "
                f"read {layout.current_log()} and start again to wait on.",
            )
        time.sleep(_CONNECT_POLL_SECONDS)


def answers(pid: int, port: int, database_url: str) -> bool:
    """True if this server lets us in."""
    if not processes.listens(pid, port):
        return False
    try:
        with psycopg.connect(database_url, connect_timeout=_CONNECT_SECONDS):
            return True
    except psycopg.Error:
        return False


def stop(layout: Layout, hint: int | None, progress: Callable[[str], None]) -> None:
    """Stop the server of this data folder if one runs. Raises: stop_failed."""
    is_ours = belongs(layout)
    pid = processes.find(is_ours, hint)
    if pid is not None:
        # SIGINT is what `pg_ctl stop -m fast` sends; pg_ctl would trust the pid file blindly.
        steps = ((signal.SIGINT, _FAST_SECONDS), (signal.SIGQUIT, _IMMEDIATE_SECONDS))
        ended_by = processes.end(pid, is_ours, steps)
        if ended_by != signal.SIGINT:
            log.warning("postgres stopped hard", extra={"pid": pid, "signal": ended_by.name})
            progress(
                f"PostgreSQL did not stop within {_FAST_SECONDS:.0f} s and was ended with "
                f"{ended_by.name}; it recovers at the next start."
            )


def _make_database(database_url: str) -> None:
    with psycopg.connect(
        database_url, dbname="postgres", autocommit=True, connect_timeout=_CONNECT_SECONDS
    ) as connection:
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
        if found.fetchone() is None:
            connection.execute(f"CREATE DATABASE {DATABASE}")


def _end_orphans(layout: Layout) -> None:
    """Wait for the sessions of a killed server: while one lives, PostgreSQL refuses to start."""

    def orphans() -> list[int]:
        return processes.working_in(layout.data, "postgres")

    for number in (signal.SIGTERM, signal.SIGKILL):
        if processes.wait_until(lambda: not orphans(), seconds=_ORPHAN_SECONDS):
            return
        for pid in orphans():
            log.warning("ending session of a killed postgres", extra={"pid": pid})
            with suppress(ProcessLookupError):
                os.kill(pid, number)
    processes.wait_until(lambda: not orphans(), seconds=_ORPHAN_SECONDS)


def _remove_stale_pid_file(layout: Layout) -> None:
    """Remove a pid file whose number now belongs to a foreign process (or a zombie).

    PostgreSQL would take that process for a running server and refuse to start. The caller knows
    that no server runs here; shared memory still in use stops PostgreSQL even without this file.
    """
    pid_file = layout.data / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split()[0])
    except (FileNotFoundError, ValueError, IndexError):
        return
    if processes.exists(pid) and not processes.is_live(pid, belongs(layout)):
        pid_file.unlink()
