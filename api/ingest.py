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

from api.producing import Producers
from ledger.settings import Settings
from ledger.sharding import partition_of
from schemas.asyncapi import CONTENT_TYPE
from schemas.errors import Malformed
from streams.correlation import header_of
from streams.event_lines import GoodLine, check_line

ACKNOWLEDGED_SECONDS = 20.0
"""Longest wait for the brokers; the request has thirty seconds in all."""

ENDING_SECONDS = 2.0
"""For the records of a producer that has ended, which it fails by itself."""

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
    """Checks events and produces what is good."""

    def __init__(self, settings: Settings) -> None:
        self._partitions = settings.partitions
        self._producers = Producers(settings)

    @property
    def configured(self) -> bool:
        """Whether a Kafka is known."""
        return self._producers.configured

    async def take(
        self, texts: Sequence[bytes], may: Sequence[str], correlation_id: str
    ) -> list[Ingested]:
        """Send what is good; `may`: prefixes of the types that this caller may send. Each record
        carries the request's `correlation_id`, under which the worker's log tells of it. Raises
        KafkaError when Kafka cannot be reached, and then nothing was sent."""
        results: list[Ingested] = []
        good: list[tuple[int, GoodLine]] = []
        for index, text in enumerate(texts):
            try:
                line = check_line(index + 1, text)
            except Malformed as error:
                results.append(
                    Ingested(index, "refused", str(error.code), error.path, error.message)
                )
                continue
            if line.type.startswith(tuple(may)):
                good.append((index, line))
            else:
                results.append(_not_allowed(index, line))
        if good:
            results += await self._sent(good, [*_HEADERS, header_of(correlation_id)])
        counts = Counter(each.status for each in results)
        log.info("events_ingested", extra={"correlation_id": correlation_id, **counts})
        return sorted(results, key=lambda each: each.index)

    async def close(self) -> None:
        """Send what is on its way, and close."""
        await self._producers.close()

    async def _sent(
        self, good: Sequence[tuple[int, GoodLine]], headers: Sequence[tuple[str, bytes]]
    ) -> list[Ingested]:
        """How each ended. Raises KafkaError when Kafka cannot be reached."""
        producer = await self._producers.current()
        futures: list[asyncio.Future[object]] = []
        failed: BaseException | None = None
        try:
            async with asyncio.timeout(ACKNOWLEDGED_SECONDS):
                for _, line in good:
                    futures.append(await self._send(producer, line, headers))
                await asyncio.wait(futures)
        except TimeoutError:  # what has not answered is unknown; the producer goes on with it
            pass
        except KafkaError as error:  # it takes no more: what it took has failed, or soon will
            failed = error
            if futures:
                await asyncio.wait(futures, timeout=ENDING_SECONDS)
        results = [_ended(index, future) for (index, _), future in zip(good, futures, strict=False)]
        reason = "no answer in time" if failed is None else type(failed).__name__
        results += [_unknown(index, reason) for index, _ in good[len(futures) :]]
        for future in futures:
            if future.done() and not future.cancelled():
                failed = failed or future.exception()
        if failed is not None:
            self._producers.broken(producer, failed)
        return results

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
    return _unknown(index, reason)


def _unknown(index: int, reason: str) -> Ingested:
    return Ingested(
        index,
        "unknown",
        "kafka_unavailable",
        "$",
        f"Kafka did not confirm it ({reason}): send it again, repeats do no harm.",
    )
