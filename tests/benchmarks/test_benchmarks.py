"""The benchmarks run: every stage measures something, quickly at a small scale, and leaves nothing.

Whether the figures are good is not asked here: the machine that runs tests is busy with others.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from benchmarks.__main__ import main
from benchmarks.clocks import Clocks
from benchmarks.report import Figure, Result
from benchmarks.runs import rate_of
from benchmarks.summary import keys_of, markdown
from ledger.errors import LedgerError

ROOT = Path(__file__).parents[2]

RUN_SECONDS = 3_600
"""The small run of all stages takes less than a minute on two idle processors."""

STAGES = ("pipeline", "projections", "stock", "cpu", "memory", "latency", "handle", "decide")


@contextmanager
def started(folder: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """The command, working in `folder`; killed at the end if it is still there."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder / "tmp")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()  # it then removes what it started
        process.communicate()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a run works, with its own place for temporary files."""
    (tmp_path / "tmp").mkdir()
    return tmp_path


def children_of(folder: Path) -> list[str]:
    """Command lines of processes that name the folder, or work in it."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        lines = [*(process.info["cmdline"] or ()), process.info["cwd"] or ""]
        if any(str(folder) in line for line in lines):
            found.append(" ".join(lines))
    return found


def test_every_stage_measures_and_nothing_is_left(folder: Path) -> None:
    only = [argument for stage in STAGES for argument in ("--only", stage)]
    with started(folder, *only, "--set", "demo", "--scale", "0.02", "--json") as process:
        out, err = process.communicate(timeout=RUN_SECONDS)
    assert process.returncode == 0, err
    report = json.loads(out)
    assert report["seconds"] > 0
    assert " s in all" in err
    for key in ("pipeline_to_floor_1", "pipeline_to_floor_2", "to_stock", "memory_ratio"):
        assert report[key] > 0
    for key in ("projections_to_pipeline", "latency_p99_ms", "peak_mb"):
        assert report[key] > 0
    results = report["benchmarks"]
    assert list(results) == [
        *("pipeline, demo", "projections, demo", "stock, demo", "cpu, demo"),
        *("memory", "latency", "handle", "decide"),
    ]
    for result in results.values():
        check_figures(result["figures"])
    check_adds_up(results["cpu, demo"]["figures"])
    assert [path.name for path in folder.iterdir()] == ["tmp"]
    assert not list((folder / "tmp").glob("points-benchmarks-*"))
    assert not children_of(folder)


def check_figures(figures: list[dict[str, Any]]) -> None:
    """Each has its unit and its runs; a ratio where it has a floor, of the same result."""
    medians = {figure["name"]: figure["median"] for figure in figures}
    for figure in figures:
        assert figure["unit"]
        assert figure["runs"]
        assert (figure["floor"] is None) == (figure["ratio"] is None)
        assert figure["floor"] is None or figure["floor"] in medians


def check_adds_up(figures: list[dict[str, Any]]) -> None:
    """The parts of the worker's CPU are all of it."""
    parts = [figure["median"] for figure in figures if figure["floor"] == "worker process"]
    whole = next(figure["median"] for figure in figures if figure["name"] == "worker process")
    assert sum(parts) == pytest.approx(whole, rel=0.001)
    seen = {figure["name"] for figure in figures if figure["median"] > 0}
    assert {"decode", "load", "decide", "fold", "encode", "COPY"} <= seen


def test_an_interrupt_stops_it_and_leaves_nothing(folder: Path) -> None:
    with started(folder, "--only", "pipeline", "--set", "demo", "--scale", "0.03") as process:
        assert process.stderr is not None
        deadline = time.monotonic() + RUN_SECONDS
        while not any("worker-demo" in path.name for path in folder.rglob("logs/*.log")):
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=RUN_SECONDS)
    assert process.returncode == 130, err
    assert out == ""
    assert "interrupted" in err
    assert not children_of(folder)
    assert not list((folder / "tmp").glob("points-benchmarks-*"))


def test_the_rate_leaves_out_what_came_before_everybody_was_ready() -> None:
    commits = [(0.0, 10), (1.0, 10), (10.0, 40), (11.0, 40), (12.0, 40)]
    assert rate_of(commits, 9.0) == (40.0, 2.0)


def test_the_rate_leaves_out_the_first_tenth() -> None:
    commits = [(0.0, 5), (10.0, 5), (11.0, 45), (12.0, 45)]
    assert rate_of(commits, 0.0) == (45.0, 2.0)


def test_a_run_of_one_commit_has_no_rate() -> None:
    with pytest.raises(LedgerError) as raised:
        rate_of([(1.0, 100)], 0.0)
    assert raised.value.code == "too_short"


def test_the_summary_quotes_the_worse_set() -> None:
    results = [
        Result("a", {}, (), {"to_stock": 30.0, "latency_p99_ms": 100.0}),
        Result("b", {}, (), {"to_stock": 20.0, "latency_p99_ms": 300.0}),
    ]
    assert keys_of(results) == {"to_stock": 20.0, "latency_p99_ms": 300.0}


def test_markdown_says_which_target_was_missed() -> None:
    figures = (Figure("stock", "purchases/s", (2.0, 4.0, 3.0)),)
    text = markdown({"cpus": 2}, [Result("stock, demo", {}, figures, {"to_stock": 20.0})])
    assert "| pipeline to stock | ≥ 25.0 | 20.0 | **not reached** |" in text
    assert "| stock | 3 purchases/s | 2 to 4 |  |" in text


def test_clocks_count_for_the_innermost_part(monkeypatch: pytest.MonkeyPatch) -> None:
    spent = 0

    def burn(milliseconds: int) -> None:
        nonlocal spent
        spent += milliseconds * 1_000_000

    machine = SimpleNamespace(
        thread_time_ns=lambda: spent,
        process_time_ns=lambda: spent,
        perf_counter_ns=lambda: 3 * spent,  # two thirds of the time others have the processor
    )
    monkeypatch.setattr("benchmarks.clocks.time", machine)

    class Parts:
        def outer(self) -> None:
            burn(20)
            self.inner()
            self.fine()

        def inner(self) -> None:
            burn(60)

        def fine(self) -> None:
            burn(40)

    clocks = Clocks()
    clocks.step(Parts, "outer", "outer")
    clocks.step(Parts, "inner", "inner")
    clocks.inside(Parts, "fine", "fine")
    Parts().outer()
    shown = clocks.now()
    assert shown["outer"] == pytest.approx(20e6)
    assert shown["inner"] == pytest.approx(60e6)
    assert shown["fine"] == pytest.approx(40e6)


def test_the_text_names_the_floor() -> None:
    figures = (Figure("floor", "events/s", (10.0,)), Figure("ours", "events/s", (5.0,), "floor"))
    text = Result("some", {"events": 3}, figures).text()
    assert "0.5 × floor" in text
    assert "on events 3" in text


def test_help_names_every_stage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    for name in (*STAGES, "growth", "sweep"):
        assert f"  {name} " in out


def test_an_unknown_name_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--only", "nothing"])
    assert end.value.code == 2
    assert "invalid choice: 'nothing'" in capsys.readouterr().err


def test_smaller_batches_of_the_sweep_bound_what_is_gathered_too() -> None:
    """In a process of its own, for the sizes stay changed."""
    asked = (
        "import benchmarks.worker as worker, ledger.preparing as door;"
        "import streams.together as together;"
        "worker.resize(50);"
        "print(together.TOGETHER_RECORDS_MAX <= vars(door)['INPUTS_MAX'] == 50)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["True"]
