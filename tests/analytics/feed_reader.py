"""A reader of the change feeds: it drops what is not newer, by one comparison, and keeps the rest.

What it then holds is compared with the views of the database, which are worked out another way.
"""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import psycopg
from aiokafka import AIOKafkaConsumer, TopicPartition

from analytics.feeds import Feeds
from schemas.feeds import FEED_STRUCTS, FEEDS, LEDGER_EVENTS

PARTITIONS = 8

MARKED_SECONDS = 120.0
"""Until the marks of a transaction are written: milliseconds, on an idle machine."""

Connection = psycopg.Connection[Any]


def prefix_of(url: str) -> str:
    """Topics of one database's own."""
    return f"{url.rpartition('/')[2]}."


def feeds_of(url: str, bootstrap: str) -> Feeds:
    """The publisher of a database, on topics of its own."""
    return Feeds(url, bootstrap, partitions=PARTITIONS, prefix=prefix_of(url))


class Record(NamedTuple):
    """A record of Kafka."""

    topic: str
    key: str
    event: Any


async def records(bootstrap: str, prefix: str, committed: bool = True) -> list[Record]:
    """All of the feeds, each partition's in its order."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        auto_offset_reset="none",
        isolation_level="read_committed" if committed else "read_uncommitted",
        fetch_max_bytes=64 << 20,
        max_partition_fetch_bytes=16 << 20,
    )
    await consumer.start()
    try:
        places = [TopicPartition(prefix + name, n) for name in FEEDS for n in range(PARTITIONS)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await whole(bootstrap, places)
        found = []
        while any([await consumer.position(place) < ends[place] for place in places]):
            for some in (await consumer.getmany(timeout_ms=100)).values():
                for record in some:
                    name = record.topic[len(prefix) :]
                    event = msgspec.json.decode(record.value, type=FEED_STRUCTS[name])
                    assert record.key.decode() == event.subject
                    found.append(Record(name, event.subject, event.data))
        return found
    finally:
        await consumer.stop()


async def whole(bootstrap: str, places: list[TopicPartition]) -> dict[TopicPartition, int]:
    """The ends, once every transaction has its mark: the broker answers a commit before it writes
    them, and who reads what is committed does not see its records until then."""
    levels = ("read_committed", "read_uncommitted")
    readers = [
        AIOKafkaConsumer(bootstrap_servers=bootstrap, isolation_level=level) for level in levels
    ]
    for reader in readers:
        await reader.start()
    try:
        async with asyncio.timeout(MARKED_SECONDS):
            while True:
                ends = [await reader.end_offsets(places) for reader in readers]
                if ends[0] == ends[1]:
                    return dict(ends[0])
                await asyncio.sleep(0.02)
    finally:
        for reader in readers:
            await reader.stop()


def kept(found: list[Record]) -> tuple[dict[tuple[str, str], Any], list[Record]]:
    """The newest of each key, and all that were taken: those above the version before."""
    newest: dict[tuple[str, str], Any] = {}
    taken = []
    for record in found:
        known = newest.get((record.topic, record.key))
        if known is None or record.event.version > known.version:
            newest[record.topic, record.key] = record.event
            taken.append(record)
    return newest, taken


def rows_at(newest: dict[tuple[str, str], Any], at: datetime) -> dict[str, list[tuple[Any, ...]]]:
    """What the states say of a moment that is not before their own."""
    found: dict[str, list[tuple[Any, ...]]] = {"balances": [], "tiers": [], "segments": []}
    for (topic, member), data in newest.items():
        if topic == "balances":
            now = [data, *(step for step in data.ahead if step.at <= at)][-1]
            totals = (now.available, now.pending, now.reserved, now.expired, now.granted, now.debt)
            found[topic].append((member, *totals))
        elif topic == "tiers":
            found[topic] += [(member, s.tier, s.since, s.until) for s in data.spans if holds(s, at)]
        elif topic == "segments":
            found[topic] += [
                (member, s.segment, s.entered_at, s.left_at)
                for s in data.spans
                if s.entered_at <= at and (s.left_at is None or s.left_at > at)
            ]
    return {topic: sorted(rows) for topic, rows in found.items()}


def holds(span: Any, at: datetime) -> bool:
    """Whether a tier's span contains the moment."""
    return span.since <= at and (span.until is None or span.until > at)


_VIEWS = {
    "balances": "SELECT member_id, available, pending, reserved, expired, granted, debt"
    " FROM read.balances_now",
    "tiers": "SELECT member_id, tier, since, until FROM read.tiers_now",
    "segments": "SELECT member_id, segment, entered_at, left_at FROM read.segments_now",
}

_LOG = (
    "SELECT shard, position, version, encode(hash, 'hex'), convert_from(payload, 'UTF8')"
    " FROM ledger.events ORDER BY 1, 2"
)


def in_utc(rows: list[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """Moments in UTC."""
    for row in rows:
        yield tuple(v.astimezone(UTC) if isinstance(v, datetime) else v for v in row)


async def agrees(session: Connection, bootstrap: str) -> None:
    """The reader's rows are those of the views, and its events those of the log, in their order."""
    name = session.info.dbname
    for committed in (True, False):
        newest, taken = kept(await records(bootstrap, f"{name}.", committed))
        with session.transaction():
            row = session.execute("SELECT now()").fetchone()
            assert row is not None
            told = rows_at(newest, row[0].astimezone(UTC))
            for topic, query in _VIEWS.items():
                expected = sorted(in_utc(session.execute(query.encode()).fetchall()))
                assert told[topic] == expected, topic
            log = session.execute(_LOG.encode()).fetchall()
        events = [record.event for record in taken if record.topic == LEDGER_EVENTS]
        positions: dict[int, int] = {}
        for event in events:  # each shard's events came in the order of the log
            assert event.position > positions.get(event.shard, 0)
            positions[event.shard] = event.position
        assert (
            sorted(
                (e.shard, e.position, e.version, e.hash, bytes(e.event).decode()) for e in events
            )
            == log
        )
