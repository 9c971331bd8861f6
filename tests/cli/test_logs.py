"""What a process logs: one JSON object a line, with every field that was given."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cli.worker import address

WRITE = """
import logging
import sys
from pathlib import Path

import structlog

from cli import logs

logs.configure(Path(sys.argv[1]))
logging.getLogger("ledger.deciding").error("deciding failed", extra={"member_id": "m1"})
structlog.get_logger("streams.worker").info("worker_started", port=1)
"""
"""In a process of its own: the set-up is the process's."""

NOWHERE = "postgresql://nobody@127.0.0.1:1/nothing"


def test_extra_fields_reach_the_log(tmp_path: Path) -> None:
    path = tmp_path / "log"
    subprocess.run([sys.executable, "-c", WRITE, str(path)], check=True, timeout=300)
    one, two = map(json.loads, path.read_text().splitlines())
    assert (one["event"], one["member_id"]) == ("deciding failed", "m1")
    assert (one["level"], one["logger"]) == ("error", "ledger.deciding")
    assert (two["event"], two["port"]) == ("worker_started", 1)


def test_the_projections_log_in_the_same_form() -> None:
    environ = {**os.environ, "POINTS_DATABASE_URL": NOWHERE}
    command = [sys.executable, "-m", "cli.main", "projections", "run"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environ) as process:
        assert process.stderr is not None
        try:
            line = json.loads(process.stderr.readline())
        finally:
            process.terminate()
    assert (line["event"], line["level"]) == ("database lost, trying again", "warning")
    assert "127.0.0.1" in line["reason"]


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://0.0.0.0:80"),
        ("::", "http://[::]:80"),
    ],
)
def test_the_worker_says_where_it_listens(host: str, shown: str) -> None:
    assert address(host, 80) == shown
