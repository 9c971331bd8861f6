"""A topic is gone when brokers say so for half a minute, not when nobody can be asked."""

import asyncio
from types import SimpleNamespace

import pytest
from aiokafka.errors import KafkaConnectionError

from ledger.errors import WorkerStopped
from streams import guard as guard_module
from streams.described import Described, Topic
from streams.guard import GONE_SECONDS, TopicGuard

NODE = 1
HERE = Described("cluster", {"purchases": Topic(b"i" * 16, 4)})
GONE = Described("cluster", {})
ANSWERS = {b"here": HERE, b"gone": GONE}

AWAY = b"away"
"""The broker cannot be asked."""


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    async def ask(client: bytes, node_id: int, names: list[str]) -> bytes:
        if client == AWAY:
            raise KafkaConnectionError("away")
        return client

    clock = Clock()
    monkeypatch.setattr(guard_module, "time", SimpleNamespace(monotonic=clock.monotonic))
    monkeypatch.setattr(guard_module, "ask", ask)
    monkeypatch.setattr(guard_module, "parse", ANSWERS.__getitem__)
    return clock


def confirmed(clock: Clock, *said: tuple[float, bytes]) -> list[bool]:
    """What a guard says to these answers, each so many seconds after the first."""
    guard = TopicGuard()
    guard.expect(HERE)
    began = clock.now
    results: list[bool] = []
    for seconds, answer in said:
        clock.now = began + seconds
        results.append(asyncio.run(guard.confirm(answer, [NODE])))
    return results


def test_a_topic_that_nobody_tells_of_for_half_a_minute_is_gone(clock: Clock) -> None:
    assert confirmed(clock, (0, b"gone"), (GONE_SECONDS, b"gone")) == [False, False]
    with pytest.raises(WorkerStopped) as stopped:
        confirmed(clock, (0, b"gone"), (GONE_SECONDS + 0.1, b"gone"))
    assert stopped.value.code == "input_lost"
    assert "purchases" in stopped.value.message


@pytest.mark.parametrize(("between", "sure"), [(b"here", True), (AWAY, False)])
def test_the_half_minute_begins_anew_after_another_answer(
    clock: Clock, between: bytes, sure: bool
) -> None:
    """Told of in between, it was there; and a broker that cannot be asked says nothing: what it
    says first when it is back may be stale."""
    first = [(0.0, b"gone"), (1.0, between)]
    late = GONE_SECONDS + 5
    assert confirmed(clock, *first, (late, b"gone"), (late + GONE_SECONDS, b"gone")) == [
        False,
        sure,
        False,
        False,
    ]
    with pytest.raises(WorkerStopped):
        confirmed(clock, *first, (late, b"gone"), (late + GONE_SECONDS + 0.1, b"gone"))


def test_what_is_assigned_anew_has_its_own_half_minute(clock: Clock) -> None:
    guard = TopicGuard()
    for _ in range(2):
        guard.expect(HERE)
        assert asyncio.run(guard.confirm(b"gone", [NODE])) is False
        clock.now += GONE_SECONDS + 5
    with pytest.raises(WorkerStopped):
        asyncio.run(guard.confirm(b"gone", [NODE]))
