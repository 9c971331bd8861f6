"""The supervisor: one log, what dies comes back, the end in order, nobody left behind."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.supervisor import named

WAIT_SECONDS = 300.0
"""Much more than anything here takes, also on a machine with other work."""

DEAF_SECONDS = 0.5
"""Until what does not heed is killed; what heeds has as long as it needs."""

MAIN = """
import asyncio, sys
from pathlib import Path
from deploy import supervisor
from deploy.supervisor import GivenUp, Program, Supervisor

supervisor.PAUSE_SECONDS = 0.05
supervisor.PAUSE_SECONDS_MAX = 0.1
supervisor.STOP_SECONDS = float(sys.argv[1])
said = {"talks": print}
programs = [
    Program(path.stem, [sys.executable, "-u", str(path)], {}, said.get(path.stem))
    for path in map(Path, sys.argv[2:])
]
try:
    asyncio.run(Supervisor(programs, sys.stderr.buffer).run())
except GivenUp as error:
    sys.exit(f"given up: {error.name}")
"""


class Run:
    """A supervisor over scripts, in a process of its own."""

    def __init__(self, folder: Path, stop_seconds: float = WAIT_SECONDS, **scripts: str) -> None:
        self.folder = folder
        names = []
        for name, text in scripts.items():
            path = folder / f"{name}.py"
            path.write_text(textwrap.dedent(text))
            names.append(str(path))
        self.log = folder / "log"
        self.told = folder / "told"
        with self.log.open("wb") as log, self.told.open("wb") as told:
            self.process = subprocess.Popen(
                [sys.executable, "-u", "-c", MAIN, str(stop_seconds), *names],
                stdout=told,
                stderr=log,
                cwd=Path(__file__).parents[2],
            )

    def lines(self) -> list[dict[str, Any]]:
        lines = self.log.read_text().rpartition("\n")[0].splitlines()  # whole ones
        return [json.loads(line) for line in lines if line.startswith("{")]

    def events(self, process: str) -> list[str]:
        return [str(line["event"]) for line in self.lines() if line.get("process") == process]

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_SECONDS)


def until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def there(pid: int) -> bool:
    """Whether the process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


STAYS = """
import os, signal, sys, time
def end(*_):
    print('{"event": "asked to end"}', file=sys.stderr)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
print('{"event": "begun", "pid": %d}' % os.getpid(), file=sys.stderr)
while True:
    time.sleep(0.05)
"""


def test_one_stream_of_json_lines_with_the_name_of_each_process(tmp_path: Path) -> None:
    run = Run(
        tmp_path,
        first=STAYS,
        plain=STAYS.replace('\'{"event": "begun", "pid": %d}\' % os.getpid()', "'begun, plainly'"),
        talks="print('where it listens', flush=True)\n" + STAYS,
    )
    until(lambda: run.events("first") and run.events("talks") and run.events("plain"))
    until(lambda: run.told.read_text() == "where it listens\n")
    assert run.events("plain") == ["begun, plainly"]
    assert run.end() == 0
    ends = [line["process"] for line in run.lines() if line["event"] == "asked to end"]
    assert ends == ["talks", "plain", "first"], "in the reverse order of the start"


def test_what_dies_is_started_again(tmp_path: Path) -> None:
    run = Run(tmp_path, first=STAYS)
    until(lambda: run.events("first"))
    os.kill(next(line["pid"] for line in run.lines() if "pid" in line), signal.SIGKILL)
    until(lambda: run.events("first").count("begun") == 2)
    (ended,) = [line for line in run.lines() if line["event"] == "ended by itself"]
    assert ended["status"] == -signal.SIGKILL
    assert run.end() == 0


def test_what_dies_again_and_again_ends_everything(tmp_path: Path) -> None:
    dies = f"""
    import pathlib, time
    while "begun" not in pathlib.Path({str(tmp_path / "log")!r}).read_text():
        time.sleep(0.02)
    raise SystemExit(7)
    """
    run = Run(tmp_path, first=STAYS, dies=dies)
    assert run.process.wait(WAIT_SECONDS) == 1
    assert "given up: dies" in run.log.read_text()
    assert run.events("first")[-1] == "asked to end"


def test_what_does_not_heed_is_killed(tmp_path: Path) -> None:
    run = Run(tmp_path, DEAF_SECONDS, deaf=STAYS.replace("sys.exit(0)", "pass"))
    until(lambda: run.events("deaf"))
    assert run.end() == 0
    assert "did not end and is killed" in run.events("deaf")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_nobody_is_left_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    run = Run(tmp_path, first=STAYS)
    until(lambda: run.events("first"))
    pid = next(line["pid"] for line in run.lines() if "pid" in line)
    run.process.kill()
    run.process.wait()
    until(lambda: not there(pid))


@pytest.mark.parametrize(
    ("line", "event"),
    [
        ('{"event": "well", "n": 1}', "well"),
        ("{not JSON}", "{not JSON}"),
        ('{"event": "x", "process": "api"}', "x"),
        ('{"event": "a"} {"event": "b"}', '{"event": "a"} {"event": "b"}'),
        ("{" * 200_000 + "}", "{" * 200_000 + "}"),
    ],
)
def test_whatever_a_program_writes_is_one_object_with_its_name(line: str, event: str) -> None:
    told = json.loads(named("worker", line))
    assert (told["process"], told["event"]) == ("worker", event)
