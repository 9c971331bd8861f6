"""The change feeds: what changed in the log and the read models, told to Kafka.

Follows the log by shard. Per round: some shards, of each one snapshot of the database and the
messages of all four feeds; one transaction of Kafka for all of these, and only then the positions.
At least once: who died before the positions moved tells it again, with the same or a newer version.
One publisher at a time, by a lock in PostgreSQL and by Kafka's own fencing: one that was cut off
cannot write after its successor, so the last record of a key is its newest.

A state is told when an event touched its member, and of every member when rows were made anew for
a program version (or RFM bounds). Its version is the read model's position in the shard plus the
system position that its rows reflect: neither ever falls, and equal sums are the same state.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from uuid import UUID

import psycopg
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.codec import has_lz4
from aiokafka.errors import (
    KafkaError,
    ProducerFenced,
    TopicAlreadyExistsError,
    for_code,
)
from psycopg import Connection

from analytics import feed_positions
from analytics.errors import AnalysisRefused
from analytics.feed_batches import BATCH_BYTES_MAX, packed, send
from analytics.feed_positions import START, Position
from analytics.feed_states import Message, Told, events, page, states, touched
from ledger.crash import crash_point
from projections import positions
from projections.connection import connect
from projections.positions import Place
from schemas.feeds import FEEDS, LEDGER_EVENTS, STATES

POLL_SECONDS = 0.5
"""Between looks when nothing is to be told: so late may a message be, one small query each."""

GIVE_UP_SECONDS = 300.0
"""Without one good round for so long the publisher ends: a restart or failover is over by then."""

PAUSE_SECONDS = 1.0
"""Before the next attempt after PostgreSQL or Kafka did not answer."""

MESSAGE_BYTES_MAX = 8 << 20
"""Largest message, 8 MiB: an event that holds an input of a megabyte and what it led to."""

ROUND_BYTES_MAX = 8 << 20
"""A round takes no further shard once it has so many bytes of messages, 8 MiB: with the last one's
they are in memory twice, as read and as packed. A transaction costs Kafka some milliseconds,
whatever it holds."""

CREATED_SECONDS = 30.0
"""For new topics to be seen by all brokers: usually below one second."""

Progress = Callable[[int], None]

log = structlog.get_logger(__name__)


class Feeds:
    """The publisher. `prefix` stands before each topic's name. `stop` may be called by a signal."""

    def __init__(
        self,
        database_url: str,
        bootstrap: str,
        *,
        partitions: int,
        replication: int = 1,
        prefix: str = "",
    ) -> None:
        self._url = database_url
        self._bootstrap = bootstrap
        self._partitions = partitions
        self._replication = replication
        self._prefix = prefix
        self.topics = tuple(prefix + name for name in FEEDS)
        self._source = "points-ledger"
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """End after the round in hand."""
        self._stopping.set()

    async def run(
        self,
        until_caught_up: bool = False,
        from_start: bool = False,
        progress: Progress | None = None,
    ) -> int:
        """Tell until stopped, or until nothing is left; how many messages. `from_start`: all again.

        Raises AnalysisRefused (feeds_running, feeds_fenced, feeds_lost, topic_partitions_differ).
        """
        total = 0
        lost_since: float | None = None

        def told(count: int) -> None:
            nonlocal total, lost_since
            lost_since = None
            total += count
            if progress is not None and count:
                progress(count)

        while not self._stopping.is_set():
            try:
                await self._connected(until_caught_up, from_start, told)
                break
            except ProducerFenced as error:
                raise AnalysisRefused(
                    "Another publisher of these feeds has begun: stop one of the two; this one"
                    " has ended, and nothing is lost.",
                    "feeds_fenced",
                ) from error
            except (psycopg.OperationalError, KafkaError) as error:
                now = time.monotonic()
                lost_since = lost_since if lost_since is not None else now
                if now - lost_since > GIVE_UP_SECONDS:
                    raise AnalysisRefused(
                        f"PostgreSQL or Kafka did not answer for {GIVE_UP_SECONDS:.0f} s"
                        f" ({type(error).__name__}): start them and run this again; it goes on"
                        " where it stopped.",
                        "feeds_lost",
                    ) from error
                log.warning("feeds interrupted, trying again", reason=str(error).strip())
                from_start = False  # what was forgotten is forgotten
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), PAUSE_SECONDS)
        return total

    async def _connected(self, until_caught_up: bool, from_start: bool, told: Progress) -> None:
        with await asyncio.to_thread(connect, self._url) as connection:
            if not feed_positions.lock(connection):
                raise AnalysisRefused(
                    "Another publisher of feeds is running on this ledger: stop it first.",
                    "feeds_running",
                )
            row = connection.execute("SELECT ledger_id FROM ledger.ledger").fetchone()
            assert row is not None, "a ledger has its row"
            self._source = f"points-ledger/{row[0]}"
            await self._ensure_topics()
            producer = AIOKafkaProducer(
                bootstrap_servers=self._bootstrap,
                client_id="points-feeds",
                transactional_id=f"points-feeds-{self._prefix}{row[0]}",
                acks="all",
                enable_idempotence=True,
                compression_type="lz4" if has_lz4() else None,
                max_batch_size=BATCH_BYTES_MAX,
                max_request_size=MESSAGE_BYTES_MAX,
            )
            await producer.start()
            try:
                if from_start:
                    feed_positions.forget(connection, self.topics)
                feed_positions.ensure(connection, self.topics)
                await self._follow(connection, producer, until_caught_up, told)
            finally:
                await producer.stop()

    async def _follow(
        self,
        connection: Connection,
        producer: AIOKafkaProducer,
        until_caught_up: bool,
        told: Progress,
    ) -> None:
        while not self._stopping.is_set():
            lags = feed_positions.behind(connection, self.topics, self._prefix)
            shards = deque(sorted({lag.shard for lag in lags if lag.events or lag.sweep}))
            moved = False
            while shards:
                if self._stopping.is_set():
                    return
                count = await self._round(connection, producer, shards)
                if count is not None:
                    moved = True
                    told(count)
            if moved:
                continue
            if until_caught_up:
                return
            told(0)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), POLL_SECONDS)

    async def _round(
        self, connection: Connection, producer: AIOKafkaProducer, shards: deque[int]
    ) -> int | None:
        """Tell of the next shards, which are taken from `shards`; how many messages, None where
        nothing moved."""
        messages: list[Message] = []
        moved: list[Position] = []
        size = 0
        while shards and size < ROUND_BYTES_MAX:
            some, places = await asyncio.to_thread(self._read, connection, shards.popleft())
            messages += some
            moved += places
            size += sum(len(message.value) for message in some)
        if not moved:
            return None
        crash_point("feeds.before_produce")
        if messages:
            batches = packed(producer, messages, self._partitions)
            async with producer.transaction():
                sent = await send(producer, batches)
                crash_point("feeds.after_send")
                await asyncio.gather(*sent)
        crash_point("feeds.after_produce")
        feed_positions.store(connection, moved)
        crash_point("feeds.after_cursor")
        return len(messages)

    def _read(self, connection: Connection, shard: int) -> tuple[list[Message], list[Position]]:
        """What is to be told of a shard, in one snapshot, and the positions after it."""
        messages: list[Message] = []
        moved: list[Position] = []
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            row = connection.execute("SELECT now()").fetchone()
            assert row is not None
            told = Told(self._source, row[0])
            found = feed_positions.of_shard(connection, self.topics, shard)
            places = {
                place.projection: place
                for place in positions.places(connection, STATES).get(shard, ())
            }
            for topic, at in found.items():
                name = topic[len(self._prefix) :]
                if name == LEDGER_EVENTS:
                    last, some = events(connection, topic, shard, at.position, self._source)
                    after = at._replace(position=last)
                elif name in places:
                    after, some = self._states(connection, at, places[name], told)
                else:  # never folded yet
                    continue
                if after != at:
                    moved.append(after)
                    messages += some
        return messages, moved

    def _states(
        self, connection: Connection, at: Position, place: Place, told: Told
    ) -> tuple[Position, list[Message]]:
        version = place.position + place.system_position
        if version < at.version:  # an older generation is read again: until it has caught up
            return at, []
        name = at.topic[len(self._prefix) :]
        if place.system_position > at.system_position and place.refresh_target is None:
            # All members, from here on: so no event up to here has to be looked at.
            at = at._replace(
                position=place.position,
                system_position=place.system_position,
                sweep_after=START,
            )
        members: dict[str, None] = {}
        if at.sweep_after is not None:
            accounts = page(connection, at.shard, at.sweep_after, place.position)
            members = dict.fromkeys(m for _, m in accounts if not m.startswith("~"))
            end: UUID | None = accounts[-1][0] if accounts else None
            at = at._replace(sweep_after=end)
        last, more = touched(connection, at.shard, at.position, place.position)
        members |= dict.fromkeys(more)
        at = at._replace(position=last)
        if not members:
            return at, []
        some = states(connection, name, at.shard, list(members), version, told)
        return at._replace(version=version), [m._replace(topic=at.topic) for m in some]

    async def _ensure_topics(self) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        await admin.start()
        try:
            found = await _partitions(admin, self.topics)
            missing = [topic for topic in self.topics if topic not in found]
            if missing:
                await self._create(admin, missing)
                deadline = time.monotonic() + CREATED_SECONDS
                while len(found) < len(self.topics) and time.monotonic() < deadline:
                    await asyncio.sleep(0.1)
                    found = await _partitions(admin, self.topics)
            for topic in self.topics:
                if found.get(topic) != self._partitions:
                    raise AnalysisRefused(
                        f"The Kafka topic {topic} has {found.get(topic, 0)} partitions, not the"
                        f" {self._partitions} of POINTS_PARTITIONS: recreate it, or name others"
                        " with --prefix.",
                        "topic_partitions_differ",
                    )
        finally:
            await admin.close()

    async def _create(self, admin: AIOKafkaAdminClient, missing: Sequence[str]) -> None:
        answer = await admin.create_topics(
            [
                NewTopic(
                    topic, self._partitions, self._replication, topic_configs=self._config(topic)
                )
                for topic in missing
            ]
        )
        for _, code, *_ in answer.topic_errors:
            error = for_code(code)
            if code != 0 and error is not TopicAlreadyExistsError:
                raise error

    def _config(self, topic: str) -> dict[str, str]:
        state = topic[len(self._prefix) :] in STATES
        return {
            "cleanup.policy": "compact" if state else "delete",
            "max.message.bytes": str(MESSAGE_BYTES_MAX),
        }


async def _partitions(admin: AIOKafkaAdminClient, topics: Sequence[str]) -> dict[str, int]:
    described = await admin.describe_topics(list(topics))
    return {one["topic"]: len(one["partitions"]) for one in described if one["error_code"] == 0}
