"""CloudEvents in batches into Kafka, for systems without a Kafka client of their own.

An event is accepted once all in-sync replicas have it: from then on it is the worker's, as if its
sender had produced it. Each event is checked as `points publish` checks a line; one that is refused
does not hold back the others.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from msgspec import Struct

from ledger.settings import Settings
from ledger.sharding import partition_of
from schemas.asyncapi import CONTENT_TYPE
from schemas.errors import Malformed
from streams.correlation import header_of
from streams.event_lines import GoodLine, check_line

LINGER_MS = 2
"""Milliseconds that a record waits for others of its partition."""

ACKNOWLEDGED_SECONDS = 20.0
"""Longest wait for the brokers; the request has thirty seconds in all."""

_HEADERS = [("content-type", CONTENT_TYPE.encode())]

log = logging.getLogger(__name__)


class Ingested(Struct, frozen=True, omit_defaults=True):
    """How one event of a batch ended. `status`: accepted, refused (code, path and message say
    why), or unknown (Kafka did not confirm it: send it again, repeats do no harm)."""

    index: int
    status: str
    code: str = ""
    path: str = ""
    message: str = ""


class Ingest:
    """A producer that is opened by its first batch."""

    def __init__(self, settings: Settings) -> None:
        self._bootstrap = settings.kafka_bootstrap
        self._partitions = settings.partitions
        self._producer: AIOKafkaProducer | None = None
        self._opening = asyncio.Lock()

    @property
    def configured(self) -> bool:
        """Whether a Kafka is known."""
        return self._bootstrap is not None

    async def take(
        self, texts: Sequence[bytes], may: Sequence[str], correlation_id: str
    ) -> list[Ingested]:
        """Send what is good; `may`: prefixes of the types that this caller may send. Each record
        carries the request's `correlation_id`, under which the worker's log tells of it. Raises
        KafkaError when Kafka cannot be reached."""
        headers = [*_HEADERS, header_of(correlation_id)]
        results: list[Ingested] = []
        sent: list[tuple[int, asyncio.Future[object]]] = []
        producer = await self._opened()
        for index, text in enumerate(texts):
            try:
                line = check_line(index + 1, text)
            except Malformed as error:
                results.append(
                    Ingested(index, "refused", str(error.code), error.path, error.message)
                )
                continue
            if not line.type.startswith(tuple(may)):
                results.append(_not_allowed(index, line))
                continue
            sent.append((index, await self._send(producer, line, headers)))
        if sent:
            await asyncio.wait([future for _, future in sent], timeout=ACKNOWLEDGED_SECONDS)
        results += [_ended(index, future) for index, future in sent]
        counts = Counter(each.status for each in results)
        log.info("events_ingested", extra={"correlation_id": correlation_id, **counts})
        return sorted(results, key=lambda each: each.index)

    async def close(self) -> None:
        """Send what is on its way, and close."""
        if self._producer is not None:
            await self._producer.stop()

    async def _send(
        self, producer: AIOKafkaProducer, line: GoodLine, headers: Sequence[tuple[str, bytes]]
    ) -> "asyncio.Future[object]":
        future: asyncio.Future[object] = await producer.send(
            line.topic,
            line.value,
            key=line.key.encode(),
            partition=partition_of(line.key, self._partitions),
            headers=headers,
        )
        return future

    async def _opened(self) -> AIOKafkaProducer:
        async with self._opening:
            if self._producer is None:
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


def _not_allowed(index: int, line: GoodLine) -> Ingested:
    return Ingested(
        index,
        "refused",
        "operation_of_its_own",
        "$.type",
        f"{line.type} is not taken in batches: it has an operation of its own.",
    )


def _ended(index: int, future: "asyncio.Future[object]") -> Ingested:
    if future.done() and not future.cancelled():
        error = future.exception()
        if error is None:
            return Ingested(index, "accepted")
        reason = type(error).__name__ if isinstance(error, KafkaError) else "KafkaError"
    else:
        future.add_done_callback(lambda done: done.cancelled() or done.exception())
        reason = "no answer in time"
    return Ingested(
        index,
        "unknown",
        "kafka_unavailable",
        "$",
        f"Kafka did not confirm it ({reason}): send it again, repeats do no harm.",
    )
