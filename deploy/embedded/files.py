"""Small file habits the other modules share: atomic writes, locks, free space.

A reader must never see half a file, and two starts of one folder must never run at the same time.
Nothing here knows what a file means.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import EmbeddedServicesError

# Bytes. The first start writes about 45 MB of jars, 40 MB of PostgreSQL data and, under root, 40 MB
# of binaries; the rest is room to work, since both services stop hard on a full disk.
FREE_BYTES_MIN = 512 * 1024 * 1024

# Seconds between looks at what another process changes: short for a person, little for the machine.
POLL_SECONDS = 0.05


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write so that a reader, even after a power cut, sees the old file or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), mode)  # the umask may have taken bits away
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def exclusive(lock: Path, *, wait_seconds: float) -> Iterator[None]:
    """Hold `lock`; the kernel frees it if we are killed. Raises: data_dir_busy."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise EmbeddedServicesError(
                        "data_dir_busy",
                        f"Another command still holds {lock}: wait until it ends, then try again.",
                    ) from None
                time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(descriptor)


def free_bytes(folder: Path) -> int:
    """Free bytes for this user where `folder` is or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def check_free_space(folder: Path) -> None:
    """Refuse to begin what would end on a full disk. Raises: disk_full."""
    free = free_bytes(folder)
    if free < FREE_BYTES_MIN:
        raise EmbeddedServicesError(
            "disk_full",
            f"Only {free // 2**20} MiB are free for {folder} and "
            f"{FREE_BYTES_MIN // 2**20} MiB are needed: "
            "free some space or choose a folder on another disk with --data-dir.",
        )
