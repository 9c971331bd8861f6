"""`points serve`: everything of one machine, one stream of logs, what dies comes back."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from audit.keys import generate
from deploy.embedded import Services
from tests.api.conftest import api_template, ledger_url
from tests.api.served import environment
from tests.services import kafka_topics

__all__ = ["api_template", "kafka_topics", "ledger_url"]
"""Fixtures that this test shares with others."""

WAIT_SECONDS = 300.0
PROCESSES = {"worker", "projections", "webhooks", "audit", "api"}
"""By what they run."""


def until(holds: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = holds()
        if found:
            return found
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def children(pid: int) -> dict[str, int]:
    """The supervisor's processes by what they run: without one that has died and is not yet
    reaped (it has no arguments), or that is not yet what it will run."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        try:
            arguments = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        except (FileNotFoundError, ProcessLookupError):
            continue  # reaped since
        if len(arguments) > 3 and arguments[3] in PROCESSES:
            found[arguments[3]] = int(child)
    return found


def lines_of(log: Path) -> list[dict[str, Any]]:
    """What the log says: without a last line that is being written."""
    whole = log.read_text().rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def test_everything_runs_comes_back_and_ends_in_order(
    ledger_url: str,
    kafka_topics: str,
    services: Services,
    tmp_path: Path,
) -> None:
    told, log, folder = tmp_path / "told", tmp_path / "log", tmp_path / "checkpoints"
    generate(tmp_path / "key", tmp_path / "pub")
    signing = {
        "POINTS_CHECKPOINT_KEY": str(tmp_path / "key"),
        "POINTS_CHECKPOINT_DIR": str(folder),
    }
    with told.open("wb") as out:
        serving = subprocess.Popen(
            [sys.executable, "-m", "cli.main", "serve", "--port", "0", "--log-file", str(log)],
            env=environment(ledger_url, services.kafka_bootstrap) | signing,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        until(lambda: "console: http" in told.read_text(), told.read_text())
        address = next(line for line in told.read_text().splitlines() if line.startswith("api: "))
        port = int(address.split(":")[3].partition("/")[0])
        until(lambda: answers(port), "the API answers")
        until(lambda: "worker: http" in told.read_text(), "the worker tells where it is")
        before = until(lambda: c if len(c := children(serving.pid)) == 5 else None, "all run")
        assert before.keys() == PROCESSES
        nice = {name: os.getpriority(os.PRIO_PROCESS, pid) for name, pid in before.items()}
        assert all(nice[name] > nice["api"] for name in PROCESSES - {"api"})
        until(lambda: list(folder.glob("checkpoint-*.json")), "a first checkpoint is made")
        os.kill(before["worker"], signal.SIGKILL)
        until(lambda: children(serving.pid).get("worker", before["worker"]) != before["worker"],
              "the worker comes back")  # fmt: skip
        lines = lines_of(log)
        assert {line["process"] for line in lines} <= PROCESSES - {"audit"} | {"checkpoints"}
        assert {"worker", "api"} <= {line["process"] for line in lines}
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(WAIT_SECONDS) == 0, told.read_text()
        for pid in before.values():
            assert not Path(f"/proc/{pid}").exists()
    finally:
        if serving.poll() is None:
            serving.kill()
            serving.wait()


def test_a_port_that_is_taken_is_told_before_anything_is_started(
    ledger_url: str, services: Services
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = subprocess.run(
            [sys.executable, "-m", "cli.main", "serve", "--port", str(port)],
            env=environment(ledger_url, services.kafka_bootstrap),
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
        )
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"error [port_in_use] Port {port} of ")
    assert refused.stderr.count("\n") == 1, "one sentence, and nothing was started"
    assert refused.stdout == ""
