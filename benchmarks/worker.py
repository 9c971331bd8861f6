"""The real worker with something changed for a measurement: `python -m benchmarks.worker`.

`--clocks FILE` puts clocks around its parts and writes what they show, from the end of so many
`--warm-batches` to the end of the last batch; `--chunk-records N` has it cut chunks and batches of
another size. What is consumed, decided and committed, and how, is the worker's own.
"""

import argparse
from pathlib import Path
from typing import Any

import msgspec
import uvloop

import ledger.application
import ledger.deciding
import ledger.preparing
import ledger.reading
import streams.chunks
import streams.intake
import streams.merge
import streams.partition
import streams.together
from benchmarks.clocks import Clocks, Nanoseconds
from cli import logs
from ledger import append
from ledger.core import decide
from ledger.settings import load_settings
from streams.worker import Options, Worker


class Shown(msgspec.Struct):
    """Nanoseconds of CPU by part, and the inputs they were spent on."""

    inputs: int
    parts: Nanoseconds


class _Watching:
    """Remembers what the clocks showed at the first batch that counts, and at the latest."""

    def __init__(self, clocks: Clocks, file: Path, warm_batches: int) -> None:
        self._clocks = clocks
        self._file = file
        self._warm_batches = warm_batches
        self._batches = self._inputs = 0
        self._first: Nanoseconds | None = None
        self._last: tuple[int, Nanoseconds] = (0, {})

    def around(self) -> None:
        handle = ledger.application.Ledger.handle

        async def watched(door: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            outcomes = await handle(door, inputs, *args, **kwargs)
            self._batches += 1
            if self._first is None:
                if self._batches >= self._warm_batches:
                    self._first = self._clocks.now()
            else:
                self._inputs += len(inputs)
                self._last = (self._inputs, self._clocks.now())
            return outcomes

        setattr(ledger.application.Ledger, "handle", watched)  # noqa: B010 (mypy would have to be told)

    def write(self) -> None:
        first = self._first or {}
        inputs, last = self._last
        parts = {part: at - first.get(part, 0.0) for part, at in last.items()}
        self._file.write_bytes(msgspec.json.encode(Shown(inputs, parts)))


def put_clocks(clocks: Clocks) -> None:
    """Around the parts that docs/performance.md names. Fails when one is no longer there."""
    clocks.step(streams.intake.Intake, "feed", "decode")
    clocks.step(streams.merge.Merge, "take", "merge")
    clocks.coroutine(ledger.application.Ledger, "handle", "handle, the rest")
    clocks.step(ledger.application, "Batch", "hash: keys and contents")
    clocks.coroutine(ledger.reading.Reader, "read", "load")
    clocks.step(ledger.application, "decide_all", "decide")
    clocks.inside(ledger.deciding, "pack", "encode")
    clocks.inside(decide, "evolve", "fold")
    clocks.coroutine(append, "lock", "lock")
    clocks.step(ledger.application, "number", "hash: positions and chain")
    clocks.coroutine(append, "store", "COPY")
    clocks.step(ledger.application.Ledger, "_follow", "cache")


def resize(records: int) -> None:
    """Other chunks and batches than the product's."""
    streams.chunks.CHUNK_RECORDS_MAX = records
    streams.partition.BATCH_RECORDS_MAX = records
    together = streams.together.TOGETHER_RECORDS_MAX
    streams.together.TOGETHER_RECORDS_MAX = min(together, records)
    vars(ledger.preparing)["INPUTS_MAX"] = records


def _main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--clocks", type=Path)
    parser.add_argument("--warm-batches", type=int, default=0)
    parser.add_argument("--chunk-records", type=int)
    options = parser.parse_args()
    logs.configure()
    if options.chunk_records is not None:
        resize(options.chunk_records)

    def started(port: int) -> None:
        print(f"worker: http://127.0.0.1:{port}/metrics", flush=True)

    async def work() -> None:
        watching = None
        if options.clocks is not None:
            clocks = Clocks()
            put_clocks(clocks)
            watching = _Watching(clocks, options.clocks, options.warm_batches)
            watching.around()
        await Worker(load_settings(), Options(history=True), started).run()
        if watching is not None:
            watching.write()

    uvloop.run(work())


if __name__ == "__main__":
    _main()
