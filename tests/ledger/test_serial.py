"""Whatever runs at once, whatever is broken off: the log is what one input after the other gives.

Two ledgers with caches of their own, many tasks, every kind of input on few accounts; calls are
cancelled and sessions terminated at random, and sent again. Then the inputs are handed to a new
ledger in the order in which the log has them, one by one: every event must be the same.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

import psycopg
import pytest

from ledger.application import Ledger
from ledger.core.calendar import to_instant
from ledger.dedupe import WITH_PROFILE, content_of, key_of
from ledger.errors import DatabaseUnavailable
from ledger.received import Received, received, tick
from ledger.settings import load_settings
from schemas import inputs
from schemas.inputs import InputEvent
from tests.ledger.events import (
    PARTITIONS,
    SHARDS,
    erased,
    head,
    purchase,
    returned,
    survey,
    updated,
)
from tests.ledger.opened import instant, opened, postings_sum, run

MEMBERS = 10
INPUTS = 200
TASKS = 6
BATCH_MAX = 8

CANCELLED = 0.15
"""Of the calls, how many are cancelled somewhere on their way, and sent again."""

TERMINATED = 0.1
"""Of the calls, how many have a database session of somebody terminated meanwhile."""

ENDED_MS = 10_000
"""Longest a terminated session may take to end, in milliseconds: a loaded machine's second, times
ten. One that ended later would break a question of the checks at the end."""

Place = tuple[int, int]


def story(rng: random.Random) -> list[Received]:
    """Inputs of every kind but referrals, whose race is settled when their effect arrives."""
    found: list[Received] = []
    orders: list[tuple[str, str, float]] = []
    for number in range(INPUTS):
        member, at = f"m{rng.randrange(MEMBERS)}", rng.random() * 120
        kind = rng.random()
        event: InputEvent
        if kind < 0.4:
            order = f"o{number}"
            orders.append((member, order, at))
            event = purchase(member, order, at, amount=rng.choice((900, 5_000, 40_000)))
        elif kind < 0.55 and orders:
            member, order, bought = rng.choice(orders)
            event = returned(member, order, f"r{number}", bought + rng.random() * 40)
        elif kind < 0.6:
            event = returned(member, f"o{number + 5}", f"r{number}", at)  # perhaps never bought
        elif kind < 0.68:
            event = survey(member, at, name=f"c{number}")
        elif kind < 0.76:
            event = updated(member, f"u{number}", at, region=rng.choice(("north", "south")))
        elif kind < 0.84:
            event = held(member, f"h{number}", at, rng.randrange(1, 60))
        elif kind < 0.9:
            event = confirmed(member, f"h{number - rng.randrange(1, 20)}", f"k{number}", at)
        elif kind < 0.91:
            event = erased(member, at)
        else:
            found.append(tick(member, instant(at)))
            continue
        found.append(received(event))
        if rng.random() < 0.15:
            found.append(received(event))
        if rng.random() < 0.05 and isinstance(event, inputs.PurchaseCompleted):
            found.append(received(purchase(member, event.data.order_id, at, amount=1)))
    rng.shuffle(found)
    return found


def held(member: str, name: str, at: float, points: int) -> inputs.PointsReserve:
    """Hold some points."""
    return inputs.PointsReserve(
        **head(member, f"reserve-{name}", at),
        data=inputs.ReserveData(reservation_id=name, points=points),
    )


def confirmed(member: str, name: str, number: str, at: float) -> inputs.ReservationConfirm:
    """Spend what may be held."""
    return inputs.ReservationConfirm(
        **head(member, f"confirm-{number}", at), data=inputs.ConfirmData(reservation_id=name)
    )


@pytest.mark.parametrize("seed", [1, 2, pytest.param(3, marks=pytest.mark.long)])
def test_the_log_is_that_of_one_after_the_other(
    url: str, other_url: str, under_lock_max: int, seed: int
) -> None:
    rng = random.Random(seed)
    items = story(rng)
    calls = [items[at : at + BATCH_MAX] for at in range(0, len(items), BATCH_MAX)]
    again = run(all_at_once(url, calls, rng))
    assert under_lock_max or again > 0
    serial = in_log_order(url, items)
    assert len(serial) > INPUTS // 2
    run(one_by_one(other_url, serial))
    for mine, theirs in zip(decisions(url), decisions(other_url), strict=True):
        assert mine == theirs
    for connection_url in (url, other_url):
        with psycopg.connect(connection_url) as owner:
            assert postings_sum(owner) == 0


async def all_at_once(url: str, calls: list[list[Received]], rng: random.Random) -> int:
    """Several tasks on two ledgers; each call is made until it was answered. How often one was
    decided again."""
    settings = load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)
    waiting = list(reversed(calls))
    kinds: Counter[str] = Counter()
    async with opened(settings) as one, opened(settings) as two:

        async def work(ledger: Ledger) -> None:
            while waiting:
                kinds.update(await until_answered(ledger, url, waiting.pop(), rng))

        await asyncio.gather(*(work(one if n % 2 else two) for n in range(TASKS)))
        again = one.stats.decided_again + two.stats.decided_again
        for ledger in (one, two):  # what is asked next is asked once: no session may be broken
            await ledger._pool.check()
    assert kinds["duplicate"] > 0
    assert kinds["dead_lettered"] > 0
    return again


async def until_answered(
    ledger: Ledger, url: str, call: list[Received], rng: random.Random
) -> list[str]:
    while True:
        task = asyncio.create_task(ledger.handle(call))
        if rng.random() < TERMINATED:
            await asyncio.sleep(rng.random() * 0.02)
            await terminate_one(url)
        if rng.random() < CANCELLED:
            await asyncio.wait({task}, timeout=rng.random() * 0.03)
            task.cancel()
        await asyncio.wait({task})
        if task.cancelled() or isinstance(task.exception(), DatabaseUnavailable):
            continue
        return [outcome.kind for outcome in task.result()]


async def terminate_one(url: str) -> None:
    """End some session of the ledgers, and wait until it has ended."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as admin:
        await admin.execute(
            "SELECT pg_terminate_backend(pid, %s) FROM (SELECT pid FROM pg_stat_activity"
            " WHERE application_name = 'points' AND datname = current_database()"
            " ORDER BY random() LIMIT 1) AS one",
            [ENDED_MS],
        )


