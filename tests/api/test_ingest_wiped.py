"""The batch ingest while Kafka loses what it had: what is told as accepted is there."""

import asyncio
import shutil
from collections.abc import Callable
from itertools import count
from typing import Any

import httpx
import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from api import ingest as ingest_module
from deploy import embedded
from streams.topics import ensure_topics, topic_partitions
from tests.api.conftest import PLAY_SECONDS
from tests.api.test_ingest import BATCH, event, records
from tests.services import PARTITIONS, fresh_topics
from tests.streams.test_impossible import logs_of, restart

EACH = 20
"""Events of a batch."""

TRIES_MAX = 1_000
"""Batches until one is accepted whole: each without Kafka takes some seconds, so that the play's
own bound comes first."""

ANSWERS = 3
"""Batches while Kafka is away."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds for the brokers, so that Kafka's absence is told of more often."""
    monkeypatch.setattr(ingest_module, "ACKNOWLEDGED_SECONDS", 2.0)


class Sender:
    """Sends batches and notes what was told of each event."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client
        self._numbers = count()
        self.accepted: set[str] = set()

    async def send(self) -> int:
        """Send a batch; how many were accepted. What is told is true to its form, whatever it is:
        counts that add up, or a problem that says what to do."""
        numbers = [next(self._numbers) for _ in range(EACH)]
        batch = orjson.dumps([event(n) for n in numbers])
        answer = await self._client.post("/v1/events", content=batch, headers=BATCH)
        told = answer.json()
        if answer.status_code != 200:
            assert answer.status_code == 503, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert told["code"] == "kafka_unavailable"
            return 0
        others = {item["index"] for item in told["items"]}
        assert {item["code"] for item in told["items"]} <= {"kafka_unavailable"}
        assert told["accepted"] + told["unknown"] == EACH
        assert told["unknown"] == len(others)
        self.accepted |= {f"m{n}" for at, n in enumerate(numbers) if at not in others}
        return EACH - len(others)

    async def until_accepted(self) -> None:
        """Send on until a whole batch is accepted."""
        for _ in range(TRIES_MAX):
            if await self.send() == EACH:
                return
            await asyncio.sleep(0.1)
        raise AssertionError("the producer does not recover")


async def check_there(bootstrap: str, sender: Sender) -> None:
    """What was accepted is in Kafka."""
    assert sender.accepted <= {key for key, _ in await records(bootstrap)}


def test_a_broker_that_comes_back_with_an_empty_disk(
    play: Callable[[Any], Any], api_topics: str, services: embedded.Services
) -> None:
    running_now = embedded.start(services.data_dir)

    async def story(client: httpx.AsyncClient) -> None:
        sender = Sender(client)
        await sender.until_accepted()
        await check_there(api_topics, sender)
        loop = asyncio.get_running_loop()

        def away() -> None:
            asyncio.run_coroutine_threadsafe(meanwhile(), loop).result(PLAY_SECONDS)
            for log in logs_of(running_now, "purchases"):
                shutil.rmtree(log)

        async def meanwhile() -> None:
            for _ in range(ANSWERS):
                assert await sender.send() == 0, "nobody confirms anything"

        before = set(sender.accepted)
        await asyncio.to_thread(restart, running_now, away)
        await sender.until_accepted()
        sender.accepted -= before  # were there, and were wiped
        assert len(sender.accepted) >= EACH
        await check_there(api_topics, sender)

    play(story)


def test_topics_that_are_gone_and_come_back(play: Callable[[Any], Any], api_topics: str) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        sender = Sender(client)
        await sender.until_accepted()
        await delete_topics(api_topics)
        sender.accepted.clear()
        for _ in range(ANSWERS):
            assert await sender.send() == 0, "there is nothing to put it in"
        await ensure_topics(api_topics, PARTITIONS)
        await sender.until_accepted()
        await fresh_topics(api_topics)  # gone, and back before anybody asks
        sender.accepted.clear()
        await sender.until_accepted()
        await check_there(api_topics, sender)

    play(story)


async def delete_topics(bootstrap: str) -> None:
    """Delete the input topics, and wait until they are gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics(list(await topic_partitions(bootstrap)))
    finally:
        await admin.close()
    for _ in range(20 * PLAY_SECONDS):
        if not await topic_partitions(bootstrap):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("Kafka did not delete the topics")
