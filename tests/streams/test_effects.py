"""The effects publisher and Kafka: nothing is sent that takes back what Kafka may not have yet, and
whoever waits for the outcome of a command keeps nobody's reward waiting."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from msgspec import Raw

from ledger.command_outcomes import Untold
from ledger.errors import LedgerError
from schemas.decisions import Effect
from streams.command_outcomes import OUTCOMES_AT_ONCE
from streams.effects import EffectsPublisher, Pending, steps
from streams.metrics import Metrics

AT = 1_700_000_000_000_000


def pending(*effects: tuple[str, str]) -> list[Pending]:
    """Effects (kind, target) at one position each."""
    data = Raw(b'{"kind":"referral","referee_id":"m2","order_id":"o1"}')
    return [
        (0, number, 1, Effect(target, f"effect.{kind}.v1", AT, data))
        for number, (kind, target) in enumerate(effects, 1)
    ]


def cut(*effects: tuple[str, str]) -> list[int]:
    """How many effects each step has."""
    every = pending(*effects)
    found = list(steps(every))
    assert [effect for step in found for effect in step] == every
    return [len(step) for step in found]


def test_only_what_is_taken_back_waits_for_what_was_given() -> None:
    assert cut(("reward", "a"), ("reward", "a"), ("reward", "b")) == [3]
    assert cut(("reward", "a"), ("revoke", "b"), ("reward", "b")) == [3]
    assert cut(("reward", "a"), ("reward", "b"), ("revoke", "a"), ("revoke", "b")) == [2, 2]
    assert cut(("reward", "a"), ("revoke", "a"), ("reward", "a"), ("revoke", "a")) == [1, 2, 1]


class Log:
    """Effects that wait; and up to where they were noted as published."""

    def __init__(self, effects: list[Pending]) -> None:
        self.effects = effects
        self.cursor = 0

    async def pending_effects(self, shard: int, limit: int) -> Sequence[Pending]:
        return [effect for effect in self.effects if effect[1] > self.cursor][:limit]

    async def mark_effects_published(self, shard: int, position: int) -> None:
        self.cursor = position


def test_a_reward_is_in_kafka_before_its_revocation_is_sent(kafka_topics: str) -> None:
    def fail(error: LedgerError) -> None:
        raise error

    async def test() -> None:
        log = Log(pending(("reward", "a"), ("reward", "b"), ("revoke", "a"), ("reward", "c")))
        publisher = EffectsPublisher(
            log=log, bootstrap=kafka_topics, shards=list, metrics=Metrics(), on_fail=fail
        )
        await publisher._producer.start()
        send = publisher._producer.send
        sent: list[asyncio.Future[Any]] = []
        confirmed_before: list[int] = []

        async def watched(*arguments: Any, **named: Any) -> Any:
            confirmed_before.append(sum(one.done() for one in sent))
            sent.append(await send(*arguments, **named))
            return sent[-1]

        publisher._producer.send = watched
        try:
            assert await publisher.publish([0]) == 4
        finally:
            await publisher._producer.stop()
        assert confirmed_before[2] == 2
        assert log.cursor == 4
        assert all(one.done() for one in sent)

    asyncio.run(test())


class Outcomes:
    """Outcomes that wait: as many as are asked for at once, `pages` times."""

    def __init__(self, pages: int, of: int = OUTCOMES_AT_ONCE) -> None:
        self.pages = pages
        self.of = of
        self.told = 0

    async def pending_outcomes(self, shards: Sequence[int], limit: int) -> list[Untold]:
        await asyncio.sleep(0.001)
        page = min(self.of, limit) if self.pages else 0
        return [Untold(0, self.told + n, b"m", b"{}") for n in range(page)]

    async def forget_outcomes(self, told: Sequence[Untold]) -> None:
        self.told += len(told)
        self.pages -= 1


class Producer:
    """Takes everything at once."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def send(
        self, topic: str, value: bytes, key: bytes | None = None
    ) -> asyncio.Future[None]:
        self.sent.append(topic)
        done = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done


WAIT_SECONDS = 60.0
"""For what takes some milliseconds."""


async def telling(
    log: Log,
    outcomes: Outcomes,
    monkeypatch: pytest.MonkeyPatch,
    enough: Callable[[], bool],
) -> None:
    """A publisher for which commands are decided and, when it has told enough of them, a reward;
    until that is published."""
    producer, failed = Producer(), list[LedgerError]()
    monkeypatch.setattr("streams.effects.AIOKafkaProducer", lambda **_: producer)
    publisher = EffectsPublisher(
        log=log,
        bootstrap="",
        shards=lambda: [0],
        metrics=Metrics(),
        on_fail=failed.append,
        pause_seconds=0.001,
        outcomes=outcomes,
    )
    await publisher.start()
    publisher.commanded()
    async with asyncio.timeout(WAIT_SECONDS):
        while not enough():  # noqa: ASYNC110 (any condition: no event to wait for)
            await asyncio.sleep(0.01)
        log.effects = pending(("reward", "a"))
        publisher.committed({0})
        while "effects" not in producer.sent:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await publisher.stop(0.1)
    assert not failed


@pytest.mark.parametrize("of", [1, OUTCOMES_AT_ONCE])
def test_effects_are_published_while_commands_keep_coming(
    of: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = Outcomes(1_000_000, of)
    asyncio.run(telling(Log([]), outcomes, monkeypatch, lambda: outcomes.told > of))
    assert outcomes.pages > 0, "commands were still coming"


def test_outcomes_of_more_than_one_page_are_told_without_waiting_for_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcomes = Outcomes(3)
    asyncio.run(telling(Log([]), outcomes, monkeypatch, lambda: not outcomes.pages))
    assert outcomes.told == 3 * OUTCOMES_AT_ONCE


class Growing:
    """Two shards. While the second is looked at for the first time, the first gets an effect, by a
    commit that does not tell so (its inputs were of another shard)."""

    def __init__(self) -> None:
        self.publisher: EffectsPublisher | None = None
        self.waiting = False
        self.published = asyncio.Event()
        self.idle: bool | None = None

    async def pending_effects(self, shard: int, limit: int) -> Sequence[Pending]:
        assert self.publisher is not None
        if shard == 1 and self.idle is None and not self.waiting:
            self.waiting = True
            self.publisher.committed(())
        elif shard == 0 and self.waiting and self.idle is None:
            self.idle = self.publisher.idle()
        return pending(("reward", "a")) if shard == 0 and self.waiting else []

    async def mark_effects_published(self, shard: int, position: int) -> None:
        self.waiting = False
        self.published.set()


def test_nothing_is_left_when_a_publisher_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that is to stop when all is done would stop before that effect."""

    async def test() -> None:
        monkeypatch.setattr("streams.effects.AIOKafkaProducer", lambda **_: Producer())
        log = Growing()
        publisher = log.publisher = EffectsPublisher(
            log=log,
            bootstrap="",
            shards=lambda: [0, 1],
            metrics=Metrics(),
            on_fail=lambda error: None,
            pause_seconds=0.001,
        )
        await publisher.start()
        await asyncio.wait_for(log.published.wait(), WAIT_SECONDS)
        await publisher.stop(0.1)
        assert log.idle is False

    asyncio.run(test())
