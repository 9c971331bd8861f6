"""What time will do to a balance is what the ledger's own settle says, however it is worked out."""

from typing import Any

from hypothesis import given, settings

from projections.ahead import settled_ahead, steps_ahead
from tests.core.histories import Step, Town, programs, steps
from tests.core.test_account_histories import changes as plain_changes
from tests.core.test_account_histories import versions
from tests.core.test_timed_histories import changes, timed, timed_steps, timed_versions

SAMPLES = 60
"""Histories per property and run."""


@settings(max_examples=SAMPLES)
@given(programs(), plain_changes, steps)
def test_steps_ahead_are_what_settling_posts(
    document: dict[str, Any], change: tuple[dict[str, Any], int] | None, history: list[Step]
) -> None:
    ahead_holds(versions(document, change), history)


@settings(max_examples=SAMPLES)
@given(timed(), changes, timed_steps)
def test_so_they_are_where_time_does_more(
    document: dict[str, Any], change: tuple[dict[str, Any], int] | None, history: list[Step]
) -> None:
    ahead_holds(timed_versions(document, change), history)


def ahead_holds(town: Town, history: list[Step]) -> None:
    """After each input, of each member."""
    for _ in town.live(history):
        for member in town.ours.values():
            account = member.account
            if account.version:
                found = steps_ahead(account, town.timeline)
                assert found == settled_ahead(account, town.timeline)
