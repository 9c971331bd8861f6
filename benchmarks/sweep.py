"""`sweep`: the pipeline with other sizes of chunks, and with other numbers of partitions.

One worker over a third of the demo's set. The product's own sizes are in each row, so
ratios are within a sweep. Topics are deleted and created anew for each number of partitions, so
this part comes last, and only when it is asked for.
"""

import asyncio
import time

from aiokafka.admin import AIOKafkaAdminClient

from benchmarks import runs
from benchmarks.ready import PARTITIONS as DEFAULT_PARTITIONS
from benchmarks.report import Figure, Result
from benchmarks.sets import DEMO, Produced, fill_topics, make_database, template
from benchmarks.stage import Stage
from ledger.errors import LedgerError
from streams.chunks import CHUNK_RECORDS_MAX
from streams.topics import topic_partitions

CHUNK_RECORDS = (50, 100, 250, CHUNK_RECORDS_MAX, 1_000, 2_000)
PARTITIONS = (1, 2, 4, DEFAULT_PARTITIONS, 16, 32)
SCALE = 0.3
"""Of the demo's set: 60,000 purchases, some ten seconds of each."""

GONE_SECONDS = 60.0
"""Deleting topics takes Kafka a second or two."""


def measure(stage: Stage) -> list[Result]:
    """Purchases per second of each size."""
    return [_chunks(stage), _partitions(stage)]


def _chunks(stage: Stage) -> Result:
    produced = _anew(stage, DEFAULT_PARTITIONS)
    figures = []
    for records in CHUNK_RECORDS:
        arguments = ["--chunk-records", str(records)]
        run = runs.pipeline(stage, produced, 1, module="benchmarks.worker", arguments=arguments)
        stage.drop(run.database)
        stage.progress(f"  chunks of {records}: {run.rate:,.0f} purchases/s")
        figures.append(_figure(f"chunks of {records}", run, f"chunks of {CHUNK_RECORDS_MAX}"))
    return Result("sweep, chunks", {"purchases": produced.purchases}, tuple(figures))


def _partitions(stage: Stage) -> Result:
    figures = []
    purchases = 0
    for partitions in PARTITIONS:
        produced = _anew(stage, partitions)
        purchases = produced.purchases
        run = runs.pipeline(stage, produced, 1, {"partitions": partitions})
        stage.drop(run.database)
        stage.progress(f"  {partitions} partitions: {run.rate:,.0f} purchases/s")
        figures.append(_figure(f"{partitions} partitions", run, f"{DEFAULT_PARTITIONS} partitions"))
    return Result("sweep, partitions", {"purchases": purchases}, tuple(figures))


def _anew(stage: Stage, partitions: int) -> Produced:
    """A part of the demo's set in new topics."""
    if not stage.exists(template(DEMO)):
        make_database(stage, DEMO)
    stage.sets.clear()
    asyncio.run(_delete_topics(stage.bootstrap))
    return asyncio.run(fill_topics(stage, DEMO, SCALE * stage.scale, partitions))


def _figure(name: str, run: runs.Run, floor: str) -> Figure:
    return Figure(name, "purchases/s", (run.rate,), None if name == floor else floor)


async def _delete_topics(bootstrap: str) -> None:
    """All of them: the worker's own have as many partitions as those that it consumes."""
    topics = list(await topic_partitions(bootstrap))
    if not topics:
        return
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_topics(topics)
    finally:
        await admin.close()
    deadline = time.monotonic() + GONE_SECONDS
    while await topic_partitions(bootstrap):
        if time.monotonic() > deadline:
            raise LedgerError("Kafka did not delete the topics.", "topics_not_deleted")
        await asyncio.sleep(0.1)
