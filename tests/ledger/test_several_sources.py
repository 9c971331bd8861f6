"""One append moves the offsets of several partition numbers: all of it is stored, or nothing."""

import asyncio
import random
from collections import Counter
from itertools import pairwise

import psycopg
import pytest

from ledger.application import Ledger
from ledger.errors import BatchRefused, DatabaseUnavailable, OffsetGap
from ledger.received import Outcome, Received, SourcePosition, TopicMove
from ledger.settings import Settings
from schemas.inputs import InputEvent
from tests.ledger.events import GROUP, purchase, records, stretch
from tests.ledger.opened import opened, postings_sum, run
from tests.ledger.proxy import Cut
from tests.ledger.test_crash import opened_over_a_wire

PARTITIONS = 3
RECORDS = 90
"""Of each partition, in the random run."""

MEMBERS = 4
"""Of each partition; those of all partitions share the shards."""

WORKERS = 4
LOOKS_AGAIN = 0.15
CANCELLED = 0.2

TOP = "SELECT sum(position)::int FROM ledger.heads WHERE shard >= 0"


def of(partition: int, first: int, end: int) -> list[Received]:
    """The records of a partition between two offsets, the same for everybody."""
    events: list[InputEvent] = [
        purchase(f"p{partition}-m{offset % MEMBERS}", f"o{offset}", amount=1_000)
        for offset in range(first, end)
    ]
    return records(events, first=first, partition=partition)


def both(*stretches: tuple[int, int, int]) -> tuple[list[Received], list[SourcePosition]]:
    """Inputs and sources of stretches: partition, from, to."""
    inputs = [received for each in stretches for received in of(*each)]
    return inputs, [stretch(first, end, partition=p) for p, first, end in stretches]


async def offsets(ledger: Ledger) -> dict[int, int]:
    """The stored offset of each partition."""
    stored = await ledger.stream_positions(GROUP)
    return {partition: at.next_offset for (_, partition), at in stored.items()}


def kinds(outcomes: list[Outcome]) -> list[str]:
    return [outcome.kind for outcome in outcomes]


def test_several_partitions_are_one_append(settings: Settings, owner: psycopg.Connection) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            # The second stretch begins behind what the log of its partition had lost.
            assert kinds(await ledger.handle(*both((2, 0, 2), (0, 5, 7)))) == ["applied"] * 4
            assert await offsets(ledger) == {2: 2, 0: 7}
            await ledger.handle(*both((0, 7, 8), (1, 0, 1), (2, 2, 4)))
            assert await offsets(ledger) == {0: 8, 1: 1, 2: 4}
            assert await ledger.outcome_counts() == {("purchases", "applied"): 8}

    run(test())
    # One transaction each: what is stored together has one transaction id.
    ids = owner.execute("SELECT count(DISTINCT xmin::text) FROM ledger.stream_positions").fetchone()
    assert ids == (1,)


def test_what_one_partition_has_behind_it_is_skipped_in_that_one_alone(settings: Settings) -> None:
    """Equal offsets of different partitions are different records."""

    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(*both((1, 0, 3)))
            again = await ledger.handle(*both((0, 0, 3), (1, 0, 4)))
            assert kinds(again) == ["applied"] * 3 + ["skipped"] * 3 + ["applied"]
            assert await offsets(ledger) == {0: 3, 1: 4}
            assert kinds(await ledger.handle(*both((0, 0, 3), (1, 0, 3)))) == ["skipped"] * 6
            assert await offsets(ledger) == {0: 3, 1: 4}
            assert await ledger.outcome_counts() == {("purchases", "applied"): 7}

    run(test())


def test_a_gap_in_one_stores_nothing_of_any(settings: Settings, owner: psycopg.Connection) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            await ledger.handle(*both((0, 0, 1), (1, 0, 1)))
            with pytest.raises(OffsetGap, match="purchases/1 was handled up to 1"):
                await ledger.handle(*both((0, 1, 3), (1, 2, 3)))
            assert await offsets(ledger) == {0: 1, 1: 1}
            assert kinds(await ledger.handle(*both((0, 1, 3), (1, 1, 3)))) == ["applied"] * 4

    run(test())
    assert owner.execute(TOP).fetchone() == (6,)


def test_another_topic_under_one_of_the_names_stores_nothing(
    settings: Settings, owner: psycopg.Connection
) -> None:
    def source(partition: int, first: int, topic_id: bytes) -> SourcePosition:
        move = TopicMove("purchases", first, first + 1, b"sum", topic_id=topic_id)
        return SourcePosition(GROUP, partition, (move,))

    async def test() -> None:
        async with opened(settings) as ledger:
            inputs = [*of(0, 0, 1), *of(1, 0, 1)]
            await ledger.handle(inputs, [source(0, 0, b"one"), source(1, 0, b"one")])
            inputs = [*of(0, 1, 2), *of(1, 1, 2)]
            with pytest.raises(OffsetGap) as refused:
                await ledger.handle(inputs, [source(0, 1, b"one"), source(1, 1, b"other")])
            assert refused.value.code == "other_topic"
            assert await offsets(ledger) == {0: 1, 1: 1}

    run(test())
    assert owner.execute(TOP).fetchone() == (2,)


