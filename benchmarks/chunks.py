"""`chunks`: records from Kafka to a handler that does nothing.

The same records of one topic are read by Faust's stock agent with `take(500)` (the floor), by the
worker's real parts (Faust app, chunked delivery, merge of the topics) with an appender that stores
nothing, and by the Kafka client alone, which nothing on top of it can beat. Each reader is a
process of its own.
"""

import asyncio
import json
import logging
import subprocess
import sys
from pathlib import Path

from aiokafka import AIOKafkaProducer

from benchmarks.readers import READERS, TOPIC
from benchmarks.report import Figure, Result
from benchmarks.shoppers import DAY, record
from benchmarks.stage import Stage
from ledger.settings import Settings
from streams.topics import ensure_topics

RUNS = 3
"""Odd, so that the median is a run."""

RECORDS = 200_000
"""The quickest reader takes half a second for the part that is measured, the slowest 20."""

RECORD_BYTES = 350
"""A purchase of one line, filled up with blanks."""

READER_SECONDS = 180
"""Longest that one reader may take: six times the slowest on two busy processors."""


def measure(stage: Stage) -> Result:
    """Records per second of each reader."""
    count = stage.sized(RECORDS, 2_000)
    bootstrap = stage.services.kafka_bootstrap
    partitions = Settings().partitions
    asyncio.run(_produce(bootstrap, partitions, count))
    rates: dict[str, list[float]] = {reader: [] for reader in READERS}
    for run in range(RUNS):
        for reader in READERS:
            stage.progress(f"  run {run + 1} of {RUNS}: {reader}")
            rates[reader].append(_read(reader, bootstrap, run, count))
    return Result(
        "chunks",
        {"records": count, "bytes": RECORD_BYTES, "partitions": partitions},
        (
            Figure("stock agent", "records/s", tuple(rates["stock"])),
            Figure("chunks", "records/s", tuple(rates["chunks"]), "stock agent"),
            Figure("client alone", "records/s", tuple(rates["client"]), "stock agent"),
        ),
    )


async def _produce(bootstrap: str, partitions: int, count: int) -> None:
    await ensure_topics(bootstrap, partitions)
    # It complains of every new topic until its metadata is fresh, and tries again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, linger_ms=20, max_batch_size=256 << 10)
    await producer.start()
    try:
        value = record("m-000001", 1, 17_200 * DAY, lines=1).ljust(RECORD_BYTES)
        assert len(value) == RECORD_BYTES
        for number in range(count):
            await producer.send(TOPIC, value, key=b"m", partition=number % partitions)
        await producer.flush()
    finally:
        await producer.stop()


def _read(reader: str, bootstrap: str, run: int, records: int) -> float:
    """The records per second of one reader. Raises CalledProcessError, TimeoutExpired."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.readers", reader, bootstrap, str(run), str(records)],
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        timeout=READER_SECONDS,
        check=True,
    )
    rate: float = json.loads(done.stdout)
    return rate
