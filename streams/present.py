"""Are all topics there when partitions are assigned?

A broker that has just come back may not know of a topic yet that is there all the same: one answer
proves nothing, and stopping for it would cost another rebalance. So it is asked again, and only a
topic that stays unknown stops the worker.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

import structlog

from ledger.errors import StartRefused
from streams.described import Described
from streams.guard import GONE_SECONDS
from streams.topics import check_partitions

PAUSE_SECONDS = 0.5
"""Between two looks, each a connection of its own: a rebalance is at most that much longer."""

log = structlog.get_logger(__name__)


async def all_present(look: Callable[[], Awaitable[Described]], partitions: int) -> Described:
    """What `look` tells once it tells of every topic; within GONE_SECONDS of the first time it does
    not, as under a worker. Raises: what it raises; StartRefused (topics_missing,
    topic_partitions_differ)."""
    missing_since: float | None = None
    while True:
        described = await look()
        try:
            check_partitions(described.partitions(), partitions)
        except StartRefused as error:
            now = time.monotonic()
            if missing_since is None:
                missing_since = now
            # A wrong number of partitions was told by a broker that knows the topic.
            if error.code != "topics_missing" or now - missing_since >= GONE_SECONDS:
                raise
            log.info("topics_not_told", error=error.message)
        else:
            return described
        await asyncio.sleep(PAUSE_SECONDS)
