"""`cpu`: what one purchase costs, part by part, in a table that adds up.

One worker process handles the set with clocks around its parts (`benchmarks.clocks`), in its own
process, on real services. What the clocks show and what is left of the process's CPU is the whole;
PostgreSQL's and Kafka's CPU is taken from the system. The clocks cost a few percent themselves.
"""

import msgspec

from benchmarks import runs
from benchmarks.clocks import OTHER
from benchmarks.report import Figure, Result
from benchmarks.sets import TWO_LINE, fill
from benchmarks.stage import Stage
from benchmarks.worker import Shown

TWO_LINE_RECORDS = 100_000
"""Enough of the second set: nothing in it changes with time."""

WARM_BATCHES = 20
"""Handled before the clocks count: the first find an empty cache and an unconnected pool."""

ORDER = (
    "decode",
    "merge",
    "load",
    "decide",
    "fold",
    "encode",
    "hash: keys and contents",
    "hash: positions and chain",
    "lock",
    "COPY",
    "cache",
    "garbage collection",
    "handle, the rest",
    OTHER,
)
CLIENT = "Kafka client's thread"
TOTAL = "worker process"


def measure(stage: Stage, name: str) -> list[Result]:
    """Microseconds of CPU per purchase."""
    produced = fill(stage, name)
    if name == TWO_LINE:
        produced = produced.last(stage.sized(TWO_LINE_RECORDS))
    stage.progress(f"  {name}: one worker with clocks")
    file = stage.folder / f"clocks-{name}.json"
    arguments = ["--clocks", str(file), "--warm-batches", str(stage.sized(WARM_BATCHES))]
    run = runs.pipeline(stage, produced, 1, module="benchmarks.worker", arguments=arguments)
    stage.drop(run.database)
    shown = msgspec.json.decode(file.read_bytes(), type=Shown)
    parts = {part: ns / shown.inputs / 1_000 for part, ns in shown.parts.items()}
    total, loop = parts.pop("process"), parts.pop("loop")
    assert set(parts) <= set(ORDER), parts
    named = {part: parts.get(part, 0.0) for part in ORDER}
    named[OTHER] = loop - sum(parts.values()) + parts[OTHER]
    named[CLIENT] = total - loop
    figures = [Figure(part, "µs/purchase", (us,), TOTAL) for part, us in named.items()]
    figures += [
        Figure(TOTAL, "µs/purchase", (total,)),
        Figure("PostgreSQL", "µs/purchase", (run.postgres_cpu,)),
        Figure("Kafka", "µs/purchase", (run.kafka_cpu,)),
    ]
    result = Result(
        f"cpu, {name}",
        {"purchases": shown.inputs, "events per purchase": round(run.events / run.purchases, 2)},
        tuple(figures),
    )
    return [result]
