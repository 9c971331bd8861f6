"""`pipeline`: from produced topic to committed log, with one worker process and with two, against
the floor.

In each round the floor, one worker and two workers handle the same records, one after the other, in
an order that changes from round to round; ratios are taken within a round. The database of the last
run with one worker stays, for others to go on from.
"""

import time
from statistics import median

from msgspec import Struct
from msgspec.structs import replace

from benchmarks import floor, runs
from benchmarks.report import Figure, Result
from benchmarks.sets import fill
from benchmarks.stage import Stage

ROUNDS = 3
"""Odd, so that the median is a round."""

SET_SECONDS = 215.0
"""No further round begins when it would not be over by then."""

ORDER = ("floor", "one worker", "two workers")
"""Of the odd rounds; the even ones go the other way."""


class Round(Struct, frozen=True):
    """Floor, one worker, two workers."""

    floor: floor.Floor
    one: runs.Run
    two: runs.Run


def one_run(stage: Stage, name: str) -> runs.Run:
    """The last run of one worker over the set; made unless there is one."""
    if name not in stage.pipelines:
        stage.progress(f"  {name}: one worker")
        stage.pipelines[name] = runs.pipeline(stage, fill(stage, name), 1)
    run: runs.Run = stage.pipelines[name]
    return run


def measure(stage: Stage, name: str) -> list[Result]:
    """Purchases per second, memory, CPU and bytes."""
    produced = fill(stage, name)
    rounds: list[Round] = []
    begun = time.monotonic()
    for number in range(stage.sized(ROUNDS)):
        spent = time.monotonic() - begun
        if rounds and spent + spent / len(rounds) > SET_SECONDS:
            stage.progress(f"  {name}: {number} rounds of {ROUNDS}: its time is over")
            break
        rounds.append(_round(stage, name, number))
    ones = [one.one for one in rounds]
    middle = median(run.rate for run in ones)
    stage.pipelines[name] = replace(stage.pipelines[name], rate=middle)
    figures = [
        Figure("floor", "purchases/s", tuple(r.floor.rate for r in rounds)),
        Figure("one worker", "purchases/s", tuple(r.one.rate for r in rounds), "floor"),
        Figure("two workers", "purchases/s", tuple(r.two.rate for r in rounds), "floor"),
        Figure("one worker measured for", "s", tuple(r.seconds for r in ones)),
        Figure("peak of the floor", "MiB", tuple(float(r.floor.peak) for r in rounds)),
        Figure("peak of one worker", "MiB", tuple(float(max(r.peaks)) for r in ones)),
        Figure("peak of each of two", "MiB", tuple(float(max(r.two.peaks)) for r in rounds)),
        Figure("memory after a tenth", "MiB", tuple(float(r.memory[0]) for r in ones)),
        Figure(
            "memory after all",
            "MiB",
            tuple(float(r.memory[1]) for r in ones),
            "memory after a tenth",
        ),
        Figure("floor: CPU of the process", "µs/purchase", tuple(r.floor.cpu for r in rounds)),
        Figure(
            "floor: CPU of PostgreSQL", "µs/purchase", tuple(r.floor.postgres_cpu for r in rounds)
        ),
        Figure("floor: CPU of Kafka", "µs/purchase", tuple(r.floor.kafka_cpu for r in rounds)),
        Figure("one worker: CPU of the process", "µs/purchase", tuple(r.worker_cpu for r in ones)),
        Figure("one worker: CPU of PostgreSQL", "µs/purchase", tuple(r.postgres_cpu for r in ones)),
        Figure("one worker: autovacuum, at most", "µs/purchase", tuple(r.autovacuum for r in ones)),
        Figure("one worker: CPU of Kafka", "µs/purchase", tuple(r.kafka_cpu for r in ones)),
        Figure("WAL", "bytes/purchase", tuple(r.wal_bytes for r in ones)),
        Figure("disk", "bytes/purchase", tuple(r.disk_bytes for r in ones)),
    ]
    result = Result(
        f"pipeline, {name}",
        {
            "purchases": produced.purchases,
            "bytes per record": round(produced.bytes / produced.records),
            "events per purchase": round(ones[-1].events / produced.purchases, 2),
            "rounds": len(rounds),
        },
        tuple(figures),
        {
            "pipeline_to_floor_1": median(r.one.rate / r.floor.rate for r in rounds),
            "pipeline_to_floor_2": median(r.two.rate / r.floor.rate for r in rounds),
            "peak_mb": float(max(max(*r.one.peaks, *r.two.peaks) for r in rounds)),
        },
    )
    return [result]


def _round(stage: Stage, name: str, number: int) -> Round:
    produced = fill(stage, name)
    copied: floor.Floor | None = None
    one: runs.Run | None = None
    two: runs.Run | None = None
    for what in ORDER if number % 2 == 0 else reversed(ORDER):
        if what == "floor":
            copied = floor.run(stage, produced)
            rate = copied.rate
        elif what == "one worker":
            one = runs.pipeline(stage, produced, 1)
            rate = one.rate
            _keep(stage, name, one)
        else:
            two = runs.pipeline(stage, produced, 2)
            rate = two.rate
            stage.drop(two.database)
        stage.progress(f"  {name}, round {number + 1}: {what} {rate:,.0f} purchases/s")
    assert copied is not None
    assert one is not None
    assert two is not None
    return Round(copied, one, two)


def _keep(stage: Stage, name: str, run: runs.Run) -> None:
    old = stage.pipelines.get(name)
    if old is not None:
        stage.drop(old.database)
    stage.pipelines[name] = run