def in_log_order(url: str, items: Sequence[Received]) -> list[Received]:
    """The inputs that were taken, and the ticks that settled something, as the log has them."""
    taken = {identity(item.event): item for item in items if item.event is not None}
    with psycopg.connect(url) as owner:
        stored: dict[Place, tuple[bytes, bytes]] = {
            (shard, position): (bytes(key), bytes(content))
            for shard, key, content, position in owner.execute(
                "SELECT shard, key, content, position FROM ledger.inputs"
            )
        }
        rows = owner.execute(
            "SELECT shard, position, member_id, type, occurred_at FROM ledger.events"
            " WHERE shard >= 0 ORDER BY shard, position"
        ).fetchall()
    times = {(shard, position): (member, at) for shard, position, member, _, at in rows}
    serial: list[Received] = []
    for shard, position, member, kind, at in rows:
        found = stored.get((shard, position))
        if found is not None:
            serial.append(taken.get(found) or taken[found[0], b""])
        elif kind == "AccountSettled" and not (
            (shard, position + 1) in stored and times[shard, position + 1] == (member, at)
        ):
            serial.append(tick(member, to_instant(at)))
    return serial


def identity(event: InputEvent) -> tuple[bytes, bytes]:
    """Key and content as they are stored; the content of a profile under a key is not compared."""
    if isinstance(event, WITH_PROFILE):
        return key_of(event), b""
    return key_of(event), content_of(event, received(event).occurred_at)


async def one_by_one(url: str, serial: list[Received]) -> None:
    settings = load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)
    async with opened(settings) as ledger:
        for item in serial:
            (outcome,) = await ledger.handle([item])
            assert outcome.kind in ("applied", "refused", "waiting")


def decisions(url: str) -> list[tuple[Any, ...]]:
    """Every event, but for when it was recorded."""
    with psycopg.connect(url) as owner:
        return owner.execute(
            "SELECT shard, position, member_id, version, type, occurred_at, effects,"
            " convert_from(payload, 'UTF8') FROM ledger.events WHERE shard >= 0 ORDER BY 1, 2"
        ).fetchall()
