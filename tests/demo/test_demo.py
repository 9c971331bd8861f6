"""The demo as a person runs it: end to end, again, interrupted, with wrong words.

Real services, real processes, the real data of some dozen households. The runs share one folder and
build on each other, so they stand in one module and in this order.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from demo.perform import PROGRAM
from deploy import embedded

HOUSEHOLDS = 50
"""The 3,278 purchases of the 50 smallest ids: some seconds, and every rule of the program fires."""

RUN_SECONDS = 900
"""A run takes about 20 s; a loaded machine many times that."""

HEEDED_SECONDS = 1.0
"""In which a signal that was sent reaches its process."""

SOON_SECONDS = 600
"""Until an interrupted run has begun to append."""

KEEP = "--keep"
"""The services stay up for the next run, which then need not start them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The demo's data folder; whatever happens, nothing stays behind."""
    path = tmp_path_factory.mktemp("demo")
    yield path
    embedded.remove(path)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "cli.main", *arguments]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("POINTS_")}


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments),
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        env=environment(),
        check=False,
    )


def demo(folder: Path, *more: str) -> dict[str, Any]:
    done = run("demo", "--households", str(HOUSEHOLDS), "--data-dir", str(folder), "--json", *more)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.fixture(scope="module")
def interrupted(folder: Path) -> None:
    """A first start, ended by Ctrl-C while the worker is appending."""
    started = subprocess.Popen(
        command("demo", "--households", str(HOUSEHOLDS), "--data-dir", str(folder), "--json"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        with _held(folder, started):  # so that the load cannot end before the signal comes
            started.send_signal(signal.SIGINT)
            time.sleep(HEEDED_SECONDS)
        started.communicate(timeout=RUN_SECONDS)
    finally:
        started.kill()
        started.wait()
    assert started.returncode == 130
    assert embedded.status(folder).services is None, "Ctrl-C stops the services too"


@contextmanager
def _held(folder: Path, started: "subprocess.Popen[str]") -> Iterator[None]:
    """For the length of a block nothing more is appended; something was before."""
    deadline = time.monotonic() + SOON_SECONDS

    def wait() -> None:
        assert started.poll() is None, started.stderr.read() if started.stderr else ""
        assert time.monotonic() < deadline, "nothing was appended"
        time.sleep(0.02)

    while (running := embedded.status(folder).services) is None:
        wait()
    with psycopg.connect(running.database_url) as connection:
        while True:
            found = connection.execute("SELECT to_regclass('ledger.outcome_counts')").fetchone()
            if found is not None and found[0] is not None:
                # Every append writes its counts, and waits for this.
                connection.execute("LOCK TABLE ledger.outcome_counts IN EXCLUSIVE MODE")
                row = connection.execute(
                    "SELECT coalesce(sum(n), 0) FROM ledger.outcome_counts"
                ).fetchone()
                if row is not None and row[0] > 0:
                    yield
                    return
            connection.rollback()
            wait()


@pytest.fixture(scope="module")
def first(interrupted: None, folder: Path) -> dict[str, Any]:
    """The report of the run that goes on where the interrupted one ended."""
    return demo(folder, KEEP)


@pytest.fixture(scope="module")
def second(first: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The report of the same run again."""
    return demo(folder, KEEP)


def test_every_member_agrees_with_the_reference_model(first: dict[str, Any]) -> None:
    assert first["ok"]
    assert first["members"] == first["members_agreeing"] == HOUSEHOLDS
    assert first["differences"] == []


def test_nothing_is_lost_or_doubled_by_an_interruption(first: dict[str, Any]) -> None:
    ever = first["ever"]
    expected = first["purchases"] + 20 + 25  # the households' surveys and referrals
    assert ever["applied"] == expected
    assert ever["refused"] == ever["dead_lettered"] == ever["waiting"] == 0
    assert ever["published"] == ever["applied"] + ever["duplicate"]


def test_the_log_balances_and_verifies(first: dict[str, Any]) -> None:
    assert first["postings_sum"] == 0
    assert first["unbalanced_events"] == 0
    assert first["chain_verified"]
    assert first["events"] > first["purchases"]


def test_every_rule_of_the_program_fired(first: dict[str, Any]) -> None:
    rules = {row["rule"] for row in first["rules"]}
    assert rules == {
        "base",
        "fresh-produce",
        "silver-bonus",
        "gold-bonus",
        "summer-basket",
        "big-basket",
        "household-profile",
        "referral",
    }
    assert sum(row["points"] for row in first["rules"]) == first["totals"]["granted"]
    assert first["segments"]["champions"] > 0


def test_the_second_run_is_all_duplicates(first: dict[str, Any], second: dict[str, Any]) -> None:
    assert second["ok"]
    assert second["published"] == second["duplicate"] == first["purchases"] + 20 + 25
    assert second["applied"] == second["refused"] == second["dead_lettered"] == 0
    for unchanged in ("events", "rules", "totals", "tiers", "segments", "busiest", "effects"):
        assert second[unchanged] == first[unchanged]


@pytest.mark.usefixtures("second")
def test_another_moment_is_compared_too(folder: Path) -> None:
    """In the middle of the year points are pending, which at the end none are."""
    report = demo(folder, KEEP, "--at", "2017-07-04T12:00:00Z")
    assert report["ok"]
    assert report["members_agreeing"] == HOUSEHOLDS
    assert report["totals"]["pending"] > 0


@pytest.mark.usefixtures("second")
def test_a_moment_before_the_first_purchase_is_one_too(folder: Path) -> None:
    assert embedded.status(folder).services is not None, "the run before was to leave them up"
    report = demo(folder, "--at", "2016-05-05T00:00:00Z")
    assert report["ok"]
    assert report["totals"] == dict.fromkeys(report["totals"], 0)
    assert embedded.status(folder).services is None


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--at", "tomorrow"), 1, "bad_time"),
        (("--households", "0"), 2, "--households"),
        (("--program", "no-such-file.yaml"), 1, "unreadable_file"),
        (("--program", "EUROS"), 1, "other_currency"),
        (("--no-such-flag",), 2, "--no-such-flag"),
    ],
)
def test_wrong_words_are_refused_before_anything_starts(
    arguments: tuple[str, ...], status: int, said: str, tmp_path: Path
) -> None:
    euros = tmp_path / "euros.yaml"
    euros.write_text(PROGRAM.read_text().replace("currency: USD", "currency: EUR"))
    words = [str(euros) if word == "EUROS" else word for word in arguments]
    done = run("demo", "--data-dir", str(tmp_path / "none"), *words)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "none").exists()
