"""`points publish` and the producer, against a real Kafka."""

import asyncio
import io
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli import publish, schemas
from deploy import embedded
from ledger.errors import LedgerError
from ledger.sharding import partition_of
from schemas import files
from schemas.decode import VALUE_BYTES_MAX, decode_record
from schemas.errors import Code
from schemas.routing import key_of
from streams.event_lines import BadLine, GoodLine, read_lines
from streams.publish import PublishFailed, produce
from streams.topics import ensure_topics
from tests.schemas.contract_samples import record, valid

PARTITIONS = 8
PUBLISHABLE = [
    "purchase.completed.v1",
    "purchase.returned.v1",
    "referral.registered.v1",
    "survey.completed.v1",
    "activity.completed.v1",
    "member.enrolled.v1",
    "member.updated.v1",
    "member.erased.v1",
]
WAIT_SECONDS = 300
"""Longest wait for records that are there: a fresh broker elects leaders for some seconds."""


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with embedded.running(tmp_path_factory.mktemp("services")) as services:
        asyncio.run(ensure_topics(services.kafka_bootstrap, PARTITIONS))
        yield services.kafka_bootstrap


def lines(*texts: bytes) -> list[GoodLine | BadLine]:
    return list(read_lines(io.BytesIO(b"\n".join(texts))))


def codes(*texts: bytes) -> list[tuple[int, str, str]]:
    return [
        (line.line, line.code, line.path) for line in lines(*texts) if isinstance(line, BadLine)
    ]


