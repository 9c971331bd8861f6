"""The class path of Apache Kafka: pinned jars, downloaded once from a Maven repository.

The download goes into a folder aside that is renamed when it is whole, so a cut connection or a
killed process leaves no half cache. Each jar's SHA-256 is checked at every start. It needs no
`mvn` and no Java; `jgo` is asked for single artifacts only, because its `build()` also fetches a
whole JDK to classify the jars, which a class path does not need.
"""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import EmbeddedServicesError, require
from .files import check_free_space, exclusive
from .kafka_jars import KAFKA_VERSION, pinned_jars

# Seconds without a byte before a request is given up.
_REQUEST_SECONDS = 30

# Tries for each jar: a single lost connection among 46 downloads must not end the whole.
_TRIES_MAX = 3

# Seconds to wait for another start that downloads the same jars over a slow line.
_LOCK_SECONDS = 600.0

# A line of progress after this many jars: about one every two seconds on a usual line.
_PROGRESS_STEP = 10


def cache_root(fallback: Path) -> Path:
    """The user's cache folder, or `fallback` for a user without a home to write to."""
    try:
        base = Path(os.environ.get("XDG_CACHE_HOME") or _home_cache()).expanduser()
        root = base / "points-ledger"
        root.mkdir(parents=True, exist_ok=True)
        if os.access(root, os.W_OK | os.X_OK):
            return root
    except (OSError, RuntimeError):
        pass  # no home, or a home that does not exist
    fallback.mkdir(parents=True, exist_ok=True)
    return fallback


def class_path(root: Path, progress: Callable[[str], None]) -> str:
    """The class path of Kafka, from the cache under `root` or downloaded into it.

    Raises: download_failed, packages_missing, disk_full, data_dir_busy.
    """
    folder = root / f"kafka-{KAFKA_VERSION}"
    if not _is_whole(folder):
        with exclusive(root / "download.lock", wait_seconds=_LOCK_SECONDS):
            if not _is_whole(folder):  # another start may have fetched it while we waited
                _download(folder, progress)
    return os.pathsep.join(str(folder / _file_name(jar)) for jar, _ in pinned_jars())


def _home_cache() -> Path:
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")


def _file_name(coordinates: str) -> str:
    _, artifact, version = coordinates.split(":")
    return f"{artifact}-{version}.jar"


def _is_whole(folder: Path) -> bool:
    return all(_has_hash(folder / _file_name(jar), pin) for jar, pin in pinned_jars())


def _has_hash(path: Path, pin: str) -> bool:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == pin
    except FileNotFoundError:
        return False


def _download(folder: Path, progress: Callable[[str], None]) -> None:
    context = _maven_context(folder.with_name(f"{folder.name}.partial"))
    check_free_space(folder)
    jars = pinned_jars()
    partial: Path = context.repo_cache
    shutil.rmtree(partial, ignore_errors=True)
    whole = partial / "jars"
    whole.mkdir(parents=True)
    progress(f"Downloading Apache Kafka {KAFKA_VERSION}: {len(jars)} jars, 44 MB, only this once.")
    for count, (jar, pin) in enumerate(jars, start=1):
        _fetch(context, jar, pin).rename(whole / _file_name(jar))
        if count % _PROGRESS_STEP == 0 or count == len(jars):
            progress(f"Downloaded {count} of {len(jars)} jars.")
    shutil.rmtree(folder, ignore_errors=True)  # a damaged cache is replaced as a whole
    whole.rename(folder)
    shutil.rmtree(partial, ignore_errors=True)


def _maven_context(repo_cache: Path) -> Any:
    settings = require("jgo.config").GlobalSettings.load()
    # The user's own repositories win: one called "central" is a mirror of the default one.
    repositories = {"central": require("jgo.constants").MAVEN_CENTRAL_URL}
    repositories.update(settings.repositories)
    return require("jgo.maven").MavenContext(
        repo_cache=repo_cache,
        local_repos=[],
        remote_repos=repositories,
        timeout=_REQUEST_SECONDS,
    )


def _fetch(context: Any, coordinates: str, pin: str) -> Path:
    """Download one jar and check it. Raises: download_failed."""
    group, name, version = coordinates.split(":")
    artifact = context.project(group, name).at_version(version).artifact()
    reason = ""
    for _ in range(_TRIES_MAX):
        try:
            path = Path(artifact.resolve())
        except (OSError, RuntimeError, AssertionError) as error:  # requests' errors are OSErrors
            reason = type(error).__name__
            Path(artifact.cached_path).unlink(missing_ok=True)  # half a jar may be left
            if isinstance(error, OSError) and error.errno is not None and error.filename:
                raise  # the disk, not the network
            continue
        if _has_hash(path, pin):
            return path
        reason = "its SHA-256 is not the expected one"
        path.unlink()
    raise EmbeddedServicesError(
        "download_failed",
        f"{coordinates} could not be downloaded ({reason}): check the network and HTTPS_PROXY, or "
        'name a Maven mirror as "central" under [repositories] in ~/.config/jgo.conf, '
        "then start again.",
    )
