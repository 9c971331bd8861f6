"""The two sets of messages that everything is measured on, and how they get into Kafka.

`demo`: the demo's own messages, baskets of nine lines on average. `two-line`: about as many
purchases of two lines by a million members, most of whom the worker has never seen, over ten
million inputs taken before.
"""

import asyncio
from collections.abc import Iterator
from random import Random

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition
from msgspec import Struct

from benchmarks.prefill import prefill_inputs
from benchmarks.shoppers import DAY
from benchmarks.stage import Stage
from demo import grocer
from ledger.core.calendar import format_instant
from ledger.settings import Settings
from schemas.fields import Instant
from streams.publish import Record, produce
from streams.topics import CONSUMED, ensure_topics, topic_partitions

DEMO = "demo"
TWO_LINE = "two-line"
SETS = (DEMO, TWO_LINE)

HOUSEHOLDS = 2_469
"""All of the grocer's."""

TWO_LINE_PURCHASES = 150_000
MEMBERS = 1_000_000
PREFILLED_INPUTS = 10_000_000

FIRST_DAY = 17_250
"""Since 1970: March 2017, when the demo's program is in force."""

SPAN: Instant = 90 * DAY
"""The two-line purchases are spread over so long."""

Offsets = dict[tuple[str, int], int]
"""By topic and partition."""


class Produced(Struct, frozen=True):
    """A set that lies in Kafka between two offsets of each topic-partition."""

    name: str
    start: Offsets
    end: Offsets
    records: int
    purchases: int
    bytes: int

    def last(self, records: int) -> "Produced":
        """The last so many of its purchases, as many of each partition."""
        start = dict(self.end)
        places = [place for place in start if place[0] == "purchases"]
        for place in places:
            start[place] = max(self.start[place], start[place] - records // len(places))
        count = sum(self.end[place] - start[place] for place in places)
        size = self.bytes * count // self.records
        return Produced(self.name, start, self.end, count, count, size)


def fill(stage: Stage, name: str) -> Produced:
    """Produce the set and make its database, if that is not done yet in this run."""
    found = stage.sets.get(name)
    if found is None:
        if not stage.exists(template(name)):
            make_database(stage, name)
        stage.progress(f"  {name}: producing its messages")
        found = stage.sets[name] = asyncio.run(fill_topics(stage, name, stage.scale))
        stage.progress(f"  {name}: {found.purchases:,} purchases, {found.bytes >> 20} MiB")
    return found


async def fill_topics(
    stage: Stage, name: str, scale: float, partitions: int | None = None
) -> Produced:
    """Produce a set, so much of it, behind what the topics hold."""
    await ensure_topics(stage.bootstrap, partitions or Settings().partitions)
    before = await end_offsets(stage.bootstrap)
    records = _demo(scale) if name == DEMO else two_line(round(TWO_LINE_PURCHASES * scale))
    done = await produce(records, stage.bootstrap)
    after = await end_offsets(stage.bootstrap)
    return Produced(name, before, after, done.records, done.by_topic["purchases"], done.bytes)


async def end_offsets(bootstrap: str) -> Offsets:
    """Where each topic-partition ends."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        found = await topic_partitions(bootstrap)
        places = [TopicPartition(t, p) for t in CONSUMED for p in range(found[t])]
        ends = await consumer.end_offsets(places)
        return {(place.topic, place.partition): end for place, end in ends.items()}
    finally:
        await consumer.stop()


def template(name: str) -> str:
    """The database as it is before the set is handled."""
    return f"{name}_before"


def make_database(stage: Stage, name: str) -> None:
    """The set's `template`, with what is in it before."""
    url = stage.ledger(template(name))
    if name == TWO_LINE:
        rows = stage.sized(PREFILLED_INPUTS)
        stage.progress(f"  {name}: {rows:,} inputs taken before")
        asyncio.run(prefill_inputs(url, rows))
        stage.checkpoint()


def _demo(scale: float) -> Iterator[Record]:
    """The grocer's messages: of all households, or of so many."""
    chosen = grocer.choose(None if scale >= 1 else max(2, round(HOUSEHOLDS * scale)))
    for topic, key, value in grocer.messages(chosen):
        yield topic, key.decode(), value


def two_line(count: int, first: Instant = FIRST_DAY * DAY, step: Instant = 0) -> Iterator[Record]:
    """So many purchases from `first` on, `step` microseconds apart (0: over all of SPAN)."""
    random = Random(count)
    step = step or SPAN // max(count, 1)
    for number in range(count):
        member = f"m-{random.randrange(MEMBERS):07}"
        order = f"{member}-{number}"
        yield "purchases", member, purchase(random, member, order, first + number * step)


def purchase(random: Random, member: str, order: str, at: Instant, least: int = 1) -> bytes:
    """A purchase of two lines of up to 20 dollars, one of them fresh produce."""
    lines = [
        {
            "line_id": line_id,
            "sku": str(random.randrange(100_000, 10_000_000)),
            "category": category,
            "brand": "National",
            "quantity": 1,
            "amount": random.randrange(least, 2_000),
        }
        for line_id, category in (("1", "GROCERY"), ("2", "PRODUCE"))
    ]
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": f"purchase-{order}",
            "source": "/benchmarks",
            "type": "purchase.completed.v1",
            "subject": member,
            "time": format_instant(at),
            "data": {
                "order_id": order,
                "store_id": "367",
                "channel": "store",
                "currency": "USD",
                "lines": lines,
            },
        }
    )
