"""A deliverer that is killed (SIGKILL) again and again, before and after what it sent was answered:
each event arrives at least once, under one id, in the order of its member."""

import asyncio
import multiprocessing
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import ForkServerProcess

from api.webhooks import schedule
from api.webhooks.deliverer import Deliverer
from api.webhooks.sending import Sender
from tests.api.webhooks.conftest import Add
from tests.api.webhooks.receiver import Answer, Received, Receiver
from tests.projections.conftest import Shop
from tests.projections.log_writer import day, purchase, reserve, survey

EVENTS = 80
MEMBERS = 10

KILLS = (1, 9, 30, 31, 60, 90)
"""At which requests the process is killed: in turn before the answer, and right after it."""

SECONDS = 900
"""Until all is told: a busy machine is no failure."""

# Not forked from the tests' process, whose threads and connections a child must not have.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.crash.plays", "tests.api.webhooks.test_killed"])


def deliver(url: str) -> None:
    """What `points webhooks run` does, in a process that starts quickly."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    schedule.RETRY_SECONDS = (0,) * 1_000  # type: ignore[assignment]

    async def run() -> None:
        deliverer = Deliverer(url, Sender(allow_private=True))
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, deliverer.stop)
        await deliverer.run()

    asyncio.run(run())


@contextmanager
def process(url: str) -> Iterator[ForkServerProcess]:
    """A deliverer of its own."""
    started = _CONTEXT.Process(target=deliver, args=(url,))
    started.start()
    try:
        yield started
    finally:
        if started.is_alive():
            started.kill()
        started.join()


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
    running: list[ForkServerProcess] = []
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
                victim.kill()
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
            while started.is_alive() and not nothing_left(shop):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            if not started.is_alive():
                killed += 1
                assert started.exitcode == -signal.SIGKILL
                continue
            started.terminate()
            started.join(SECONDS)
            assert started.exitcode == 0
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
