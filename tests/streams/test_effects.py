"""The effects publisher and Kafka: nothing is sent that takes back what Kafka may not have yet."""

import asyncio
from collections.abc import Sequence
from typing import Any

from msgspec import Raw

from ledger.errors import LedgerError
from schemas.decisions import Effect
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
