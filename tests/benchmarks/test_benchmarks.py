"""The benchmarks' command line: figures for people and programs, quickly, without services."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]

RUN_SECONDS = 60
"""A tiny run takes about a second."""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )


def test_a_tiny_run_prints_one_json_object() -> None:
    done = run("--only", "decide", "--scale", "0.02", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report) == {"machine", "scale", "benchmarks"}
    assert set(report["machine"]) == {"cpus", "load", "python"}
    assert report["scale"] == 0.02
    assert list(report["benchmarks"]) == ["decide"]
    decide = report["benchmarks"]["decide"]
    assert set(decide) == {"seconds", "sizes", "figures"}
    assert decide["sizes"]["purchases"] == 20
    assert 50 <= decide["sizes"]["open lots"] <= 70
    check_figures(decide["figures"])


def check_figures(figures: list[dict[str, Any]]) -> None:
    """Each has its unit and its runs; a ratio where it has a floor, of the same result."""
    medians = {figure["name"]: figure["median"] for figure in figures}
    assert "decide" in medians
    for figure in figures:
        assert set(figure) == {"name", "unit", "median", "runs", "floor", "ratio"}
        assert figure["unit"] in {"µs/purchase", "µs/event"}
        assert len(figure["runs"]) == 5
        assert min(figure["runs"]) > 0
        assert figure["median"] in figure["runs"]
        assert (figure["floor"] is None) == (figure["ratio"] is None)
        assert figure["floor"] is None or figure["floor"] in medians


def test_the_text_names_the_floor() -> None:
    done = run("--only", "decide", "--scale", "0.01")
    assert done.returncode == 0, done.stderr
    assert " × decode and encode" in done.stdout


def test_help_names_every_benchmark() -> None:
    done = run("--help")
    assert done.returncode == 0
    for name in ("chunks", "append", "decide", "fold"):
        assert f"  {name} " in done.stdout


def test_an_unknown_name_is_wrong_usage() -> None:
    done = run("--only", "nothing")
    assert done.returncode == 2
    assert "invalid choice: 'nothing'" in done.stderr
