"""What many appends at once leave in the log is what one after the other would have left.

Random histories are sent by several tasks over two ledgers, some inputs twice. Then the inputs that
were taken are sent again in the order of the log, one by one, to an empty ledger: every event must
come out byte for byte the same.
"""

import asyncio
import random
from typing import Any

import psycopg
import pytest

from ledger.application import Ledger
from ledger.dedupe import key_of
from ledger.received import Received, received
from ledger.settings import Settings, load_settings
from ledger.sharding import shard_of
from schemas.inputs import InputEvent
from tests.ledger.events import PARTITIONS, SHARDS, direct, purchase, returned, survey
from tests.ledger.opened import opened, postings_sum, run

TASKS = 5
MEMBERS = 4
BATCHES = 12

COUNTS = """
SELECT source, type, outcome, sum(n) FROM ledger.outcome_counts WHERE outcome <> 'duplicate'
GROUP BY source, type, outcome HAVING sum(n) <> 0 ORDER BY source, type, outcome
"""


def histories(seed: int) -> list[list[list[InputEvent]]]:
    """For each task its batches."""
    choice = random.Random(seed)
    events: list[InputEvent] = [survey(f"m{n}") for n in range(MEMBERS)]
    for number in range(TASKS * BATCHES * 3):
        member, at = f"m{choice.randrange(MEMBERS)}", choice.uniform(0, 300)
        events.append(purchase(member, f"o{number}", at, choice.randrange(60_000)))
        if choice.random() < 0.3:
            events.append(returned(member, f"o{number}", f"r{number}", at + choice.uniform(-5, 40)))
    events += choice.sample(events, 20)
    choice.shuffle(events)
    batches = [events[start :: BATCHES * TASKS] for start in range(BATCHES * TASKS)]
    return [batches[task::TASKS] for task in range(TASKS)]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_at_once_is_one_after_the_other(
    settings: Settings,
    owner: psycopg.Connection[Any],
    other_url: str,
    under_lock_max: int,
    seed: int,
) -> None:
    sent: dict[tuple[int, bytes], Received] = {}

    async def send(ledger: Ledger, batches: list[list[InputEvent]]) -> int:
        for batch in batches:
            for event in batch:
                assert event.subject is not None
                sent[shard_of(event.subject, SHARDS), key_of(event)] = received(event)
            outcomes = await ledger.handle(direct(*batch))
            assert "dead_lettered" not in {outcome.kind for outcome in outcomes}
        return ledger.stats.decided_again

    async def at_once() -> None:
        async with opened(settings) as one, opened(settings) as two:
            again = await asyncio.gather(
                *(
                    send((one, two)[task % 2], batches)
                    for task, batches in enumerate(histories(seed))
                )
            )
            assert under_lock_max or max(again) > 0

    async def one_by_one() -> None:
        empty = load_settings({}, database_url=other_url, shards=SHARDS, partitions=PARTITIONS)
        async with opened(empty) as ledger:
            for place in taken:
                await ledger.handle([sent[place]])

    run(at_once())
    rows = owner.execute("SELECT shard, key FROM ledger.inputs ORDER BY shard, position").fetchall()
    taken = [(shard, bytes(key)) for shard, key in rows]
    assert set(taken) == set(sent)
    run(one_by_one())
    log = "SELECT shard, position, version, type, payload FROM ledger.events WHERE shard >= 0"
    with psycopg.connect(other_url) as other:
        query = (log + " ORDER BY shard, position").encode()
        assert other.execute(query).fetchall() == owner.execute(query).fetchall()
        assert other.execute(COUNTS).fetchall() == owner.execute(COUNTS).fetchall()
    assert postings_sum(owner) == 0
