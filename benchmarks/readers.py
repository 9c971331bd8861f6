"""One reader of a topic, in a process of its own: prints its records per second.

Counted over the middle of the records: what comes first was fetched during the start, what comes
last may wait for a batch to fill. All readers run on the worker's event loop with the worker's
collector settings. The process ends at once: leaving a group takes seconds and measures nothing.
"""

import asyncio
import gc
import json
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import faust
import uvloop
from aiokafka import AIOKafkaConsumer

from cli import logs
from ledger.received import Received, StoredPosition
from ledger.settings import Settings
from streams.app import make_app
from streams.append import Cursor
from streams.chunks import DRAIN_RECORDS_MAX, Chunk, record_bytes
from streams.delivery import StreamDelivery
from streams.intake import reference
from streams.merge import Feed
from streams.metrics import Metrics
from streams.worker import GC_THRESHOLDS

TOPIC = "purchases"

TAKE_RECORDS = 500
"""Of the stock agent's `take`: as many as the ledger takes at once."""

TAKE_SECONDS = 1.0
"""How long it waits for a batch to fill."""


START_PERCENT = 25
"""Of the records: more than the client may have fetched before the first was asked for."""

END_PERCENT = 95


class Meter:
    """Counts deliveries of `records` in all; `done` once the middle of them is over."""

    def __init__(self, records: int) -> None:
        self._start = records * START_PERCENT // 100
        self._end = records * END_PERCENT // 100
        self._seen = self._seen_at_start = 0
        self._started_at = 0.0
        self.done = asyncio.Event()
        self.rate = 0.0

    def count(self, records: int) -> None:
        """So many records were delivered now."""
        self._seen += records
        now = time.perf_counter()
        if self._seen_at_start == 0 and self._seen >= self._start:
            self._seen_at_start, self._started_at = self._seen, now
        elif self._seen >= self._end and not self.done.is_set():
            self.rate = (self._seen - self._seen_at_start) / (now - self._started_at)
            self.done.set()


async def client(bootstrap: str, group: str, meter: Meter) -> None:
    """The Kafka client alone, in drains as large as the worker's."""
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=bootstrap,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    while not meter.done.is_set():
        drained = await consumer.getmany(timeout_ms=200, max_records=DRAIN_RECORDS_MAX)
        meter.count(sum(map(len, drained.values())))
    await consumer.stop()


async def stock(bootstrap: str, group: str, meter: Meter) -> None:
    """Faust as it comes: an agent that takes 500 records and does nothing with them."""
    app = faust.App(
        group,
        broker=f"kafka://{bootstrap}",
        autodiscover=False,
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        topic_disable_leader=True,
        web_enabled=False,
        store="memory://",
    )

    async def read(stream: Any) -> None:
        async for taken in stream.take(TAKE_RECORDS, within=TAKE_SECONDS):
            meter.count(len(taken))

    app.agent(app.topic(TOPIC), name="read")(read)
    await app.start()
    await meter.done.wait()


class _Nothing:
    """Stored positions that are not there, and an appender that appends nothing."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter

    async def stream_positions(self, group: str) -> Mapping[tuple[str, int], StoredPosition]:  # noqa: ARG002
        return {}

    async def append(self, batch: Sequence[Received], cursor: Cursor) -> None:
        cursor.appended(cursor.position(batch))
        self._meter.count(len(batch))


def _undecoded(chunk: Chunk) -> Feed[Received]:
    """The chunk's records as inputs whose values nobody looked at."""
    inputs = [
        Received(occurred_at=record.timestamp, record=reference(record, record.timestamp))
        for record in chunk.records
    ]
    times = [record.timestamp for record in chunk.records]
    return Feed(times, [record_bytes(record) for record in chunk.records], inputs)


async def chunks(bootstrap: str, group: str, meter: Meter) -> None:
    """The worker's app, delivery and merge, around a handler that does nothing."""
    settings = Settings(group=group)
    nothing = _Nothing(meter)

    def fail(error: BaseException) -> None:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)

    delivery = StreamDelivery(
        group=group,
        bootstrap=bootstrap,
        partitions=settings.partitions,
        positions=nothing,
        decode=_undecoded,
        appender=nothing,
        metrics=Metrics(),
        max_idle_seconds=settings.max_task_idle_ms / 1_000,
        on_fail=fail,
    )
    await make_app(settings, bootstrap, delivery).start()
    await meter.done.wait()


READERS: dict[str, Callable[[str, str, Meter], Awaitable[None]]] = {
    "client": client,
    "chunks": chunks,
    "stock": stock,
}


async def _main(reader: str, bootstrap: str, run: str, records: str) -> None:
    meter = Meter(int(records))
    await READERS[reader](bootstrap, f"benchmarks-{reader}-{run}", meter)
    print(json.dumps(meter.rate), flush=True)
    os._exit(0)


if __name__ == "__main__":
    logs.configure()
    logging.getLogger().setLevel(logging.WARNING)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a coordinator that is not there yet
    gc.set_threshold(*GC_THRESHOLDS)
    uvloop.run(_main(*sys.argv[1:]))
