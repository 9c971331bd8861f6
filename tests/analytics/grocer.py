"""The demo's year in a ledger, without Kafka: the same inputs in the order of their moments."""

from heapq import merge
from itertools import groupby, islice
from operator import attrgetter

from demo import grocer
from ledger.application import Ledger
from ledger.received import Received, received
from ledger.settings import load_settings
from schemas.decode import decode_record
from streams.effects import encode_effect

SHARDS = 4
BATCH = 500
EFFECTS_MAX = 500


async def write(url: str, households: int | None) -> int:
    """Fill the ledger in the database; how many inputs that were, effects included."""
    chosen = None if households is None else grocer.choose(households)
    topics = [
        [received(decode_record(message.value)) for message in of_topic]
        for _, of_topic in groupby(grocer.messages(chosen), key=attrgetter("topic"))
    ]
    inputs = merge(*topics, key=attrgetter("occurred_at"))
    ledger = await Ledger.open(load_settings({}, database_url=url, shards=SHARDS, partitions=4))
    count = 0
    try:
        while batch := list(islice(inputs, BATCH)):
            count += await _handle(ledger, batch)
            for shard in range(SHARDS):
                while pending := await ledger.pending_effects(shard, EFFECTS_MAX):
                    effects = [received(decode_record(encode_effect(*one))) for one in pending]
                    count += await _handle(ledger, effects)
                    await ledger.mark_effects_published(shard, pending[-1][1])
    finally:
        await ledger.close()
    return count


async def _handle(ledger: Ledger, batch: list[Received]) -> int:
    outcomes = await ledger.handle(batch)
    assert {one.kind for one in outcomes} <= {"applied", "refused"}
    return len(outcomes)
