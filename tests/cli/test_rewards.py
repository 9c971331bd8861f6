"""`points rewards`: what is left of the catalogue, and loading voucher codes."""

import json
from pathlib import Path

import pytest

from ledger.core.program.load import load_program
from ledger.create import create_ledger
from ledger.migrate import migrate
from tests.streams.workers import PROGRAM, SHARDS, Stage

REWARDS = """
rewards:
  - {id: cup, points: 30, kind: gift, stock: 2}
  - {id: pen, points: 7, kind: gift}
  - {id: cinema, points: 40, kind: voucher}
  - {id: theatre, points: 40, kind: voucher, stock: 1}
"""


@pytest.fixture(scope="module")
def stage(database: str) -> Stage:
    migrate(database)
    create_ledger(database, load_program(PROGRAM.read_text() + REWARDS, PROGRAM.name), SHARDS)
    return Stage(database, "localhost:1")  # no command here asks Kafka


def listed(stage: Stage) -> dict[str, tuple[int | None, int | None]]:
    """(given, left) of each reward."""
    done = stage.points("rewards", "list", "--json")
    assert done.returncode == 0, done.stderr
    return {one["id"]: (one["given"], one["left"]) for one in json.loads(done.stdout)}


def test_codes_are_loaded_once_and_what_is_left_is_shown(stage: Stage, tmp_path: Path) -> None:
    assert listed(stage) == {
        "cup": (0, 2), "pen": (None, None), "cinema": (0, 0), "theatre": (0, 0),
    }  # fmt: skip
    file = tmp_path / "codes.txt"
    file.write_text("A-1\n\n  A-2\nA-1\nÄ 3\n", encoding="utf-8")
    done = stage.points("rewards", "load-codes", "cinema", str(file), "--json")
    assert json.loads(done.stdout) == {
        "loaded": 3, "known": 1, "left": 3, "refused_lines": [],
    }  # fmt: skip
    done = stage.points("rewards", "load-codes", "cinema", str(file))
    assert done.stdout == "cinema: 0 codes loaded, 4 known before, 3 left to hand out\n"
    file.write_text("T-1\n\nA-2\nT-2\nÄ 3\nT-3\n", encoding="utf-8")
    done = stage.points("rewards", "load-codes", "theatre", str(file))
    assert done.stdout.splitlines() == [
        "theatre: 3 codes loaded, 0 known before, 3 left to hand out",
        "2 refused, for they are of another reward: lines 3, 5",
    ]
    done = stage.points("rewards", "load-codes", "theatre", str(file), "--json")
    assert json.loads(done.stdout)["refused_lines"] == [3, 5]
    stage.change("UPDATE ledger.reward_stock SET given = 1 WHERE reward_id IN ('cinema')")
    assert listed(stage) == {
        "cup": (0, 2), "pen": (None, None), "cinema": (1, 2), "theatre": (0, 1),
    }  # fmt: skip
    shown = stage.points("rewards", "list").stdout.splitlines()
    assert [line.split() for line in shown][1:3] == [
        ["pen", "gift", "7", "points", "without", "end"],
        ["cinema", "voucher", "40", "points", "2", "left"],
    ]


def test_a_large_file_is_loaded_in_parts(stage: Stage, tmp_path: Path) -> None:
    file = tmp_path / "codes.txt"
    file.write_text("\n".join(f"L-{n}" for n in range(10_500)), encoding="utf-8")
    done = stage.points("rewards", "load-codes", "theatre", str(file), "--json")
    assert json.loads(done.stdout)["loaded"] == 10_500
    numbers = stage.ask(
        "SELECT min(number), max(number), count(*) FROM ledger.voucher_codes"
        " WHERE reward_id = 'theatre'"
    )
    assert numbers == [(1, 10_503, 10_503)]


@pytest.mark.parametrize(
    ("reward", "content", "code"),
    [
        ("car", "A\n", "no_such_voucher"),
        ("cup", "A\n", "no_such_voucher"),
        ("cinema", "A\nB\x07C\n", "bad_code"),
        ("cinema", "x" * 257, "bad_code"),
        ("cinema", None, "cannot_read"),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_a_reason(
    stage: Stage, tmp_path: Path, reward: str, content: str | None, code: str
) -> None:
    file = tmp_path / "codes.txt"
    if content is not None:
        file.write_text(content, encoding="utf-8")
    done = stage.points("rewards", "load-codes", reward, str(file))
    assert done.returncode == 1
    assert f"[{code}]" in done.stderr
