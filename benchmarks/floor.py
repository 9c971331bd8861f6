"""The floor: what any consumer must at least do, in one process: `python -m benchmarks.floor`.

The worker's own delivery (Faust, chunks, merge, partitions that overlap) hands each batch to a COPY
of the records' bytes as they are into one ordinary table; the offsets move in the same transaction.
Nothing is decoded, looked up, decided or hashed. Prints one JSON object when all is committed.
"""

import asyncio
import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from struct import Struct as Packing

import msgspec
import psycopg
import uvloop

from benchmarks.processes import ServerCpu, cpu_seconds, peak_mib
from benchmarks.runs import GROUP, Commits, environment_of, rate_of, starts_of
from benchmarks.sets import Produced
from benchmarks.stage import Stage
from cli import logs
from ledger.database import open_pool
from ledger.received import Received, StoredPosition
from ledger.recorder import COPY_HEADER, COPY_TRAILER
from ledger.settings import Settings, load_settings
from streams.app import make_app
from streams.append import Cursor
from streams.chunks import Chunk, record_bytes
from streams.delivery import StreamDelivery
from streams.intake import reference
from streams.merge import Feed
from streams.metrics import Metrics
from streams.worker import GC_THRESHOLDS

_TABLES = """
CREATE TABLE raw (partition int, "offset" bigint, key bytea, value bytea);
CREATE TABLE offsets (topic text, partition int, next_offset bigint, PRIMARY KEY (topic, partition))
    WITH (fillfactor = 20);
GRANT ALL ON raw, offsets TO points_app;
"""
_QUICKER = "ALTER TABLE raw ALTER COLUMN value SET COMPRESSION lz4"
_COPY = 'COPY raw (partition, "offset", key, value) FROM STDIN (FORMAT BINARY)'
_MOVE = (
    "INSERT INTO offsets SELECT * FROM unnest(%s::text[], %s::int[], %s::bigint[])"
    " ON CONFLICT (topic, partition) DO UPDATE SET next_offset = EXCLUDED.next_offset"
)
_HEAD = Packing("!hiiiqi")
_LENGTH = Packing("!i")


class Floor(msgspec.Struct, frozen=True):
    """What one run showed. `peak`: MiB; CPU: microseconds per purchase, without its start."""

    rate: float
    seconds: float
    peak: int
    cpu: float
    postgres_cpu: float
    kafka_cpu: float


class _Said(msgspec.Struct):
    commits: list[tuple[float, int]]
    peak: int
    cpu: float


def run(stage: Stage, produced: Produced) -> Floor:
    """Copy the set into a new database, which is removed again."""
    database = f"{produced.name}_floor"
    url = stage.database(database)
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_TABLES)
            with contextlib.suppress(psycopg.errors.FeatureNotSupported):
                connection.execute(_QUICKER)  # as the ledger's log is, where the server can
        stage.checkpoint()
        server = ServerCpu(stage.services)
        before = server.seconds()
        task = stage.folder / "floor.json"
        task.write_bytes(msgspec.json.encode(_task(stage, produced)))
        child = stage.child(
            f"floor-{produced.name}",
            [str(task)],
            environment_of(stage, database, {}),
            "benchmarks.floor",
        )
        said = msgspec.json.decode(child.answer(stage.run_seconds), type=_Said)
        after = server.seconds()
    finally:
        stage.drop(database)
    rate, seconds = rate_of(said.commits, 0.0)
    purchases = sum(n for _, n in said.commits[1:])
    return Floor(
        rate,
        seconds,
        said.peak,
        said.cpu / purchases * 1e6,
        *(
            (end - start) / produced.purchases * 1e6
            for start, end in zip(before, after, strict=True)
        ),
    )


def _task(stage: Stage, produced: Produced) -> dict[str, object]:
    return {
        "starts": [[*place, offset] for place, offset in starts_of(stage, produced).items()],
        "records": produced.records,
    }


class _Copying:
    """Stored positions, and an appender that copies."""

    def __init__(self, settings: Settings, task: Path) -> None:
        asked = json.loads(task.read_bytes())
        self._starts = {(topic, n): offset for topic, n, offset in asked["starts"]}
        self._left = int(asked["records"])
        self._settings = settings
        self.commits: list[tuple[float, int]] = []
        self.cpu = 0.0
        self.done = asyncio.Event()

    async def open(self) -> None:
        """Connect as the worker does."""
        self._pool = await open_pool(self._settings)

    async def stream_positions(self, group: str) -> Mapping[tuple[str, int], StoredPosition]:  # noqa: ARG002
        return {place: StoredPosition(offset, None, None) for place, offset in self._starts.items()}

    async def append(self, batch: Sequence[Received], cursor: Cursor) -> None:
        """One transaction: the bytes of the batch, and its offsets."""
        position = cursor.position(batch)
        parts = [COPY_HEADER]
        purchases = 0
        for received in batch:
            record = received.record
            assert record is not None
            key, value = record.key or b"", record.value or b""
            purchases += record.topic == "purchases"
            head = _HEAD.pack(4, 4, record.partition, 8, record.offset, len(key))
            parts += (head, key, _LENGTH.pack(len(value)), value)
        parts.append(COPY_TRAILER)
        moves = position.moves
        async with self._pool.connection() as connection:
            async with connection.pipeline():
                await connection.execute("BEGIN")
                await connection.execute(
                    _MOVE,
                    (
                        [move.topic for move in moves],
                        [position.partition] * len(moves),
                        [move.next_offset for move in moves],
                    ),
                )
            async with connection.cursor() as sending, sending.copy(_COPY) as copy:
                await copy.write(b"".join(parts))
            await connection.execute("COMMIT")
        cursor.appended(position)
        self.commits.append((time.time(), purchases))
        if len(self.commits) == 1:
            self.cpu = cpu_seconds(os.getpid())
        self._left -= len(batch)
        if self._left <= 0:
            self.done.set()


def _undecoded(chunk: Chunk) -> Feed[Received]:
    """The chunk's records as inputs whose values nobody looked at."""
    times = [record.timestamp for record in chunk.records]
    sizes = [record_bytes(record) for record in chunk.records]
    items = [
        Received(occurred_at=at, record=reference(record, at))
        for at, record in zip(times, chunk.records, strict=True)
    ]
    return Feed(times, sizes, items)


async def _main(task: Path) -> None:
    settings = load_settings()
    assert settings.kafka_bootstrap is not None
    copying = _Copying(settings, task)
    await copying.open()

    def fail(error: BaseException) -> None:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)

    delivery = StreamDelivery(
        group=GROUP,
        bootstrap=settings.kafka_bootstrap,
        partitions=settings.partitions,
        positions=copying,
        decode=_undecoded,
        appender=copying,
        metrics=Metrics(),
        max_idle_seconds=None,
        on_fail=fail,
    )
    app = make_app(settings, settings.kafka_bootstrap, delivery)
    await app.start()
    await copying.done.wait()
    await app.consumer.leave_group()
    commits: Commits = copying.commits
    cpu = cpu_seconds(os.getpid()) - copying.cpu
    said = _Said(list(commits), peak_mib(os.getpid()), cpu)
    print(msgspec.json.encode(said).decode(), flush=True)
    os._exit(0)  # an ordered end takes seconds and measures nothing


if __name__ == "__main__":
    logs.configure()
    gc.set_threshold(*GC_THRESHOLDS)
    uvloop.run(_main(Path(sys.argv[1])))
