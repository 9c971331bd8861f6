"""The list of crash points is what the code passes and what the page tells; a typo is refused."""

import ast
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from ledger import crash
from ledger.crash import CRASH_POINTS
from ledger.errors import StartRefused
from ledger.settings import load_settings
from tests.docs.pages import page, sections

ROOT = Path(__file__).parents[2]
PACKAGES = ("analytics", "audit", "cli", "ledger", "projections", "streams")


def passed() -> Counter[str]:
    """How many places of the code name each point (or what looks like one)."""
    found: Counter[str] = Counter()
    words = tuple({name.partition(".")[0] + "." for name in CRASH_POINTS})
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            if path == ROOT / "ledger" / "crash.py":
                continue
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and node.args:
                    names = [node.args[0]]
                elif isinstance(node, ast.Tuple):
                    names = list(node.elts)
                else:
                    continue
                for name in names:
                    if isinstance(name, ast.Constant) and isinstance(name.value, str):
                        text = name.value
                        if text.startswith(words) and text.replace(".", "_").isidentifier():
                            found[text] += 1
    return found


def test_each_point_stands_in_one_place_of_the_code() -> None:
    assert passed() == Counter(dict.fromkeys(CRASH_POINTS, 1))


def test_the_page_lists_every_point_in_order_with_what_has_been_done() -> None:
    table = sections(page("reliability.md"))["Crash points"]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("| `")]
    assert [(row[0].strip("`"), row[1]) for row in rows] == list(CRASH_POINTS.items())
    assert all(len(row) == 3 and row[2] for row in rows)


@pytest.mark.parametrize(
    "text", ["append.nowhere", "append.after_lock:0", "append.after_lock:", "", "APPEND.AFTER_LOCK"]
)
def test_an_unknown_point_is_refused(text: str) -> None:
    with pytest.raises(StartRefused, match="is no crash point") as refused:
        load_settings({"POINTS_CRASH_AT": text})
    assert refused.value.code == "bad_setting"


def test_nothing_happens_where_nothing_is_armed() -> None:
    crash.arm(None)
    for name in CRASH_POINTS:
        crash.crash_point(name)


def test_the_third_pass_kills_and_says_so() -> None:
    program = (
        "from ledger.crash import arm, crash_point\n"
        "arm('append.after_lock:3')\n"
        "for number in range(9):\n"
        "    crash_point('append.before_lock')\n"
        "    print(number, flush=True)\n"
        "    crash_point('append.after_lock')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert ended.returncode == -signal.SIGKILL
    assert ended.stdout.split() == ["0", "1", "2"]
    assert ended.stderr == "crash point append.after_lock:3: killed as asked\n"
