"""Dying in the middle of an append over two accounts: both have it, or none, and once."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger.application import Ledger
from ledger.core.program.form import Program
from ledger.core.program.load import load_program
from schemas import inputs
from tests.crash.plays import Play, Stage, nothing, with_ledger
from tests.crash.state import State, state_of
from tests.crash.test_crash_points import crash_and_recover
from tests.databases import copied, new_ledger
from tests.ledger.conftest import PROGRAM
from tests.ledger.events import SHARDS, direct, purchase, returned, survey
from tests.ledger.pairs import elsewhere, merge, standing, transfer

FAR, FARTHER = elsewhere("m1", count=2)

POINTS = (
    "append.before_lock",
    "append.after_lock",
    "append.after_numbering",
    "append.after_released",
    "append.after_copy_events",
    "append.after_copy_inputs",
    "append.before_commit",
    "append.commit_sent",
    "append.after_commit",
    "append.after_cache",
)

PASSES = (1, 2, 3)
"""The transfers, the merge with what it forwards, the return that waits across a second merge."""


def prepare(stage: Stage) -> None:
    """Three members with points, in three shards."""

    async def work(ledger: Ledger) -> None:
        await ledger.handle(direct(survey("m1"), survey(FAR), survey(FARTHER)))
        await ledger.handle(direct(returned("m1", "o3", "r0", at=1)))

    with_ledger(stage, work)


def act(stage: Stage) -> None:
    """Three appends, each over several shards."""

    async def work(ledger: Ledger) -> None:
        for batch in (
            [transfer("m1", FAR, "t1", at=2, points=150), transfer(FAR, FARTHER, "t2", at=2)],
            [merge("m1", FAR, at=3), purchase("m1", "o2", at=4), purchase("m1", "o3", at=4)],
            [
                returned("m1", "o9", "r9", at=5),
                merge(FAR, FARTHER, at=5),
                purchase(FAR, "o9", at=6),
                standing(inputs.AccountClose, FARTHER, at=7),
            ],
        ):
            await ledger.handle(direct(*batch))

    with_ledger(stage, work)


PLAY = Play("two accounts", prepare, act, nothing)


@pytest.fixture(scope="module")
def transfers(server: str, admin: psycopg.Connection[Any]) -> Iterator[str]:
    """A database with an empty ledger whose program has transfers."""
    text = PROGRAM.read_text(encoding="utf-8") + "transfers: {}\nclosing: {notice: P30D}\n"
    program: Program = load_program(text, PROGRAM.name)
    with new_ledger(server, admin, program, SHARDS) as name:
        yield name


@pytest.fixture(scope="module")
def undisturbed(server: str, admin: psycopg.Connection[Any], transfers: str) -> State:
    """What is there when nobody dies."""
    with copied(server, admin, transfers) as url:
        stage = Stage(url, "")
        prepare(stage)
        act(stage)
        return state_of(url)


@pytest.fixture
def stages(
    server: str, admin: psycopg.Connection[Any], transfers: str
) -> Iterator[Callable[[], Stage]]:
    """Stages with a new ledger each; gone at the end."""
    made = []

    def new() -> Stage:
        context = copied(server, admin, transfers)
        made.append(context)
        return Stage(context.__enter__(), "")

    yield new
    for context in made:
        context.__exit__(None, None, None)


def dies_at(point: str, nth: int, stage: Stage, undisturbed: State, said: Path) -> bool:
    """Die there and recover, if the play passes the point so often."""
    died = crash_and_recover(f"{point}:{nth}", PLAY, stage, said)
    assert not died or state_of(stage.url) == undisturbed
    return died


@pytest.mark.parametrize("name", POINTS)
def test_both_accounts_have_it_or_none(
    name: str, stages: Callable[[], Stage], undisturbed: State, tmp_path: Path
) -> None:
    tried = (dies_at(name, nth, stages(), undisturbed, tmp_path / "said") for nth in (2, 1))
    assert any(tried), "the point was not reached"


@pytest.mark.long
@pytest.mark.parametrize("name", POINTS)
def test_both_accounts_have_it_or_none_at_any_pass(
    name: str, stages: Callable[[], Stage], undisturbed: State, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    tried = [dies_at(name, nth, stages(), undisturbed, said) for nth in PASSES]
    assert any(tried), "the point was not reached"


def test_the_play_leaves_what_it_should(stages: Callable[[], Stage]) -> None:
    stage = stages()
    prepare(stage)
    act(stage)

    async def look(ledger: Ledger) -> None:
        accounts = [await ledger.account(member) for member in ("m1", FAR, FARTHER)]
        assert [account.status for account in accounts] == ["merged", "merged", "closed"]
        left = accounts[2].balances()
        # 3 x 200 of the surveys, 100 of o2; o3 and o9 came back.
        assert left.available + left.pending == 700

    with_ledger(stage, look)
