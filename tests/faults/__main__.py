"""`python -m tests.faults`: run a delivery campaign and say how it ended.

Exit status 0: everything was as it should be. 1: it was not; the seed is printed and the data
folder is kept. See docs/reliability.md.
"""

import argparse
import asyncio
import logging
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from tests.faults.campaign import run
from tests.faults.report import Result, as_json, summary

EXAMPLE = """example:
  python -m tests.faults --minutes 3 --seed 7
  make faults ARGS="--minutes 20 --seed 1 --json"
"""


def arguments() -> argparse.ArgumentParser:
    """What may be asked."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults",
        description="Kill, freeze, cut and restart what the ledger runs on, and check that nothing "
        "is lost, doubled or mispriced.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="how long (default 3)")
    parser.add_argument("--seed", type=int, default=1, help="decides all inputs and faults")
    parser.add_argument("--faults", type=int, help="stop after so many faults")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--data-dir", type=Path, help="a new folder, kept (default: a temporary)")
    return parser


def main(given: list[str] | None = None) -> int:
    """Run it; the exit status."""
    asked = arguments().parse_args(given)
    kept: Path | None = asked.data_dir
    if kept is not None and kept.exists() and any(kept.iterdir()):
        say(f"{kept} is not empty: name a new folder, or delete it.")
        return 2
    folder = kept or Path(tempfile.mkdtemp(prefix="points-faults-"))
    folder.mkdir(parents=True, exist_ok=True)
    command = f"python -m tests.faults --minutes {asked.minutes:g} --seed {asked.seed}"
    if asked.faults is not None:
        command += f" --faults {asked.faults}"
    result = Result(asked.seed, command, folder=str(folder))
    say(f"seed {asked.seed}, data in {folder}")
    try:
        asyncio.run(run(result, folder, asked.minutes, asked.faults, say))
    except BaseException as error:
        say(f"seed {asked.seed}: {error!r}; the data is kept in {folder}")
        raise
    (folder / "campaign.json").write_text(as_json(result), encoding="utf-8")
    say(summary(result))
    if asked.json:
        sys.stdout.write(as_json(result) + "\n")
    if result.failure is not None:
        return 1
    if kept is None:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


def say(line: str) -> None:
    """Progress goes to standard error, so that standard output can be one JSON object."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    # Ended from outside, it must not leave its processes behind: the same as Ctrl-C.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    # While Kafka is away on purpose its client need not say so.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    sys.exit(main())
