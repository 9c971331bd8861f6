"""Several workers believe that a partition is theirs: every record is handled once, in its order.

Each goes on from where it believes to be, cuts batches of its own, is cancelled and tries again, or
looks where the stored offsets are, as after a rebalance. Nobody tells anybody anything.
"""

import asyncio
import random
from collections import Counter

import psycopg
import pytest

from ledger.application import Ledger
from ledger.errors import DatabaseUnavailable
from ledger.received import Received, RecordRef, SourcePosition, TopicMove, received, undecodable
from ledger.settings import Settings
from tests.ledger.events import GROUP, purchase, survey
from tests.ledger.opened import opened, run

RECORDS = 160
WORKERS = 4
MEMBERS = 9

LOOKS_AGAIN = 0.15
"""After how many batches a worker reads the stored offsets again."""

BROKEN_EVERY = 17
"""Every so many records one cannot be decoded."""

CANCELLED = 0.2
"""Of the appends, how many are cancelled on their way."""

Offsets = dict[str, int]


def record(topic: str, offset: int) -> Received:
    """The record at an offset; the same for every worker."""
    place = RecordRef(topic, 0, offset, b"k", b"{}")
    if offset % BROKEN_EVERY == BROKEN_EVERY - 1:
        return undecodable(place, "not_json", "$", "This is not JSON.")
    member = f"m{offset % MEMBERS}"
    if topic == "surveys":
        return received(survey(member, name=f"c{offset}"), place)
    return received(purchase(member, f"o{offset}", amount=1_000), place)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_record_is_handled_once_and_in_order(
    settings: Settings, owner: psycopg.Connection, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    rng = random.Random(seed)
    kinds: Counter[str] = Counter()

    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            await asyncio.gather(*(work(one if n % 2 else two, rng, kinds) for n in range(WORKERS)))
            stored = await one.stream_positions(GROUP)
            assert {at.next_offset for at in stored.values()} == {RECORDS}
            broken = 2 * (RECORDS // BROKEN_EVERY)
            counts = Counter[str]()
            for (_, outcome), n in (await one.outcome_counts()).items():
                counts[outcome] += n
            assert counts["applied"] + counts["refused"] == 2 * RECORDS - broken
            assert counts["dead_lettered"] == broken
            assert len(await one.dead_letters()) == broken

    run(test())
    assert "deciding failed" not in caplog.text
    assert kinds["skipped"] > 0
    assert kinds["duplicate"] == 0
    check_order(owner)


async def work(ledger: Ledger, rng: random.Random, kinds: Counter[str]) -> None:
    """A worker until it has seen both topics to their ends."""
    mine: Offsets = {"surveys": 0, "purchases": 0}
    while any(offset < RECORDS for offset in mine.values()):
        if rng.random() < LOOKS_AGAIN:
            stored = await ledger.stream_positions(GROUP)
            mine = {
                topic: stored[topic, 0].next_offset if (topic, 0) in stored else 0 for topic in mine
            }
        ends = {topic: min(RECORDS, offset + rng.randrange(12)) for topic, offset in mine.items()}
        moves = tuple(
            TopicMove(topic, mine[topic], end, b"sum")
            for topic, end in ends.items()
            if end > mine[topic]
        )
        if not moves:
            continue
        batch = [
            record(move.topic, offset)
            for move in moves
            for offset in range(move.from_offset, move.next_offset)
        ]
        kinds.update(await appended(ledger, batch, SourcePosition(GROUP, 0, moves), rng))
        mine |= {move.topic: move.next_offset for move in moves}


async def appended(
    ledger: Ledger, batch: list[Received], source: SourcePosition, rng: random.Random
) -> list[str]:
    """The outcomes, once they are known: an append that was cancelled may have been stored."""
    while True:
        task = asyncio.create_task(ledger.handle(batch, source))
        if rng.random() < CANCELLED:
            await asyncio.wait({task}, timeout=rng.random() * 0.05)
            task.cancel()
        await asyncio.wait({task})
        if not task.cancelled() and not isinstance(task.exception(), DatabaseUnavailable):
            return [outcome.kind for outcome in task.result()]


def check_order(owner: psycopg.Connection) -> None:
    """Within a shard and a topic the events have the order of the offsets."""
    rows = owner.execute("""
        SELECT shard, topic, substring(cause FROM '[0-9]+$')::int FROM (
            SELECT shard, position, cause, substring(cause FROM '^[a-z]+') AS topic
            FROM ledger.events,
                LATERAL (SELECT convert_from(payload, 'UTF8')::jsonb -> 'cause' ->> 1 AS cause) c
            WHERE shard >= 0 AND cause IS NOT NULL
        ) e ORDER BY shard, topic, position
    """).fetchall()
    assert len(rows) == 2 * (RECORDS - RECORDS // BROKEN_EVERY)
    assert rows == sorted(rows)
