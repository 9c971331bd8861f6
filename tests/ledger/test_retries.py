"""A dead letter is retried once: by an operator whose process dies, by two at the same instant."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psycopg
import pytest

from ledger.errors import DeadLetterUnavailable
from ledger.received import Received, RecordRef, received, undecodable
from ledger.settings import Settings
from schemas.decode import decode_record
from tests.ledger.events import purchase, stretch
from tests.ledger.opened import opened, run

ROOT = Path(__file__).parents[2]

WAIT_SECONDS = 300.0
"""For two processes to get to the lock: some hundred times what it takes."""

POINTS = {
    "append.after_lock": "open",
    "append.after_retry_taken": "open",
    "append.before_commit": "open",
    "append.after_commit": "retried",
}
"""Where the operator's process dies, and what the letter is then."""


def letter(number: int) -> Received:
    """A record that was put aside for a reason that is gone by now."""
    value = msgspec.json.encode(purchase(f"m{number}", f"o{number}"))
    record = RecordRef("purchases", 0, number, f"m{number}".encode(), value)
    return undecodable(record, "not_json", "$", "A bug of an older version.")


def retrying(url: str, number: int, crash_at: str | None = None) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith("POINTS_")}
    env |= {"POINTS_DATABASE_URL": url, "PYTHONPATH": str(ROOT)}
    if crash_at is not None:
        env["POINTS_CRASH_AT"] = crash_at
    return subprocess.Popen(
        [sys.executable, "-m", "cli.main", "dead-letters", "retry", str(number), "--json"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def put_aside(settings: Settings, count: int) -> list[int]:
    async def work() -> list[int]:
        async with opened(settings) as ledger:
            await ledger.handle([letter(n) for n in range(count)], stretch(0, count))
            return [each.id for each in await ledger.dead_letters()]

    return run(work())


def counted(owner: psycopg.Connection) -> dict[str, int]:
    rows = owner.execute("SELECT outcome, sum(n) FROM ledger.outcome_counts GROUP BY outcome")
    return {outcome: int(n) for outcome, n in rows if n}


def test_an_operator_whose_process_dies(
    url: str, settings: Settings, owner: psycopg.Connection
) -> None:
    ids = put_aside(settings, len(POINTS))
    dying = [retrying(url, number, f"{point}:1") for number, point in zip(ids, POINTS, strict=True)]
    for process in dying:
        process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == -signal.SIGKILL
    statuses = [
        row[0] for row in owner.execute("SELECT status FROM ledger.dead_letters ORDER BY id")
    ]
    assert statuses == list(POINTS.values())

    async def again() -> None:
        async with opened(settings) as ledger:
            for number, status in zip(ids, POINTS.values(), strict=True):
                record = (await ledger.dead_letter(number)).record()
                event = decode_record(record.value, record.headers)
                retry = ledger.handle([received(event, record)], retry_of=number)
                if status == "open":
                    (outcome,) = await retry
                    assert outcome.kind == "applied"
                else:
                    with pytest.raises(DeadLetterUnavailable):
                        await retry
            for n in range(len(POINTS)):
                assert (await ledger.account(f"m{n}")).granted == 100

    run(again())
    assert counted(owner) == {"applied": len(POINTS)}


def test_two_operators_at_the_same_instant(
    url: str, settings: Settings, owner: psycopg.Connection
) -> None:
    (number,) = put_aside(settings, 1)
    with psycopg.connect(url) as gate:
        gate.execute("SELECT 1 FROM ledger.heads FOR UPDATE")
        both = [retrying(url, number) for _ in range(2)]
        deadline = time.monotonic() + WAIT_SECONDS
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        waiting += " AND datname = current_database() AND application_name = 'points'"
        while owner.execute(waiting.encode()).fetchone() != (2,):
            assert time.monotonic() < deadline, [p.poll() for p in both]
            asyncio.run(asyncio.sleep(0.05))
        gate.rollback()
    ends = sorted(
        ((*process.communicate(timeout=WAIT_SECONDS), process.returncode) for process in both),
        key=lambda end: end[2],
    )
    (said, _, won), (_, complained, lost) = ends
    assert (won, lost) == (0, 1)
    assert json.loads(said)["retried"][0]["outcome"] == "applied"
    assert "error [closed] " in complained
    assert counted(owner) == {"applied": 1}
