"""Batches of CloudEvents: what is accepted is in Kafka, what is not is told one by one."""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import NodeNotReadyError, ProducerFenced

from api import ingest as ingest_module
from api import producing
from api.ingest import Ingest
from api.routes.ingest import MAY
from ledger.settings import Settings
from ledger.sharding import partition_of
from tests.api.calls import basket
from tests.api.conftest import PLAY_SECONDS
from tests.services import PARTITIONS
from tests.streams.workers import Stage, running, until

BATCH = {"Content-Type": "application/cloudevents-batch+json"}


def event(number: int, **more: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": "purchase.completed.v1",
        "id": f"e{number}",
        "source": "/till",
        "time": "2026-01-01T10:00:00Z",
        "subject": f"m{number}",
        "data": basket(order_id=f"o{number}"),
        **more,
    }


def test_accepted_events_are_in_kafka(play: Any, settings: Settings, api_topics: str) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        batch = [event(n) for n in range(50)]
        answer = await client.post("/v1/events", content=orjson.dumps(batch), headers=BATCH)
        assert answer.status_code == 200, answer.text
        assert answer.json() == {"accepted": 50, "refused": 0, "unknown": 0, "items": []}
        assert await records(api_topics) == {
            (f"m{n}", partition_of(f"m{n}", PARTITIONS)) for n in range(50)
        }

    play(story)


def test_a_bad_event_does_not_hold_back_the_others(play: Any, api_topics: str) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        batch = [
            event(1),
            event(2, data=basket(order_id="o2", currency="usd")),
            event(3, type="command.adjust.v1", data={"points": 5, "reason": "x", "actor": "y"}),
            event(4, type="member.erased.v1", data={}),
            event(5, data=basket(order_id="o5", points=7)),
            "no event",
        ]
        answer = await client.post("/v1/events", content=orjson.dumps(batch), headers=BATCH)
        body = answer.json()
        assert (body["accepted"], body["refused"]) == (1, 5)
        assert [(item["index"], item["code"]) for item in body["items"]] == [
            (1, "invalid_field"),
            (2, "operation_of_its_own"),
            (3, "operation_of_its_own"),
            (4, "unknown_field"),
            (5, "invalid_field"),
        ]
        assert body["items"][0]["path"] == "$.data.currency"

    play(story)


def test_a_producer_that_the_broker_refuses_is_renewed(settings: Settings, api_topics: str) -> None:
    async def story() -> None:
        ingest = Ingest(settings)
        try:
            assert await sent(ingest, 1) == ["accepted"]
            producer = await ingest._producers.current()
            numbers = producer._txn_manager._sequence_numbers
            for place in numbers:
                numbers[place] += 7  # as records that failed leave it
            same = event(4, subject="m1")  # the same partition
            (first,) = await ingest.take([orjson.dumps(same)], MAY, "test")
            assert first.status == "unknown"
            assert "OutOfOrderSequenceNumber" in first.message
            assert await sent(ingest, 2, 3) == ["accepted", "accepted"]
            assert await ingest._producers.current() is not producer
        finally:
            await ingest.close()
        assert {key for key, _ in await records(api_topics)} == {"m1", "m2", "m3"}

    asyncio.run(asyncio.wait_for(story(), PLAY_SECONDS))


def test_a_producer_that_has_ended_is_renewed(settings: Settings, api_topics: str) -> None:
    async def story() -> None:
        ingest = Ingest(settings)
        try:
            producer = await ingest._producers.current()
            producer._message_accumulator.fail_all(ProducerFenced())  # as its task's end does
            bad = orjson.dumps(event(3, data={}))
            told = await ingest.take(
                [orjson.dumps(event(1)), bad, orjson.dumps(event(2))], MAY, "test"
            )
            assert [each.status for each in told] == ["unknown", "refused", "unknown"]
            assert "ProducerFenced" in told[0].message
            many = await asyncio.gather(*(sent(ingest, n) for n in range(20)))
            assert many == [["accepted"]] * 20
        finally:
            await ingest.close()

    asyncio.run(asyncio.wait_for(story(), PLAY_SECONDS))


def test_without_kafka_the_end_is_not_held_up(
    settings: Settings, api_topics: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producing, "CLOSE_SECONDS", 0.5)

    async def story() -> None:
        ingest = Ingest(settings)
        assert await sent(ingest, 1) == ["accepted"]
        producer = await ingest._producers.current()

        async def away(*_: object, **__: object) -> object:
            raise NodeNotReadyError

        monkeypatch.setattr(producer.client, "send", away)
        monkeypatch.setattr(ingest_module, "ACKNOWLEDGED_SECONDS", 0.5)
        assert await sent(ingest, 1) == ["unknown"]
        await ingest.close()

    asyncio.run(asyncio.wait_for(story(), PLAY_SECONDS))


async def sent(ingest: Ingest, *numbers: int) -> list[str]:
    """How these events end."""
    return [
        each.status
        for each in await ingest.take([orjson.dumps(event(n)) for n in numbers], MAY, "test")
    ]


def test_what_is_no_batch_is_refused(play: Any) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        for content, status in ((b"{}", 400), (b"[]", 422), (b"[1,", 400)):
            answer = await client.post("/v1/events", content=content, headers=BATCH)
            assert answer.status_code == status
        answer = await client.post("/v1/events", data={"a": "b"})
        assert answer.status_code == 415

    play(story)


def test_a_request_is_followed_into_the_workers_log(
    play: Any, settings: Settings, api_topics: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(client: httpx.AsyncClient) -> None:
        headers = {**BATCH, "X-Correlation-Id": "visit-7"}
        batch = [event(n) for n in range(3)] + [event(9, data={})]
        answer = await client.post("/v1/events", content=orjson.dumps(batch), headers=headers)
        assert answer.json()["accepted"] == 3, answer.text

    with caplog.at_level(logging.INFO):
        play(story)
    (ours,) = [record for record in caplog.records if record.msg == "events_ingested"]
    assert vars(ours)["correlation_id"] == "visit-7"
    assert (vars(ours)["accepted"], vars(ours)["refused"]) == (3, 1)
    stage = Stage(settings.require_database_url(), api_topics)
    with running(stage, tmp_path / "log"):
        until(lambda: stage.handled() == 3, "the worker took them")
        until(lambda: stored(tmp_path / "log", "visit-7") == 3, "and its log says so")


def stored(path: Path, correlation_id: str) -> int:
    """How many events of a request the worker's log tells of as applied."""
    whole = path.read_text().rpartition("\n")[0]  # the last line may still be written
    lines = [json.loads(line) for line in whole.splitlines()]
    return sum(
        line.get("applied", 0)
        for line in lines
        if line["event"] == "events_of_request_stored" and line["correlation_id"] == correlation_id
    )


async def records(bootstrap: str) -> set[tuple[str, int]]:
    """Key and partition of every purchase."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition("purchases", n) for n in range(PARTITIONS)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        begins = await consumer.beginning_offsets(places)
        wanted = sum(ends[p] - begins[p] for p in places)
        found: set[tuple[str, int]] = set()
        async with asyncio.timeout(PLAY_SECONDS):
            while len(found) < wanted:
                for place, batch in (await consumer.getmany(timeout_ms=200)).items():
                    found |= {(record.key.decode(), place.partition) for record in batch}
        return found
    finally:
        await consumer.stop()
