"""Records that their producer put elsewhere: right all the same, but slow and perhaps out of order.

A record is decided by its subject, whatever its key and partition are. Each stray is counted, and
the log tells of one now and then, so that somebody puts the producer right. Never raises, and never
keeps a record from being decided.
"""

import time
from collections.abc import Callable
from typing import Literal

import structlog

from streams.chunks import Record

Reason = Literal["no_key", "other_key", "other_partitioner"]

LOG_SECONDS = 60.0
"""Between two lines about one topic and reason: a till that keys wrongly does so in each record."""

log = structlog.get_logger(__name__)


def why(key: bytes | None, routing_key: str, partition: int, home: int) -> Reason | None:
    """What is wrong with where a record lies; None if nothing is. `home`: the partition of its
    routing key (`schemas.routing.key_of`)."""
    if key is None:
        return "no_key"
    if key != routing_key.encode():
        return "other_key"
    return None if partition == home else "other_partitioner"


class Strays:
    """`count` is told the topic and the reason of each stray."""

    def __init__(
        self,
        count: Callable[[str, Reason], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._clock = clock
        self._told_at: dict[tuple[str, Reason], float] = {}
        self._untold: dict[tuple[str, Reason], int] = {}

    def seen(self, record: Record, reason: Reason) -> None:
        """A stray record."""
        self._count(record.topic, reason)
        place = (record.topic, reason)
        records = self._untold[place] = self._untold.get(place, 0) + 1
        now = self._clock()
        if now - self._told_at.get(place, -LOG_SECONDS) < LOG_SECONDS:
            return
        self._told_at[place] = now
        self._untold[place] = 0
        log.warning(
            "records_misrouted",
            topic=record.topic,
            reason=reason,
            records=records,
            partition=record.partition,
            offset=record.offset,
            to_do="the producer needs partitioner=murmur2_random and the subject as key",
        )
