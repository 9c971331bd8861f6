"""Every crash point but the worker's own: the process dies there, another does the same again."""

from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from ledger.crash import CRASH_POINTS
from tests.crash.dying import dies
from tests.crash.plays import PLAYS, Play, Stage
from tests.crash.state import State, state_of
from tests.databases import copied

OWN_TESTS = "worker"
"""The points that only a whole worker passes: tests/crash/test_worker_crashes.py."""

POINTS = [name for name in CRASH_POINTS if name.partition(".")[0] != OWN_TESTS]

PASSES_MAX = 40
"""More than any play passes one point."""

Expected = Callable[[Play, Stage], State]


@pytest.fixture
def stages(
    server: str, admin: psycopg.Connection, template: str, kafka_topics: str
) -> Iterator[Callable[[], Stage]]:
    """Stages with a new ledger each; gone at the end."""
    made = []

    def new() -> Stage:
        context = copied(server, admin, template)
        made.append(context)
        return Stage(context.__enter__(), kafka_topics)

    yield new
    for context in made:
        context.__exit__(None, None, None)


def crash_and_recover(point: str, play: Play, stage: Stage, said: Path) -> bool:
    """Die at the point and do it all again; False if the play does not pass it so often."""
    play.prepare(stage)
    died = dies(point, said, play.act, stage)
    if died:
        play.act(stage)
        play.finish(stage)
    return died


@pytest.mark.parametrize("name", POINTS)
def test_dying_at_its_first_pass_changes_nothing(
    name: str, stages: Callable[[], Stage], expected: Expected, tmp_path: Path
) -> None:
    play, stage = PLAYS[name.partition(".")[0]], stages()
    assert crash_and_recover(name, play, stage, tmp_path / "said"), "the point was not reached"
    assert state_of(stage.url) == expected(play, stage)


@pytest.mark.long
@pytest.mark.parametrize("name", POINTS)
def test_dying_at_any_later_pass_changes_nothing(
    name: str, stages: Callable[[], Stage], expected: Expected, tmp_path: Path
) -> None:
    play = PLAYS[name.partition(".")[0]]
    for nth in range(2, PASSES_MAX):
        stage = stages()
        if not crash_and_recover(f"{name}:{nth}", play, stage, tmp_path / "said"):
            return
        assert state_of(stage.url) == expected(play, stage), nth
    raise AssertionError(f"more than {PASSES_MAX} passes")


def test_dying_again_and_again_while_recovering_changes_nothing(
    stages: Callable[[], Stage], expected: Expected, tmp_path: Path
) -> None:
    """Each successor dies as well, at the next point in the order of an append."""
    play, stage = PLAYS["append"], stages()
    play.prepare(stage)
    deaths = 0
    for name in (name for name in CRASH_POINTS if name.startswith("append.")):
        deaths += dies(name, tmp_path / "said", play.act, stage)
    assert deaths >= 10
    play.act(stage)
    assert state_of(stage.url) == expected(play, stage)
