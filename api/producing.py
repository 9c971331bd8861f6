"""The producer of the batch ingest: opened when it is needed, renewed when it is broken.

An idempotent producer numbers its records, and a record that failed leaves a gap: from then on the
broker refuses all that comes after it in that partition. It also ends for good when it was fenced,
or when the broker does not know it any more (a Kafka that was wiped). So after any failure the
next batch gets a new one; what the old one still has on its way is waited for beside.
"""

import asyncio
import logging

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ledger.settings import Settings

log = logging.getLogger(__name__)

LINGER_MS = 2
"""Milliseconds that a record waits for others of its partition."""

RENEW_SECONDS = 1.0
"""From one producer to the next: a Kafka that refuses everything is not stormed with new ones."""

CLOSE_SECONDS = 10.0
"""For what is on its way when a producer is put away; a Kafka that is away would hold it for ever.
At most so many seconds' worth of them are being closed at once."""


class Producers:
    """One producer at a time."""

    def __init__(self, settings: Settings) -> None:
        self._bootstrap = settings.kafka_bootstrap
        self._producer: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()
        self._next = 0.0
        self._closing: set[asyncio.Task[None]] = set()

    @property
    def configured(self) -> bool:
        """Whether a Kafka is known."""
        return self._bootstrap is not None

    async def current(self) -> AIOKafkaProducer:
        """The one that works, or a new one. Raises KafkaError when Kafka cannot be reached."""
        async with self._opening:
            if self._producer is None:
                loop = asyncio.get_running_loop()
                await asyncio.sleep(max(0.0, self._next - loop.time()))
                self._next = loop.time() + RENEW_SECONDS
                producer = AIOKafkaProducer(
                    bootstrap_servers=self._bootstrap,
                    client_id="points-api",
                    acks="all",
                    enable_idempotence=True,
                    linger_ms=LINGER_MS,
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer

    def broken(self, producer: AIOKafkaProducer, reason: BaseException) -> None:
        """Put this one away, unless that is done; the next batch gets a new one."""
        if producer is not self._producer:
            return
        self._producer = None
        log.warning("the producer is renewed", extra={"reason": type(reason).__name__})
        task = asyncio.create_task(_end(producer))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Send what is on its way, within CLOSE_SECONDS, and close."""
        ending = list(self._closing)
        if self._producer is not None:
            ending.append(asyncio.create_task(_end(self._producer)))
            self._producer = None
        await asyncio.gather(*ending)


async def _end(producer: AIOKafkaProducer) -> None:
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await producer.stop()
        return
    except (TimeoutError, KafkaError, OSError) as error:
        log.warning("a producer is ended by force", extra={"reason": type(error).__name__})
    task = producer._sender.sender_task  # what `stop` would go on waiting for
    if task is not None:
        task.cancel()
    await producer.client.close()