async def consume(bootstrap: str, topic: str, count: int) -> list[Any]:
    """The last `count` records of a topic, all partitions together."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        places = [TopicPartition(topic, partition) for partition in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        records: list[Any] = []
        async with asyncio.timeout(WAIT_SECONDS):
            while sum(ends.values()) > len(records):
                for batch in (await consumer.getmany(timeout_ms=500)).values():
                    records += batch
        return sorted(records, key=lambda found: (found.timestamp, found.offset))[-count:]
    finally:
        await consumer.stop()


# --- lines -----------------------------------------------------------------------------------


def test_lines_are_routed() -> None:
    anonymous = valid()
    del anonymous["subject"]
    found = lines(record(valid()), b"", b"  \r", record(anonymous), record(valid(PUBLISHABLE[3])))
    assert all(isinstance(line, GoodLine) for line in found)
    assert [(line.line, line.topic, line.key) for line in found if isinstance(line, GoodLine)] == [
        (1, "purchases", "m-1001"),
        (4, "purchases", "store-12:2026:000123"),
        (5, "surveys", "m-1001"),
    ]


def test_every_bad_line_is_named() -> None:
    twice = record(valid()).replace(b'"specversion"', b'"id": "x", "specversion"')
    nested = record(valid()).replace(b'"order_id"', b'"channel": "x", "order_id"')
    assert codes(
        b"{",
        record(valid()),
        record(valid("effect.reward.v1")),
        twice,
        nested,
        b"x" * (3 * VALUE_BYTES_MAX),
        b"[1]",
    ) == [
        (1, Code.NOT_JSON, "$"),
        (3, Code.INTERNAL_TYPE, "$.type"),
        (4, Code.DUPLICATE_KEY, "$..id"),
        (5, Code.DUPLICATE_KEY, "$..channel"),
        (6, Code.TOO_LARGE, "$"),
        (7, Code.INVALID_FIELD, "$"),
    ]


def test_a_command_goes_to_its_topic() -> None:
    (line,) = read_lines(io.BytesIO(record(valid("command.reserve.v1"))))
    assert isinstance(line, GoodLine)
    assert (line.topic, line.key) == ("commands", valid("command.reserve.v1")["subject"])


def test_a_byte_order_mark_and_windows_line_ends_are_read() -> None:
    file = io.BytesIO(b"\xef\xbb\xbf" + record(valid()) + b"\r\n" + record(valid()) + b"\r\n")
    assert [type(line) for line in read_lines(file)] == [GoodLine, GoodLine]


@given(st.binary(max_size=300))
def test_any_file_gives_lines(content: bytes) -> None:
    assert all(isinstance(line, BadLine) for line in read_lines(io.BytesIO(content)))


@given(st.text("abcxyz0123456789._:-", min_size=1, max_size=128), st.integers(1, 64))
def test_the_partition_is_that_of_every_murmur2_client(key: str, partitions: int) -> None:
    everywhere = list(range(partitions))
    expected = DefaultPartitioner()(key.encode(), everywhere, everywhere)
    assert partition_of(key, partitions) == expected


# --- the producer ----------------------------------------------------------------------------


def test_every_record_arrives_once_in_its_key_s_order(kafka: str) -> None:
    value = record(valid("survey.completed.v1"))
    count = 20_000
    heard: list[int] = []
    sent = (
        (("surveys"), f"m-{n % 97}", value + b" " * (n % 7) + b"\n%d" % n) for n in range(count)
    )
    produced = asyncio.run(produce(sent, kafka, heard.append))
    assert produced.records == count == heard[-1] == produced.by_topic["surveys"]
    assert heard == sorted(heard)
    numbers: dict[bytes, list[int]] = {}
    for found in asyncio.run(consume(kafka, "surveys", count)):
        assert found.partition == partition_of(found.key.decode(), PARTITIONS)
        assert found.headers == (("content-type", b"application/cloudevents+json"),)
        numbers.setdefault(found.key, []).append(int(found.value.rsplit(b"\n")[1]))
    assert sorted(n for values in numbers.values() for n in values) == list(range(count))
    assert all(values == sorted(values) for values in numbers.values())


def test_a_missing_topic_is_refused(kafka: str) -> None:
    with pytest.raises(PublishFailed) as refused:
        asyncio.run(produce([("no-such-topic", "m-1", b"{}")], kafka))
    assert refused.value.code == "topics_missing"


def test_a_record_that_the_broker_refuses_is_explained(kafka: str) -> None:
    # Random bytes: the producer compresses where it can, and the broker judges what arrives.
    large = random.Random(1).randbytes(3 * VALUE_BYTES_MAX)
    with pytest.raises(PublishFailed) as refused:
        asyncio.run(produce([("members", "m-1", large)], kafka))
    assert refused.value.code == "record_too_large"


def test_no_kafka_is_one_sentence() -> None:
    with pytest.raises(PublishFailed) as refused:
        asyncio.run(produce([], "127.0.0.1:1"))
    assert refused.value.code == "kafka_unavailable"


# --- the commands ----------------------------------------------------------------------------


def points(*arguments: str, stdin: bytes | None = None) -> Any:
    app = typer.Typer()
    publish.register(app)
    schemas.register(app)
    return CliRunner().invoke(app, list(arguments), input=stdin)


def test_publish_produces_what_it_checked(kafka: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("POINTS_KAFKA_BOOTSTRAP", kafka)
    file = tmp_path / "events.jsonl"
    file.write_bytes(b"\n".join(record(valid(name)) for name in PUBLISHABLE))
    result = points("publish", str(file), "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["produced"] == report["valid"] == report["lines"] == len(PUBLISHABLE)
    assert report["by_topic"] == {"purchases": 2, "referrals": 1, "surveys": 1, "activities": 1,
                                  "members": 3}  # fmt: skip
    for found in asyncio.run(consume(kafka, "purchases", 2)):
        event = decode_record(found.value, found.headers)
        assert found.key.decode() == key_of(event)


def test_publish_produces_nothing_while_a_line_is_bad(
    kafka: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("POINTS_KAFKA_BOOTSTRAP", kafka)
    content = record(valid("referral.registered.v1")) + b"\n{\n"
    before = len(asyncio.run(consume(kafka, "referrals", 10**9)))
    refused = points("publish", "-", stdin=content)
    assert isinstance(refused.exception, LedgerError)
    assert refused.exception.code == "lines_refused"
    assert "line 2: $:" in refused.stderr
    assert points("publish", "-", "--dry-run", "--skip-invalid", stdin=content).exit_code == 0
    assert len(asyncio.run(consume(kafka, "referrals", 10**9))) == before
    partly = points("publish", "-", "--skip-invalid", "--json", stdin=content)
    assert json.loads(partly.stdout)["produced"] == 1
    assert len(asyncio.run(consume(kafka, "referrals", 10**9))) == before + 1


def test_publish_names_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for name in (tmp_path / "missing.jsonl", tmp_path):
        result = points("publish", str(name), "--dry-run")
        assert isinstance(result.exception, LedgerError)
        assert result.exception.code == "cannot_read"


def test_schemas_command(tmp_path: Path) -> None:
    missing = points("schemas", "--check", "--to", str(tmp_path))
    assert isinstance(missing.exception, LedgerError)
    assert missing.exception.code == "schemas_stale"
    assert points("schemas", "--to", str(tmp_path)).exit_code == 0
    assert points("schemas", "--check", "--to", str(tmp_path)).exit_code == 0


def test_the_retail_system_of_the_readme(kafka: str) -> None:
    script = (files.EXAMPLES / "till.py").read_text()
    assert '"localhost:9092"' in script
    script = script.replace("localhost:9092", kafka)
    subprocess.run([sys.executable, "-c", script], check=True, timeout=WAIT_SECONDS)
    (found,) = asyncio.run(consume(kafka, "purchases", 1))
    event = decode_record(found.value, found.headers)
    assert found.key.decode() == event.subject == "m-1001"
    assert found.partition == partition_of("m-1001", PARTITIONS)


def test_the_readme_shows_that_very_till() -> None:
    blocks = (files.FOLDER.parent / "README.md").read_text().split("```python\n")[1:]
    shown = [code for block in blocks if "AIOKafkaProducer" in (code := block.partition("```")[0])]
    assert shown == [(files.EXAMPLES / "till.py").read_text()]
