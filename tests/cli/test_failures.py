"""What goes wrong outside of us ends as one sentence and an exit status, never as a traceback.

Each in a process of its own, as a person runs it; nothing here needs a running service.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.context import settings_of_services
from deploy import embedded
from deploy.embedded import state
from ledger.errors import StartRefused

ROOT = Path(__file__).parents[2]
PROGRAM = str(ROOT / "demo" / "program.yaml")
POINTS = (sys.executable, "-m", "cli.main")
COMMAND_SECONDS = 300
"""For a command that takes one or two."""

NOWHERE = {
    "POINTS_DATABASE_URL": "postgresql://x@127.0.0.1:1/x",
    "POINTS_KAFKA_BOOTSTRAP": "127.0.0.1:1",
}


def environ(folder: Path, **settings: str) -> dict[str, str]:
    """Without anybody's services, but those named."""
    plain = {name: text for name, text in os.environ.items() if not name.startswith("POINTS_")}
    return {**plain, "POINTS_DATA_DIR": str(folder), "COLUMNS": "200", **settings}


def points(
    folder: Path, *arguments: str, shell: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run `points`; `shell` is what follows it in a shell's line."""
    command = ["sh", "-c", f'exec "$@" {shell}', "sh", *POINTS, *arguments]
    return subprocess.run(
        command,
        env=environ(folder, **settings),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
    )


def refused(done: subprocess.CompletedProcess[str], code: str) -> str:
    """The one sentence that it ended with."""
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith(f"error [{code}] "), done.stderr
    assert done.stderr.endswith(".\n")
    assert done.stderr.count("\n") == 1
    assert done.returncode == 1
    return done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("init", PROGRAM),
        ("migrate",),
        ("balance", "m"),
        ("balances",),
        ("projections", "status"),
        ("projections", "rebuild", "balances"),
        ("program", "list"),
        ("dead-letters", "list"),
        ("worker",),
    ],
    ids=" ".join,
)
def test_a_database_that_cannot_be_reached(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    told = refused(points(tmp_path, *arguments, **NOWHERE), "no_connection")
    assert "check POINTS_DATABASE_URL" in told


@pytest.mark.parametrize(
    ("name", "value", "arguments"),
    [
        ("POINTS_DATABASE_URL", "garbage", ("init", PROGRAM)),
        ("POINTS_DATABASE_URL", "mysql://x", ("projections", "status")),
        ("POINTS_DATABASE_URL", "", ("balance", "m")),
        ("POINTS_KAFKA_BOOTSTRAP", "", ("init", PROGRAM)),
    ],
)
def test_a_malformed_setting(
    tmp_path: Path, name: str, value: str, arguments: tuple[str, ...]
) -> None:
    settings = {**NOWHERE, name: value}
    assert name in refused(points(tmp_path, *arguments, **settings), "bad_setting")


@pytest.mark.parametrize("arguments", [("migrate",), ("balance", "m"), ("program", "list")])
def test_a_url_that_cannot_be_read(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    settings = {**NOWHERE, "POINTS_DATABASE_URL": "postgresql://x@h:no/x"}
    refused(points(tmp_path, *arguments, **settings), "no_connection")


def test_another_program_than_the_settings_name(tmp_path: Path) -> None:
    done = points(tmp_path, "init", PROGRAM, **NOWHERE, POINTS_PROGRAM_ID="other")
    assert "POINTS_PROGRAM_ID is other" in refused(done, "other_program")


def test_no_services(tmp_path: Path) -> None:
    assert "POINTS_DATA_DIR" in refused(points(tmp_path, "balance", "m"), "no_services")


def test_one_service_that_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, and only who needs it is refused."""
    for name in list(os.environ):
        if name.startswith("POINTS_"):
            monkeypatch.delenv(name)
    url = "postgresql://postgres@127.0.0.1:5/postgres"
    state.write(tmp_path, state.State(database_url=url))
    up = embedded.ServiceStatus(True, True, 1, 5, tmp_path)
    dead = embedded.ServiceStatus(False, False, None, 6, tmp_path)

    def look(folder: Path) -> embedded.ServicesStatus:
        return embedded.ServicesStatus(folder, postgres, kafka, None)

    monkeypatch.setattr(embedded, "status", look)
    postgres, kafka = up, dead
    assert settings_of_services(data_dir=tmp_path).require_database_url() == url
    with pytest.raises(StartRefused, match=r"^Kafka does not answer in .*POINTS_DATA_DIR"):
        settings_of_services(kafka=True, data_dir=tmp_path)
    postgres, kafka = dead, up
    with pytest.raises(StartRefused, match=r"^PostgreSQL does not answer"):
        settings_of_services(data_dir=tmp_path)


def test_an_error_of_the_read_models(tmp_path: Path) -> None:
    """Wherever it is raised."""
    code = (
        "from cli import main, projections\nfrom projections.errors import ProjectionError\n"
        "def fail(): raise ProjectionError('log_gap', 'there is a gap')\n"
        "projections.settings_of_services = fail\nmain.main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "projections", "status"],
        env=environ(tmp_path, **NOWHERE),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
    )
    assert refused(done, "log_gap") == "error [log_gap] there is a gap.\n"


def test_a_log_file_that_cannot_be_written(tmp_path: Path) -> None:
    done = points(tmp_path, "worker", "--log-file", "/nonexistent/x", **NOWHERE)
    assert "/nonexistent/x" in refused(done, "os_error")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has this file")
@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("program", "check", PROGRAM), ("program", "show", PROGRAM, "--json")],
)
def test_output_to_a_full_disk(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    refused(points(tmp_path, *arguments, shell="> /dev/full"), "os_error")


def test_a_reader_that_left(tmp_path: Path) -> None:
    done = points(tmp_path, "program", "show", PROGRAM, shell="| true")
    assert done.stderr == ""


def test_closed_streams(tmp_path: Path) -> None:
    told = refused(points(tmp_path, "publish", "-", shell="<&-"), "cannot_read")
    assert "standard input" in told
    for arguments in (("program", "check", PROGRAM), ("program", "check", PROGRAM, "--json")):
        assert points(tmp_path, *arguments, shell=">&-").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("publish", "none.jsonl"), "cannot_read"),
        (("publish", "/"), "cannot_read"),
        (("program", "check", "none.yaml"), "unreadable_file"),
        (("init", "none.yaml"), "unreadable_file"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path: Path, arguments: tuple[str, ...], code: str) -> None:
    told = refused(points(tmp_path, *arguments, **NOWHERE), code)
    assert f"cannot read {arguments[-1]}: " in told
    assert "; " in told


def test_a_tab_in_a_program(tmp_path: Path) -> None:
    path = tmp_path / "tab.yaml"
    path.write_text("program: a\nearn:\n\t- id: b\n")
    assert "use spaces" in points(tmp_path, "program", "check", str(path)).stderr


@pytest.mark.parametrize("arguments", [("balance", ""), ("history", " ")])
def test_an_empty_member_is_wrong_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = points(tmp_path, *arguments, **NOWHERE)
    assert done.returncode == 2
    assert "name a member by its id" in done.stderr


def test_the_version(tmp_path: Path) -> None:
    assert points(tmp_path, "--version").stdout.startswith("points-ledger ")


@pytest.mark.parametrize("group", ["", "program", "projections", "segments", "dead-letters"])
def test_the_help_of_a_group_has_an_example(group: str) -> None:
    shown = CliRunner().invoke(app, [*group.split(), "--help"], env={"COLUMNS": "200"}).stdout
    assert "Example: points " in shown


def interrupt(
    process: subprocess.Popen[str], after: float, number: signal.Signals = signal.SIGINT
) -> None:
    """Ctrl-C after so many seconds; it ends at once, and says no more than that."""
    assert process.stderr is not None
    time.sleep(after)
    process.send_signal(number)
    told = process.stderr.read()
    assert process.wait() == 128 + number
    assert told == "interrupted\n"


POOL = """
import time
from concurrent.futures import ProcessPoolExecutor
from cli import app as application

@application.app.command()
def pool() -> None:
    with ProcessPoolExecutor(1) as processes:
        print(processes.submit(__import__("os").getpid).result(), flush=True)
        time.sleep(600)

from cli.main import main
if __name__ == "__main__":
    main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_is_ended_leaves_no_process_behind(
    tmp_path: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", POOL, "pool"],
        env=environ(tmp_path),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        worker = int(process.stdout.readline())
        interrupt(process, 0.0, number)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{worker}").exists():
        assert time.monotonic() < deadline, "the worker process is left behind"
        time.sleep(0.05)


BEGUN = """
import signal
before = signal.signal

def told(number, handler):
    found = before(number, handler)
    print(flush=True)
    return found

signal.signal = told
from cli.main import main
main()
"""
"""Says when `main` has taken Ctrl-C into its hands; before that Python itself is interrupted."""


@pytest.mark.parametrize("after", [0.0, 0.1, 0.2, 0.4, 2.0])
def test_ctrl_c_of_a_command(tmp_path: Path, after: float) -> None:
    """While it starts, and when it waits for what never comes on standard input. Through the
    console script's own way in: `cli.main` is imported, then `main` called."""
    with subprocess.Popen(
        [sys.executable, "-c", BEGUN, "publish", "-"],
        env=environ(tmp_path),
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        interrupt(process, after)
