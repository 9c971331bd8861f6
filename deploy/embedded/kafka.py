"""Run the embedded Apache Kafka: start, wait until it answers, stop.

One node that is broker and controller (KRaft), for this machine only. Only the broker on our own
settings file is ever signalled. After a kill Kafka checks its log segments by itself.
"""

import logging
import os
import signal
import socket
import struct
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from . import ports, processes
from .errors import EmbeddedServicesError
from .files import POLL_SECONDS
from .kafka_files import Layout, make_data, write_configuration

log = logging.getLogger(__name__)

# Enough for some hundred partitions on one node; the page cache, not the heap, holds the data.
_HEAP_MIN = "-Xms256m"
_HEAP_MAX = "-Xmx512m"

# The broker shares its processors with everything it serves here: a quick compiler and a collector
# without threads of its own took 0.18 of a processor at 1,000 purchases a second where the usual
# ones took 0.30 (docs/decisions/0029-a-lean-broker.md).
_LEAN = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC")

# Seconds until it must answer: about 6 usually, more when segments are checked after a kill.
START_SECONDS = 300.0

# Seconds for a clean stop, usually one or two; the broker hands over and flushes its segments.
_STOP_SECONDS = 45.0

# Seconds for the answer to one small request.
_ANSWER_SECONDS = 2.0

# ApiVersions (key 18), version 0, correlation id 1, no client id: the one request that every
# broker answers to anybody.
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)
_CORRELATION_ID = struct.pack(">i", 1)


def belongs(layout: Layout) -> processes.Belongs:
    """Recognise the broker that works in this home."""
    home = os.path.realpath(layout.home)

    def is_broker(argv: Sequence[str], folder: str | None) -> bool:
        if len(argv) < 2 or argv[-2] != "kafka.Kafka":
            return False
        return argv[-1] == str(layout.settings) if folder is None else folder == home

    return is_broker


def launch(layout: Layout, java: Path, class_path: str, port: int, controller_port: int) -> int:
    """Start the broker, formatting its data if there is none; the pid. Raises: start_failed."""
    # The class path goes by the environment: it is 5 kB long and would hide the rest of `ps`.
    # Nothing else of ours is handed on: JAVA_TOOL_OPTIONS and the like would steer the broker.
    env = {
        "PATH": os.environ.get("PATH", os.defpath),
        "LC_ALL": "C.UTF-8",
        "CLASSPATH": class_path,
    }
    write_configuration(layout, port, controller_port)
    make_data(layout, java, env, port, controller_port)
    return processes.launch(
        [
            str(java),
            _HEAP_MIN,
            _HEAP_MAX,
            *_LEAN,
            "-XX:+ExitOnOutOfMemoryError",
            f"-XX:ErrorFile={layout.home / 'logs' / 'java-error-%p.log'}",
            "-Djava.awt.headless=true",
            f"-Dlog4j2.configurationFile={layout.logging.name}",
            "kafka.Kafka",
            str(layout.settings),
        ],
        log=layout.start_log,
        cwd=layout.home,
        env=env,
        user={},
    )


def wait_ready(layout: Layout, pid: int, port: int, controller_port: int) -> None:
    """Wait until the broker answers. Raises: start_failed, start_slow, port_in_use."""
    deadline = time.monotonic() + START_SECONDS
    is_ours = belongs(layout)
    while not answers(pid, port):
        if processes.has_ended(pid, is_ours):
            for taken in (port, controller_port):
                if not ports.is_free(taken):
                    raise EmbeddedServicesError(
                        "port_in_use",
                        f"Port {taken} was taken by another program while Kafka started: "
                        "start again or give another port.",
                    )
            raise EmbeddedServicesError(
                "start_failed",
                f"Kafka ended while starting: read why in {layout.log} and {layout.start_log}, "
                "then start again.",
            )
        if time.monotonic() > deadline:
            raise EmbeddedServicesError(
                "start_slow",
                f"Kafka runs but did not answer within {START_SECONDS:.0f} s: "
                f"read {layout.log} and start again to wait on.",
            )
        time.sleep(POLL_SECONDS)


def answers(pid: int, port: int) -> bool:
    """True if this broker answers a request: the port alone is open long before.

    It must be the one that listens there: two starts at once may have chosen the same port.
    """
    try:
        with socket.create_connection((ports.LOOPBACK, port), timeout=_ANSWER_SECONDS) as broker:
            broker.sendall(_API_VERSIONS)
            answer = broker.recv(8)  # size and correlation id, far below one segment
    except OSError:  # refused, or no answer in time: that is the question
        return False
    return answer[4:8] == _CORRELATION_ID and processes.listens(pid, port)


def stop(layout: Layout, hint: int | None, progress: Callable[[str], None]) -> None:
    """Stop the broker of this folder if one runs. Raises: stop_failed."""
    is_ours = belongs(layout)
    pid = processes.find(is_ours, hint)
    if pid is not None:
        ended_by = processes.end(pid, is_ours, ((signal.SIGTERM, _STOP_SECONDS),))
        if ended_by != signal.SIGTERM:
            log.warning("kafka stopped hard", extra={"pid": pid, "signal": ended_by.name})
            progress(
                f"Kafka did not stop within {_STOP_SECONDS:.0f} s and was ended with "
                f"{ended_by.name}; it checks its logs at the next start."
            )
