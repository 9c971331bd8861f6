"""Checkpoints on a schedule: when one is due, and what happens when one cannot be made."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from audit import checkpoint
from audit.checkpointing import (
    AGAIN_SECONDS,
    WAIT_SECONDS_MAX,
    Made,
    keep_making,
    make_next,
    next_at,
)
from audit.errors import AuditRefused
from audit.keys import generate
from ledger.core.calendar import parse_instant

DAY = 86_400

MADE = Made(1, "hash", Path("file"), 4, 100, 0)


class Stopped(Exception):
    """The process was asked to end."""


class Days:
    """A clock that goes on when it is waited for, until a moment; what was made when."""

    def __init__(self, ends: float) -> None:
        self.now, self.ends, self.due = 0.0, ends, 0.0
        self.made: list[float] = []
        self.failing: list[Exception] = []
        self.waited: list[float] = []

    def make(self) -> Made:
        """Make one, or fail as it was told."""
        if self.failing:
            raise self.failing.pop(0)
        self.made.append(self.now)
        self.due = self.now + DAY
        return MADE

    def wait(self, seconds: float) -> None:
        """Time goes by."""
        self.waited.append(seconds)
        self.now += seconds
        if self.now > self.ends:
            raise Stopped

    def run(self) -> None:
        """Until the end."""
        with pytest.raises(Stopped):
            keep_making(self.make, lambda: self.due, now=lambda: self.now, wait=self.wait)


def test_one_is_made_whenever_it_is_due() -> None:
    days = Days(ends=3.5 * DAY)
    days.run()
    assert days.made == [0, DAY, 2 * DAY, 3 * DAY]
    assert max(days.waited) <= WAIT_SECONDS_MAX, "the clock may be set meanwhile"


def test_one_that_fails_is_tried_again() -> None:
    days = Days(ends=DAY / 2)
    days.failing = [AuditRefused("Damaged.", "log_damaged"), OSError("full"), OSError("full")]
    days.run()
    assert days.made == [3 * AGAIN_SECONDS]


def test_the_newest_of_the_folder_says_when_the_next_is_due(url: str, tmp_path: Path) -> None:
    key, folder = tmp_path / "key", tmp_path / "checkpoints"
    generate(key, tmp_path / "pub")
    assert next_at(folder, DAY) == 0, "the first at once"
    first = make_next(url, None, key, folder)
    at = parse_instant(checkpoint.read(first.path).content.at) / 1_000_000
    assert next_at(folder, DAY) == at + DAY
    second = make_next(url, None, key, folder)
    assert (first.number, second.number) == (1, 2)
    assert next_at(folder, DAY) > at + DAY


def test_of_a_damaged_log_none_is_made(
    url: str, owner: psycopg.Connection[Any], tmp_path: Path
) -> None:
    key, folder = tmp_path / "key", tmp_path / "checkpoints"
    generate(key, tmp_path / "pub")
    owner.execute("UPDATE ledger.events SET hash = sha256('x') WHERE shard = 0 AND position = 3")
    with pytest.raises(AuditRefused) as refused:
        make_next(url, None, key, folder)
    assert refused.value.code == "log_damaged"
    assert list(folder.iterdir()) == []
