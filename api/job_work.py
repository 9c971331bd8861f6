"""The process of one job: `python -m api.job_work`, told by its standard input what to do.

It tells a line of JSON for each step forward and one for the end. It lives as long as its input is
open, and takes its own processes with it.
"""

import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from threading import Thread
from typing import Any

import msgspec

from api.jobs import RESULT_BYTES_MAX, JobError, News, Order
from ledger.core.calendar import parse_instant
from ledger.errors import LedgerError
from projections.errors import ProjectionError
from schemas.fields import Instant

TOLD_SECONDS = 0.2
"""Between two lines of progress: quick enough for a bar that moves."""

NICENESS = 10
"""Tills come first."""

PROCESSES = 1
"""Of one job: the other core is the tills'."""

Tell = Callable[[str, int, int], None]


def backtest(url: str, asked: dict[str, Any], tell: Tell) -> object:
    """The recorded history under another program."""
    from analytics import backtest as testing
    from analytics.backtest_report import as_json
    from analytics.backtest_shard import Options
    from ledger.core.program.load import load_program

    options = Options(
        start=_moment(asked["since"]),
        end=_moment(asked["until"]),
        jobs=PROCESSES,
        sample=asked["sample"],
        seed=asked["seed"],
        top=asked["top"],
        members=None,
    )
    program = load_program(asked["program"], "program")
    result = testing.run(
        url, program, options, lambda done, total: tell("living through the history", done, total)
    )
    return as_json(result)


def rebuild(url: str, asked: dict[str, Any], tell: Tell) -> object:
    """A read model anew."""
    from projections.rebuild import rebuild as build

    done = build(
        url, asked["name"], tell, jobs=PROCESSES, accept_differences=asked["accept_differences"]
    )
    compared = done.compared
    first = None if compared is None else compared.first
    return {
        "projection": asked["name"],
        "events": done.events,
        "rows_compared": None if compared is None else compared.rows,
        "differences": None if compared is None else compared.differences,
        "first_difference": None if first is None else str(first),
    }


def verify(url: str, asked: dict[str, Any], tell: Tell) -> object:
    """The log and all that follows from it."""
    from audit.verify import verify as audited

    return audited(
        url,
        jobs=PROCESSES,
        read_models=asked["read_models"],
        show=lambda done, total: tell("verifying", done, total),
    )


def liability(url: str, asked: dict[str, Any], tell: Tell) -> object:
    """A report of what is owed."""
    from analytics.liability_report import report
    from projections.connection import connect

    with connect(url) as connection:
        return report(
            connection,
            {**asked, "at": parse_instant(asked["as_of"])},
            lambda done, total: tell("log", done, total),
        )


def value(url: str, asked: dict[str, Any], tell: Tell) -> object:
    """What members are worth."""
    from analytics.value_report import report
    from projections.connection import connect

    with connect(url) as connection:
        return report(connection, parse_instant(asked["at"]), asked["days"], asked["top"], tell)


def uplift(url: str, asked: dict[str, Any], tell: Tell) -> object:
    """What a campaign changed."""
    from analytics.uplift_report import report
    from projections.connection import connect

    with connect(url) as connection:
        return report(connection, asked, tell)


def _moment(text: str | None) -> Instant | None:
    return None if text is None else parse_instant(text)


WORK: dict[str, Callable[[str, dict[str, Any], Tell], object]] = {
    "backtest": backtest,
    "liability": liability,
    "rebuild": rebuild,
    "uplift": uplift,
    "value": value,
    "verify": verify,
}


def main() -> None:
    """Do what the input says."""
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order)
    Thread(target=_end_with_input, daemon=True).start()
    os.nice(NICENESS)
    last = 0.0

    def tell(step: str, done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= TOLD_SECONDS or done == total:
            last = time.monotonic()
            _say(News(step=step, done=done, total=total))

    try:
        result = WORK[order.kind](order.url, order.asked, tell)
        if len(msgspec.json.encode(result)) > RESULT_BYTES_MAX // 2:
            raise LedgerError("The result is too large: ask for less.", "result_too_large")
        _say(News(result=result))
    except (LedgerError, ProjectionError) as error:
        _say(News(error=JobError(error.code, error.message)))
    except Exception:
        traceback.print_exc()
        _say(News(error=JobError("internal_error", "The job failed: the API's log tells why.")))


def _say(news: News) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(news) + b"\n")
    sys.stdout.buffer.flush()


def _end_with_input() -> None:
    while os.read(sys.stdin.fileno(), 1_024):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
