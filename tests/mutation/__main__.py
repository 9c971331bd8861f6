"""`python -m tests.mutation`: draw mutants, try them, report.

Its own PostgreSQL runs for the time of the run, or the one of TEST_SERVICES_DIR.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from deploy import embedded
from tests.mutation.mutants import Mutant, mutants
from tests.mutation.report import NOTICED, keep, kept, report
from tests.mutation.sampling import sample
from tests.mutation.session import MutationSession
from tests.mutation.targets import MUTANT_SECONDS, NOT_ASKED, ROOT, TESTS, files


def main() -> int:
    """Run; 1 when a mutant broke the run or a control failed."""
    options = _options()
    strata = {file: mutants(file) for file in files(tuple(options.only))}
    sizes = {file: len(found) for file, found in strata.items()}
    chosen = _chosen(options, strata)
    if options.list:
        for mutant in chosen:
            print(f"{mutant.name} {mutant.function}: {mutant.told}")
        return 0
    random.Random(options.seed).shuffle(chosen)  # so that what an interrupted run has is fair
    if not chosen:
        print("no mutants: --only takes paths such as ledger/core/lots.py", file=sys.stderr)
        return 1
    os.chdir(ROOT)
    for stop in (signal.SIGINT, signal.SIGTERM):  # reports what it has; also in the background
        signal.signal(stop, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        running = os.environ.setdefault("TEST_SERVICES_DIR", folder)
        embedded.start(Path(running))
        try:
            session = MutationSession(chosen, options.jobs, options.seconds)
            ignored = [f"--ignore-glob={pattern}" for pattern in NOT_ASKED]
            arguments = ["-q", "-m", "not long", "--assert=plain", "-p", "no:cacheprovider"]
            pytest.main([*arguments, *ignored, *(options.tests or TESTS)], plugins=[session])
        finally:
            if running == folder:
                embedded.remove(Path(folder))
    results = session.results
    if options.again:
        tried = {result.mutant.name for result in results}
        results += [result for result in kept() if result.mutant.name not in tried]
    keep(results)
    for line in report(results, sizes):
        print(line)
    wrong = [r for r in results if r.outcome == "broken" or (r.control and r.by)]
    return 1 if wrong or not results else 0


def _chosen(options: argparse.Namespace, strata: dict[str, list[Mutant]]) -> list[Mutant]:
    everything = [mutant for found in strata.values() for mutant in found]
    if options.again:
        names = {r.mutant.name for r in kept() if r.outcome not in NOTICED}
        return [mutant for mutant in everything if mutant.name in names]
    if options.mutant:
        return [mutant for mutant in everything if mutant.name in options.mutant]
    return everything if options.sample is None else sample(strata, options.sample, options.seed)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--sample", type=int, help="how many mutants to draw (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw (default: 1)")
    parser.add_argument(
        "--only", action="append", default=[], help="core, append, or a path; repeatable"
    )
    parser.add_argument("--tests", action="append", default=[], help="ask only these tests")
    parser.add_argument("--mutant", action="append", default=[], help="try this one; repeatable")
    parser.add_argument("--again", action="store_true", help="try the last run's survivors again")
    parser.add_argument("--list", action="store_true", help="only name the mutants drawn")
    parser.add_argument("--jobs", type=int, default=1, help="forks at a time (default: 1)")
    parser.add_argument(
        "--seconds",
        type=float,
        default=MUTANT_SECONDS,
        help=f"CPU time of the tests that each is asked of (default: {MUTANT_SECONDS:.0f})",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
