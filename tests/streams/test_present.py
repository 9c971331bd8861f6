"""At a rebalance one answer without a topic stops nobody; a topic that is gone does."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from ledger.errors import LedgerError
from streams import delivery as delivery_module
from streams import present
from streams.delivery import SEEK_SECONDS, StreamDelivery
from streams.described import Described, Topic
from streams.guard import GONE_SECONDS
from streams.metrics import Metrics
from streams.topics import CONSUMED, TOPICS, inputs_of

PARTITIONS = 4
SHORT_GONE_SECONDS = 0.2
SHORT_PAUSE_SECONDS = 0.02

WHOLE = Described("cluster", {name: Topic(b"i" * 16, PARTITIONS) for name in TOPICS})
STALE = Described("cluster", {name: WHOLE.topics[name] for name in TOPICS[1:]})
GROWN = Described("cluster", {**WHOLE.topics, CONSUMED[0]: Topic(b"i" * 16, PARTITIONS + 1)})


class Consumer:
    """It is assigned nothing; what it was told to seek is kept."""

    def __init__(self) -> None:
        self.sought: list[Described] = []

    def assignment(self) -> set[Any]:
        return set()

    async def seek_all(self, _epoch: int, _starts: object, described: Described) -> None:
        self.sought.append(described)


class Nothing:
    async def stream_positions(self, _group: str) -> dict[Any, Any]:
        return {}


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(present, "GONE_SECONDS", SHORT_GONE_SECONDS)
    monkeypatch.setattr(present, "PAUSE_SECONDS", SHORT_PAUSE_SECONDS)


def assigned(
    monkeypatch: pytest.MonkeyPatch, *answers: Described | Exception
) -> tuple[int, list[LedgerError], Consumer]:
    """How often a delivery asked when it got these answers (the last one for ever), what stopped
    it, and what it sought."""
    asked: list[str] = []
    failed: list[LedgerError] = []

    async def describe(bootstrap: str) -> Described:
        asked.append(bootstrap)
        answer = answers[min(len(asked), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(delivery_module, "describe", describe)
    consumer = Consumer()
    unused: Any = SimpleNamespace()

    async def play() -> None:
        delivery = StreamDelivery(
            group="g",
            bootstrap="broker:1",
            partitions=PARTITIONS,
            positions=Nothing(),
            decode=unused,
            appender=unused,
            metrics=Metrics(),
            max_idle_seconds=None,
            on_fail=failed.append,
        )
        asking: Any = consumer
        await delivery.assigned(asking)

    asyncio.run(play())
    return len(asked), failed, consumer


def test_a_topic_that_one_answer_leaves_out_is_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, failed, consumer = assigned(monkeypatch, STALE, WHOLE)
    assert (asked, failed) == (2, [])
    assert consumer.sought == [inputs_of(WHOLE)], "the complete answer is what is read by"


def test_a_stale_answer_after_kafka_was_away_is_still_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The time that Kafka was away does not count: no broker has said that a topic is gone."""
    monkeypatch.setattr(present, "GONE_SECONDS", 0.01)
    monkeypatch.setattr(present, "PAUSE_SECONDS", 0.0)
    away = KafkaConnectionError("away")
    asked, failed, consumer = assigned(monkeypatch, away, away, STALE, WHOLE)
    assert (asked, failed) == (4, [])
    assert consumer.sought == [inputs_of(WHOLE)]


def test_a_topic_that_stays_missing_stops_the_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    asked, failed, consumer = assigned(monkeypatch, STALE)
    assert [error.code for error in failed] == ["topics_missing"]
    assert CONSUMED[0] in failed[0].message
    assert asked > 1
    assert time.monotonic() - began >= SHORT_GONE_SECONDS
    assert consumer.sought == []


def test_another_number_of_partitions_stops_it_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, failed, _ = assigned(monkeypatch, GROWN, WHOLE)
    assert asked == 1
    assert [error.code for error in failed] == ["topic_partitions_differ"]


def test_its_own_sentence_comes_before_that_of_the_whole_seek() -> None:
    """Else a worker whose topic is gone would say that PostgreSQL does not answer."""
    assert GONE_SECONDS < SEEK_SECONDS
