"""The Faust app: one agent for each topic, each handing its chunks to the partition tasks.

Faust does what it is good at here: membership of the group, assignment, the fetching thread, and
delivery. It acks nothing, keeps no tables, and decodes nothing (its decoding acks before it
fails). No exception may leave an agent: Faust would restart it and lose what it held.
"""

import time
from collections.abc import AsyncIterator
from typing import Any

import faust
from faust.types import TP

from ledger.settings import Settings
from streams.chunks import DRAIN_RECORDS_MAX, Chunk, ChunkScheduler
from streams.consumer import ChunkTransport
from streams.delivery import StreamDelivery
from streams.topics import CONSUMED

NEVER_SECONDS = 86_400.0 * 365
"""For Faust's timers that have nothing to do here: a year."""

FETCH_BYTES_MAX = 1 << 20
"""Bytes that the broker sends of one partition at once (a larger record comes all the same)."""

REQUEST_TIMEOUT_SECONDS = 90.0
"""Longest answer from a broker. Must be above the session timeout."""

REBALANCE_TIMEOUT_SECONDS = 60.0
"""What the group waits for a worker that finishes its batches before partitions move."""


class PointsApp(faust.App):  # type: ignore[misc]
    """Faust with chunked delivery. `rebalancing_since`: monotonic seconds, None in peace."""

    delivery: StreamDelivery
    rebalancing_since: float | None = None

    def _new_transport(self) -> Any:
        return ChunkTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """No tables, so no folder for them in whatever the current folder is."""

    def on_rebalance_start(self) -> None:
        """Called in the fetching thread, as early as Faust knows."""
        self.rebalancing_since = time.monotonic()
        super().on_rebalance_start()

    def on_rebalance_end(self) -> None:
        """Called when fetching goes on."""
        super().on_rebalance_end()
        self.rebalancing_since = None

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        await self.delivery.revoked()
        await super()._on_partitions_revoked(revoked)


class _NoProducer(PointsApp.BootStrategy):  # type: ignore[name-defined, misc]
    """The effects publisher has a producer of its own: idempotent, and waited for."""

    enable_kafka_producer = False
    enable_web = False


PointsApp.BootStrategy = _NoProducer


def make_app(settings: Settings, bootstrap: str, delivery: StreamDelivery) -> PointsApp:
    """The app of one worker process."""
    app = PointsApp(
        settings.group,
        broker=[f"kafka://{server.strip()}" for server in bootstrap.split(",")],
        autodiscover=False,
        key_serializer="raw",
        value_serializer="raw",
        topic_allow_declare=False,
        topic_disable_leader=True,
        stream_wait_empty=False,
        stream_recovery_delay=0.0,
        ConsumerScheduler=ChunkScheduler,
        consumer_auto_offset_reset="none",
        consumer_max_fetch_size=FETCH_BYTES_MAX,
        broker_max_poll_records=DRAIN_RECORDS_MAX,
        broker_max_poll_interval=NEVER_SECONDS,
        broker_commit_interval=NEVER_SECONDS,
        broker_request_timeout=REQUEST_TIMEOUT_SECONDS,
        broker_rebalance_timeout=REBALANCE_TIMEOUT_SECONDS,
        broker_session_timeout=float(settings.session_timeout_seconds),
        broker_heartbeat_interval=settings.session_timeout_seconds / 5,
        stream_processing_timeout=NEVER_SECONDS,
        web_enabled=False,
        store="memory://",
    )
    app.delivery = delivery
    for topic in CONSUMED:
        _agent(app, topic)
    return app


def _agent(app: PointsApp, name: str) -> None:
    """The agent `name`: hands each chunk of its topic to its partition's task."""

    async def hand_over(chunks: AsyncIterator[Chunk]) -> None:
        async for chunk in chunks:
            app.delivery.accept(chunk)

    app.agent(app.topic(name, acks=False), name=name)(hand_over)
