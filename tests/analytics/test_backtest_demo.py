"""The demo's year again: decided again it is what is stored, under an equal program what is known.

A hundred households in every run of the tests, all 2,469 in `make test-long`.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from analytics import backtest, backtest_account
from analytics.backtest_shard import Options
from analytics.backtest_tally import AFTER, BEFORE
from audit import redecide
from cli.program import read_program
from demo.perform import PROGRAM
from tests.analytics.grocer import SHARDS, write
from tests.databases import new_ledger


@pytest.fixture
def empty(server: str, admin: psycopg.Connection[Any]) -> Iterator[str]:
    """The URL of a database with an empty ledger of the demo's program."""
    with new_ledger(server, admin, read_program(PROGRAM), SHARDS, "grocer") as name:
        yield server + name


@pytest.mark.parametrize(
    "households", [100, pytest.param(None, marks=pytest.mark.long)], ids=["hundred", "all"]
)
def test_the_year_again(empty: str, households: int | None) -> None:
    inputs = asyncio.run(write(empty, households))
    again = redecide.run(empty)
    assert again.tally.differences == []
    assert again.equal
    assert sum(again.tally.inputs.values()) == inputs
    result = backtest.run(empty, read_program(PROGRAM), Options())
    tally = result.tally
    assert tally.left_out == []
    assert tally.identical == tally.inputs >= inputs
    assert tally.before == tally.after
    assert tally.members >= (households or 2_469)
    for rows in tally.groups.values():
        assert all(row.points[BEFORE] == row.points[AFTER] for row in rows.values())
    assert (tally.winners, tally.losers, tally.shortfall) == (0, 0, 0)


def test_living_together_changes_nothing(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until an account comes to something else it is lived through once: the figures are those of
    two accounts from the beginning."""
    asyncio.run(write(empty, 40))
    form = read_program(PROGRAM)
    rules = tuple(
        replace(rule, award=replace(rule.award, fixed=60)) if rule.id == "big-basket" else rule
        for rule in form.earn
    )
    changed = replace(form, earn=rules)
    once = backtest.run(empty, changed, Options(jobs=1))
    assert 0 < once.tally.winners < once.tally.members, "some members part, and some do not"
    monkeypatch.setattr(backtest_account, "TOGETHER_MAX", 0)
    assert backtest.run(empty, changed, Options(jobs=1)) == once

    def two(play: backtest_account.Play) -> None:
        play._begun = True
        play.other = play.recorded.fork()

    monkeypatch.setattr(backtest_account.Play, "_begin", two)
    assert backtest.run(empty, changed, Options(jobs=1)) == once
