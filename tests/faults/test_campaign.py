"""The delivery campaign, with services of its own: six faults of it always, more when asked."""

import json
from pathlib import Path

import pytest

from tests.faults.__main__ import main
from tests.faults.schedule import Kind, rounds

FAULTS = 6

SEED = 4749
"""Of all seeds one whose first six faults are of many kinds, and whose pauses are short."""

STRUCK: set[Kind] = {
    "worker killed",
    "worker frozen",
    "kafka killed",
    "postgres killed",
    "connections cut",
    "projections killed",
}

MINUTES_MAX = 60
"""More than six faults can take on any machine: the number ends the campaign, not the clock."""

LONG_SEED = 11


def play(folder: Path, seed: int, *more: str) -> int:
    """Run a campaign; how many faults it had. It has checked everything itself."""
    status = main(["--seed", str(seed), "--data-dir", str(folder), *more])
    result = json.loads((folder / "campaign.json").read_text())
    assert (status, result["failure"]) == (0, None)
    assert result["members"] > 0
    return int(result["faults"])


def test_six_faults_lose_and_double_nothing(tmp_path: Path) -> None:
    struck: list[Kind] = []
    for chosen in rounds(SEED):
        struck += [strike.kind for strike in chosen.strikes]
        if len(struck) >= FAULTS:
            break
    assert (len(struck), set(struck)) == (FAULTS, STRUCK)
    limits = ("--faults", str(FAULTS), "--minutes", str(MINUTES_MAX))
    assert play(tmp_path / "campaign", SEED, *limits) == FAULTS


@pytest.mark.long
def test_fifteen_minutes_of_faults_lose_and_double_nothing(tmp_path: Path) -> None:
    assert play(tmp_path / "campaign", LONG_SEED, "--minutes", "15") >= 15
