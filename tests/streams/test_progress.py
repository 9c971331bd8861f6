"""Telling others how far a worker is ends by itself, whoever does not answer."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from streams import progress
from streams.delivery import FINISH_SECONDS
from streams.fetching import LEAVE_SECONDS
from streams.metrics import Metrics
from streams.progress import TELL_SECONDS, Progress, Reads
from streams.watchdog import STOP_SECONDS_MAX
from streams.worker import APP_STOP_SECONDS

SHORT_TELL_SECONDS = 0.1
LATE_SECONDS = 60.0
"""Far beyond the short bound, far below for ever."""

READS: Reads = {("purchases", 0): (3, 5)}
POSITIONS = {TP("purchases", 0): 3}


class Kafka:
    """Takes the group's offsets, or looks for the group's coordinator without an end."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.told: list[Any] = []

    async def commit_for_lag_tools(self, positions: Any) -> bool:
        self.told.append(positions)
        if not self.answers:
            await asyncio.Event().wait()
        return True


class Postgres:
    """Takes notes, or never answers."""

    def __init__(self, *, answers: bool) -> None:
        self.answers = answers
        self.told: list[Any] = []

    async def note_read(self, group: str, reads: Reads) -> None:
        self.told.append((group, reads))
        if not self.answers:
            await asyncio.Event().wait()


@pytest.mark.parametrize("kafka_answers", [True, False])
@pytest.mark.parametrize("postgres_answers", [True, False])
def test_who_does_not_answer_keeps_nobody(
    monkeypatch: pytest.MonkeyPatch, kafka_answers: bool, postgres_answers: bool
) -> None:
    monkeypatch.setattr(progress, "TELL_SECONDS", SHORT_TELL_SECONDS)
    kafka, postgres = Kafka(answers=kafka_answers), Postgres(answers=postgres_answers)
    unused: Any = SimpleNamespace()

    async def play() -> float:
        telling = Progress(
            SimpleNamespace(consumer=kafka), unused, postgres, Metrics(), group="g", look=unused
        )
        began = time.monotonic()
        async with asyncio.timeout(LATE_SECONDS):
            await telling.tell(READS, POSITIONS)
        return time.monotonic() - began

    took = asyncio.run(play())
    waited_for = [kafka_answers, postgres_answers].count(False)
    assert took >= SHORT_TELL_SECONDS * waited_for, "each has its time"
    assert postgres.told == [("g", READS)]
    assert kafka.told == [POSITIONS], "also when PostgreSQL does not answer"


def test_a_stop_in_which_nobody_answers_ends_before_the_watchdog_ends_it() -> None:
    """Else the worker would end without its sentence."""
    tells = 2 * TELL_SECONDS
    assert FINISH_SECONDS + tells + 3 * LEAVE_SECONDS + APP_STOP_SECONDS <= STOP_SECONDS_MAX
