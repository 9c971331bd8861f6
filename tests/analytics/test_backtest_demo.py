"""The demo's year again: decided again it is what is stored, under an equal program what is known.

A hundred households in every run of the tests, all 2,469 in `make test-long`.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from analytics import backtest
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
