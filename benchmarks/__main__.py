"""The command line of the benchmarks: `make bench`, or `.venv/bin/python -m benchmarks`.

Prints each result as it comes, or one JSON object at the end; what is being done goes to standard
error.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import append, chunks, decide, fold
from benchmarks.report import Result, machine, stopwatch
from benchmarks.stage import Stage, staged
from deploy.embedded import EmbeddedServicesError
from ledger.errors import LedgerError

BENCHMARKS: dict[str, Callable[[Stage], Result]] = {
    "chunks": chunks.measure,
    "append": append.measure,
    "decide": decide.measure,
    "fold": fold.measure,
}
"""In the order in which they run; `fold` uses the log that `append` made, or makes it."""

ABOUT = """\
Measure the parts that decide how much one machine can do, each against its floor:

  chunks  records from Kafka: the client alone, our chunks, Faust's stock agent
  append  events into PostgreSQL: bare COPY, Ledger.handle(), the eventsourcing library's recorder
  decide  the pure core: one purchase of nine lines, one event folded
  fold    read models catching up with the log, and asking them for balances

Services start in a temporary folder and are removed at the end.
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
        choices=list(BENCHMARKS),
        help=f"only this one ({', '.join(BENCHMARKS)}); may be given several times",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--scale",
        type=_scale,
        default=1.0,
        help="size of everything: 1 is what the documentation quotes, 0.1 a tenth (default 1)",
    )
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # as Ctrl-C: the services are removed
    try:
        _run(options)
    except (EmbeddedServicesError, LedgerError) as error:
        print(f"error [{error.code}] {error.message}", file=sys.stderr)
        sys.exit(1)


def _run(options: argparse.Namespace) -> None:
    report: dict[str, Any] = {"machine": machine(), "scale": options.scale, "benchmarks": {}}
    with staged(options.scale, _say) as stage:
        for name in [name for name in BENCHMARKS if not options.only or name in options.only]:
            _say(f"measuring {name}")
            with stopwatch() as seconds:
                result = BENCHMARKS[name](stage)
            report["benchmarks"][name] = result.json(seconds())
            if not options.json:
                print(result.text(seconds()), flush=True)
    if options.json:
        print(json.dumps(report, indent=2, ensure_ascii=False))


def _scale(text: str) -> float:
    scale = float(text)
    if not 0 < scale <= 10:
        raise argparse.ArgumentTypeError("above 0 and at most 10")
    return scale


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
