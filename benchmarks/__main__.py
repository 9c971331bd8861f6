"""The command line of the benchmarks: `make bench`, or `.venv/bin/python -m benchmarks`.

Prints each result as it comes, or one JSON object or the tables of the documentation at the end;
what is being done goes to standard error. Ctrl-C ends it and leaves nothing behind.
"""

import argparse
import json
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from benchmarks import (
    cpu,
    decide,
    door,
    growth,
    latency,
    memory,
    pipeline,
    projections,
    stock,
    summary,
    sweep,
    webhooks,
)
from benchmarks.report import Result, machine, stopwatch
from benchmarks.sets import SETS
from benchmarks.stage import Stage, staged
from deploy.embedded import EmbeddedServicesError
from ledger.errors import LedgerError
from ledger.settings import PREFIX


class Part(Struct, frozen=True):
    """A part of a run. `seconds`: what it may take at full size; `of_set`: it is measured on each
    set of messages, whose name it is given; `asked`: only by name."""

    measure: Callable[..., list[Result]]
    seconds: float
    of_set: bool = False
    asked: bool = False


PARTS: dict[str, Part] = {
    "pipeline": Part(pipeline.measure, 290, of_set=True),
    "projections": Part(projections.measure, 60, of_set=True),
    "stock": Part(stock.measure, 30, of_set=True),
    "cpu": Part(cpu.measure, 70, of_set=True),
    "memory": Part(memory.measure, 60),
    "latency": Part(latency.measure, 100),
    "handle": Part(door.measure, 20),
    "decide": Part(decide.measure, 10),
    "webhooks": Part(webhooks.measure, 90, asked=True),
    "growth": Part(growth.measure, 900, asked=True),
    "sweep": Part(sweep.measure, 600, asked=True),
}
"""In the order in which they run: all of one set before the next lies behind it in the topics."""

EXIT_INTERRUPTED = 130
"""As a shell says it of Ctrl-C."""

ABOUT = """\
Measure how fast the ledger is, beside what it cannot do without and beside stock parts:

  pipeline     from produced topic to committed log, one worker and two, against raw COPY
  projections  read models catching up with that log
  stock        a plain Faust agent that saves with the eventsourcing library's recorder
  cpu          what one purchase costs the worker, part by part
  memory       the worker's memory after ten times the input
  latency      from produced purchase to readable balance, at 1,000 a second
  handle       single commands at the ledger's door, one by one and grouped
  decide       the pure core alone

and, only when named:

  webhooks     deliveries a second to a receiver on this machine
  growth       appending to a log of one, two, five and ten million events
  sweep        other sizes of chunks, other numbers of partitions

Services start in a temporary folder and are removed at the end. All of it takes thirteen
minutes. docs/performance.md tells how each figure is measured.

Example: make bench ARGS="--only decide --json"
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=ABOUT, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only",
        metavar="NAME",
        action="append",
        choices=list(PARTS),
        help=f"only this one ({', '.join(PARTS)}); may be given several times",
    )
    parser.add_argument(
        "--set",
        metavar="NAME",
        action="append",
        choices=list(SETS),
        help=f"only on this set of messages ({', '.join(SETS)})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--markdown", action="store_true", help="print the tables of docs/performance.md"
    )
    parser.add_argument(
        "--scale",
        type=_scale,
        default=1.0,
        help="size of everything: 1 is what the documentation quotes, 0.1 a tenth (default 1)",
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: the services are removed
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]  # what is measured has the settings of the documentation
    try:
        _run(options)
    except (EmbeddedServicesError, LedgerError) as error:
        print(f"error [{error.code}] {error.message}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        _say("interrupted: nothing is left behind")
        sys.exit(EXIT_INTERRUPTED)


def _run(options: argparse.Namespace) -> None:
    results: list[Result] = []
    report: dict[str, Any] = {"machine": machine(), "scale": options.scale, "benchmarks": {}}
    with staged(options.scale, _say) as stage, stopwatch() as total:
        for name, of_set in _steps(options):
            for result in _measure(stage, name, of_set):
                results.append(result)
                report["benchmarks"][result.name] = result.json()
                if not options.json and not options.markdown:
                    print(result.text(), flush=True)
    report["seconds"] = round(total())
    _say(f"measured in {report['seconds'] // 60} min {report['seconds'] % 60} s in all")
    if options.json:
        print(json.dumps(summary.as_json(report, results), indent=2, ensure_ascii=False))
    elif options.markdown:
        print(summary.markdown(report["machine"], results))
    elif targets := summary.text(results):
        print(targets)


def _steps(options: argparse.Namespace) -> list[tuple[str, list[str]]]:
    """Which part is measured when, and on which set."""
    named = [
        n for n, p in PARTS.items() if n in (options.only or ()) or not (options.only or p.asked)
    ]
    sets = [name for name in SETS if name in (options.set or SETS)]
    steps = [(name, [of]) for of in sets for name in named if PARTS[name].of_set]
    return steps + [(name, []) for name in named if not PARTS[name].of_set]


def _measure(stage: Stage, name: str, of_set: list[str]) -> list[Result]:
    what = ", ".join((name, *of_set))
    _say(f"measuring {what}")
    with stopwatch() as seconds:
        results = PARTS[name].measure(stage, *of_set)
    _say(f"measured {what} in {seconds():.0f} s")
    if seconds() > PARTS[name].seconds:
        _say(f"  that is over its {PARTS[name].seconds:.0f} s: the machine is busy")
    return results


def _scale(text: str) -> float:
    scale = float(text)
    if not 0 < scale <= 10:
        raise argparse.ArgumentTypeError("above 0 and at most 10")
    return scale


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
