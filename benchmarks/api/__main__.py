"""`make bench-api`: the API under an open and a closed load, beside a worker that is busy.

Prints a table, or with --json one object. What is being done goes to standard error.
"""

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from typing import Any

from benchmarks.api.runs import (
    CLIENTS,
    FED_PER_SECOND,
    FED_SATURATING,
    LOCUST,
    PER_SECOND,
    Run,
    served,
)
from benchmarks.api.runs import run as run_load
from benchmarks.report import machine
from benchmarks.stage import Stage, staged
from deploy.embedded import EmbeddedServicesError
from ledger.errors import LedgerError

SECONDS = 30
PER_CALLER = 2
"""As in the load."""

ABOUT = """\
Measure the HTTP API with Locust: 300 calls a second (15 of 25 read, 5 preview, 10 change) beside a
worker that takes 1,000 purchases a second, the same beside a saturated worker, and 32 clients that
change without a pause, alone. All processes share this machine's processors, the load too.

example: .venv/bin/python -m benchmarks.api --json
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(
        "bench-api", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--seconds", type=int, default=SECONDS, help="of each load (30)")
    parser.add_argument("--scale", type=float, default=1.0, help="of the members before (1)")
    asked = parser.parse_args(arguments)
    if not LOCUST.exists():
        print("bench-api: run `make bench-api`, which installs the load generator", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with staged(asked.scale, lambda line: print(line, file=sys.stderr)) as stage:
            runs = _measure(stage, asked.seconds)
    except (LedgerError, EmbeddedServicesError) as error:
        print(f"bench-api: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    if asked.json:
        print(json.dumps(_object(runs)))
    else:
        print("\n".join(_table(runs)))
    return 0


def _measure(stage: Stage, seconds: int) -> list[Run]:
    callers = PER_SECOND // PER_CALLER
    with served(stage) as (address, key, _):
        beside = run_load(
            stage, "beside", address, key,
            mix="open", users=callers, seconds=seconds, fed=FED_PER_SECOND,
        )  # fmt: skip
        closed = run_load(
            stage, "closed", address, key, mix="changes", users=CLIENTS, seconds=seconds, fed=0
        )
        saturated = run_load(
            stage, "saturated", address, key,
            mix="open", users=callers, seconds=seconds, fed=FED_SATURATING,
        )  # fmt: skip
    return [beside, closed, saturated]


def _object(runs: list[Run]) -> dict[str, Any]:
    beside, closed, saturated = runs
    reads = max(beside.calls["read"].p99, beside.calls["preview"].p99)
    return {
        "read_p99_ms": round(reads, 1),
        "change_p99_ms": round(beside.calls["change"].p99, 1),
        "changes_per_second": round(closed.calls["change"].count / closed.seconds, 1),
        "errors": sum(run.errors for run in runs),
        "saturated_read_p99_ms": round(
            max(saturated.calls["read"].p99, saturated.calls["preview"].p99), 1
        ),
        "saturated_change_p99_ms": round(saturated.calls["change"].p99, 1),
        "machine": machine(),
    }


def _table(runs: list[Run]) -> list[str]:
    lines = [
        "| load | calls | a second | p50, ms | p99, ms | slowest, ms | failed | events/s |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for run in runs:
        for name, calls in run.calls.items():
            lines.append(
                f"| {run.name} | {name} | {calls.count / run.seconds:.0f} | {calls.p50:.1f} |"
                f" {calls.p99:.1f} | {calls.worst:.0f} | {run.errors} |"
                f" {run.fed_per_second:.0f} |"
            )
    return lines


if __name__ == "__main__":
    sys.exit(main())
