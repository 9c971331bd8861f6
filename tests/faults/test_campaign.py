"""The delivery campaign, with services of its own: three minutes of it always, more when asked."""

import json
from pathlib import Path

import pytest

from tests.faults.__main__ import main

SEED = 1
LONG_SEED = 11


def play(folder: Path, minutes: float, seed: int) -> int:
    """Run a campaign; how many faults it had. It has checked everything itself."""
    status = main(["--minutes", str(minutes), "--seed", str(seed), "--data-dir", str(folder)])
    result = json.loads((folder / "campaign.json").read_text())
    assert (status, result["failure"]) == (0, None)
    assert result["members"] > 0
    return int(result["faults"])


def test_three_minutes_of_faults_lose_and_double_nothing(tmp_path: Path) -> None:
    assert play(tmp_path / "campaign", 3, SEED) >= 3


@pytest.mark.long
def test_fifteen_minutes_of_faults_lose_and_double_nothing(tmp_path: Path) -> None:
    assert play(tmp_path / "campaign", 15, LONG_SEED) >= 15
