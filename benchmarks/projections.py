"""`projections`: the read models catching up with the log that the pipeline wrote.

`points projections run` in a process of its own folds the whole log of `pipeline`'s last run with
one worker into empty read models. How far it is, is read from its stored positions.
"""

import time

import psycopg

from benchmarks import pipeline, runs
from benchmarks.processes import cpu_seconds, peak_mib
from benchmarks.report import Figure, Result
from benchmarks.stage import Stage
from ledger.errors import LedgerError

LOOK_SECONDS = 0.1
"""Between two looks at how far it is: one query of a hundred rows."""

_FOLDED = (
    "SELECT coalesce(sum(position) / count(DISTINCT projection), 0)::bigint FROM read.positions"
    " WHERE shard >= 0"
)


def measure(stage: Stage, name: str) -> list[Result]:
    """Events and purchases per second."""
    run = pipeline.one_run(stage, name)
    stage.progress(f"  {name}: projections of {run.events:,} events")
    stage.checkpoint()
    environment = runs.environment_of(stage, run.database, {})
    child = stage.child(f"projections-{name}", ["projections", "run"], environment)
    deadline = time.monotonic() + stage.run_seconds
    steps: list[tuple[float, int]] = []
    done = 0
    try:
        with psycopg.connect(stage.url(run.database), autocommit=True) as connection:
            while done < run.events:
                row = connection.execute(_FOLDED).fetchone()
                assert row is not None
                if row[0] > done:
                    steps.append((time.time(), row[0] - done))
                    done = row[0]
                child.check()
                if time.monotonic() > deadline:
                    raise LedgerError(
                        f"The projections are not done after {stage.run_seconds:.0f} s.", "too_slow"
                    )
                time.sleep(LOOK_SECONDS)
        peak, cpu = peak_mib(child.pid), cpu_seconds(child.pid)
    finally:
        child.stop()
    events, seconds = runs.rate_of(steps, 0.0)
    purchases = events * run.purchases / run.events
    result = Result(
        f"projections, {name}",
        {"events": run.events, "purchases": run.purchases, "read models": 4},
        (
            Figure("pipeline, one worker", "purchases/s", (run.rate,)),
            Figure("projections", "purchases/s", (purchases,), "pipeline, one worker"),
            Figure("projections, events", "events/s", (events,)),
            Figure("measured for", "s", (seconds,)),
            Figure("CPU", "µs/purchase", (cpu / run.purchases * 1e6,)),
            Figure("peak memory", "MiB", (float(peak),)),
        ),
        {"projections_to_pipeline": purchases / run.rate},
    )
    return [result]
