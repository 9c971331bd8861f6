"""The ledger's fixtures, and what every play leaves behind when nobody dies."""

from collections.abc import Callable

import psycopg
import pytest

from tests.crash.plays import PLAYS, Play, Stage
from tests.crash.state import State, state_of
from tests.databases import copied
from tests.ledger.conftest import admin, program, server, template

__all__ = ["admin", "program", "server", "template"]


@pytest.fixture(scope="session")
def expected(
    server: str, admin: psycopg.Connection, template: str
) -> Callable[[Play, Stage], State]:
    """The state that a play leaves behind without a crash; played once for each."""
    known: dict[str, State] = {}

    def of(play: Play, stage: Stage) -> State:
        if play.name not in known:
            with copied(server, admin, template) as url:
                undisturbed = stage._replace(url=url)
                play.prepare(undisturbed)
                play.act(undisturbed)
                play.finish(undisturbed)
                known[play.name] = state_of(url)
        return known[play.name]

    assert len({play.name for play in PLAYS.values()}) == len(PLAYS)
    return of
