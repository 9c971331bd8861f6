"""A deliverer that is killed (SIGKILL) again and again, before and after what it sent was answered:
each event arrives at least once, under one id, in the order of its member."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.api.webhooks.conftest import Add
from tests.api.webhooks.receiver import Answer, Received, Receiver
from tests.projections.conftest import Shop
from tests.projections.log_writer import day, purchase, reserve, survey

EVENTS = 150
MEMBERS = 10

KILLS = (1, 9, 30, 31, 60, 100)
"""At which requests the process is killed: in turn before the answer, and right after it."""

SECONDS = 900
"""Until all is told: a busy machine is no failure."""


@contextmanager
def process(url: str) -> Iterator["subprocess.Popen[bytes]"]:
    """`points webhooks run`, as an operator starts it."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("POINTS_")}
    environ |= {"POINTS_DATABASE_URL": url, "POINTS_WEBHOOKS_PRIVATE_ADDRESSES": "allow"}
    command = [sys.executable, "-m", "cli.main", "webhooks", "run"]
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as started:
        try:
            assert started.stdout is not None
            assert started.stdout.readline().startswith(b"webhooks: http://127.0.0.1:")
            yield started
        finally:
            if started.poll() is None:
                started.kill()


def test_killed_again_and_again(shop: Shop, add: Add, receiver: Receiver) -> None:
    add()
    for number in range(EVENTS):
        member = f"m{number % MEMBERS}"
        if number < MEMBERS:
            shop.log.take(member, survey(member, day(0)))
        elif number % 3:
            shop.log.take(member, purchase(f"o{number}", day(number), (1_000 + number,)))
        else:
            shop.log.take(member, reserve(f"r{number}", day(number), 10))
    dice = random.Random(20)
    running: list[subprocess.Popen[bytes]] = []
    count = 0
    lock = threading.Lock()

    def decide(_: Received) -> Answer:
        nonlocal count
        with lock:
            count += 1
            number = count
        if number in KILLS:
            victim = running[-1]
            if KILLS.index(number) % 2:
                victim.send_signal(signal.SIGKILL)
            else:
                threading.Timer(dice.uniform(0, 0.01), victim.kill).start()
        # Some are refused, so that what is under way is of every kind.
        return Answer(503 if dice.random() < 0.02 else 200)

    receiver.decide = decide
    deadline = time.monotonic() + SECONDS
    killed = 0
    for _ in range(len(KILLS) + 1):
        with process(shop.url) as started:
            running.append(started)
            while started.poll() is None and not nothing_left(shop):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            if started.poll() is not None:
                killed += 1
                assert started.returncode == -signal.SIGKILL
                continue
            started.send_signal(signal.SIGTERM)
            assert started.wait(SECONDS) == 0
            break
    # Two that come at the same moment may hit the same process.
    assert len(KILLS) // 2 <= killed <= len(KILLS)

    # Everything that the log says, each once at least, and each under one id.
    made = {row[0] for row in shop.session.execute("SELECT id FROM api.deliveries")}
    taken = receiver.taken
    assert {one.id for one in taken} == made
    assert len(made) >= EVENTS
    rows = shop.session.execute(
        "SELECT count(DISTINCT (shard, position)) FROM api.deliveries"
    ).fetchone()
    events = shop.session.execute("SELECT count(*) FROM ledger.events WHERE shard >= 0").fetchone()
    assert rows is not None
    assert events is not None
    # Each event of this log is a public one, but for settling that moved nothing to be told.
    assert rows[0] >= EVENTS
    assert rows[0] <= events[0]
    bodies = {one.id: one.body for one in taken}
    assert all(bodies[one.id] == one.body for one in taken)
    for member in {one.member for one in taken}:
        firsts = list(dict.fromkeys(one.place for one in taken if one.member == member))
        assert firsts == sorted(firsts)


def nothing_left(shop: Shop) -> bool:
    """Whether the log is told to its end."""
    row = shop.session.execute(
        "SELECT (SELECT count(*) FROM api.deliveries WHERE status = 'waiting')"
        " + (SELECT sum(h.position - p.position) FROM api.subscription_positions p"
        "    JOIN ledger.heads h USING (shard))"
    ).fetchone()
    return row is not None and row[0] == 0