def test_what_is_not_of_the_stretches_is_refused(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            with pytest.raises(BatchRefused):  # the record is of a partition that is not named
                await ledger.handle(of(2, 0, 1), both((0, 0, 1), (1, 0, 1))[1])
            with pytest.raises(BatchRefused):  # the same partition twice
                await ledger.handle(*both((0, 0, 1), (0, 1, 2)))
            other = SourcePosition("other", 1, (TopicMove("purchases", 0, 1, b"sum"),))
            with pytest.raises(BatchRefused):  # of two groups
                await ledger.handle([*of(0, 0, 1), *of(1, 0, 1)], [stretch(0, 1), other])
            assert await offsets(ledger) == {}

    run(test())


@pytest.mark.parametrize(("cut", "kind"), [("before", "applied"), ("after", "skipped")])
def test_the_answer_to_commit_is_lost(
    url: str, owner: psycopg.Connection, cut: Cut, kind: str
) -> None:
    async def test() -> None:
        async with opened_over_a_wire(url) as (ledger, wired):
            await ledger.handle(*both((0, 0, 1), (1, 0, 1)))
            wired.cut = cut
            inputs, sources = both((0, 1, 3), (1, 1, 2))
            with pytest.raises(DatabaseUnavailable):
                await ledger.handle(inputs, sources)
            assert wired.cuts == 1
            while True:
                try:
                    outcomes = await ledger.handle(inputs, sources)
                    break
                except DatabaseUnavailable:
                    await asyncio.sleep(0.01)
            assert kinds(outcomes) == [kind] * 3
            assert await offsets(ledger) == {0: 3, 1: 2}

    run(test())
    assert owner.execute(TOP).fetchone() == (5,)
    assert postings_sum(owner) == 0


@pytest.mark.parametrize("seed", [1, 2])
def test_workers_that_gather_at_random_handle_every_record_once_and_in_order(
    settings: Settings, owner: psycopg.Connection, caplog: pytest.LogCaptureFixture, seed: int
) -> None:
    """All believe that all partitions are theirs, gather some of them in any order, are cancelled,
    and some look again where the stored offsets are."""
    rng = random.Random(seed)
    seen: Counter[str] = Counter()

    async def test() -> None:
        async with opened(settings) as one, opened(settings) as two:
            workers = (gathering(one if n % 2 else two, rng, seen) for n in range(WORKERS))
            await asyncio.gather(*workers)
            assert await offsets(one) == dict.fromkeys(range(PARTITIONS), RECORDS)
            assert await one.outcome_counts() == {("purchases", "applied"): PARTITIONS * RECORDS}

    run(test())
    assert "deciding failed" not in caplog.text
    assert seen["skipped"] > 0
    assert seen["duplicate"] == 0
    handled = owner.execute("""
        SELECT shard, member_id,
            substring(convert_from(payload, 'UTF8')::jsonb -> 'cause' ->> 1 FROM '[0-9]+$')::int
        FROM ledger.events WHERE shard >= 0 ORDER BY shard, left(member_id, 2), position
    """).fetchall()
    assert len(handled) == PARTITIONS * RECORDS
    for (shard, member, first), (next_shard, next_member, second) in pairwise(handled):
        if (shard, member[:2]) == (next_shard, next_member[:2]):
            assert first < second


async def gathering(ledger: Ledger, rng: random.Random, seen: Counter[str]) -> None:
    """A worker until it has seen all partitions to their ends."""
    mine = dict.fromkeys(range(PARTITIONS), 0)
    while any(offset < RECORDS for offset in mine.values()):
        if rng.random() < LOOKS_AGAIN:
            mine |= await offsets(ledger)
        open_ones = [partition for partition, offset in mine.items() if offset < RECORDS]
        chosen = rng.sample(open_ones, rng.randint(1, len(open_ones))) if open_ones else []
        ends = {each: min(RECORDS, mine[each] + rng.randint(1, 8)) for each in chosen}
        inputs, sources = both(*((each, mine[each], end) for each, end in ends.items()))
        while True:
            task = asyncio.create_task(ledger.handle(inputs, sources))
            if rng.random() < CANCELLED:
                await asyncio.wait({task}, timeout=rng.random() * 0.05)
                task.cancel()
            await asyncio.wait({task})
            if not task.cancelled() and not isinstance(task.exception(), DatabaseUnavailable):
                break
        seen.update(kinds(task.result()))
        mine |= ends
