"""Tells those who send commands by Kafka how each ended: the topic `command_outcomes`.

The rows are written by the append (`ledger.command_outcomes`); here they are produced, awaited, and
only then deleted: at least once on the wire, under one id for each command's record.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

from aiokafka import AIOKafkaProducer

from ledger.command_outcomes import Untold
from ledger.crash import crash_point
from streams.topics import COMMAND_OUTCOMES

OUTCOMES_AT_ONCE = 500
"""Outcomes read and awaited together: those of one batch."""


class OutcomesLog(Protocol):
    """Where outcomes come from (`ledger.application.Ledger`)."""

    async def pending_outcomes(self, shards: Sequence[int], limit: int) -> Sequence[Untold]:
        """What Kafka may not have yet of these shards, in order."""

    async def forget_outcomes(self, told: Sequence[Untold]) -> None:
        """Kafka has them."""


async def publish_outcomes(
    log: OutcomesLog, producer: AIOKafkaProducer, shards: Iterable[int]
) -> int:
    """Publish what is pending of these shards, at most `OUTCOMES_AT_ONCE`, so that whoever else
    uses the producer has a turn; how many outcomes that was."""
    asked = sorted(shards)
    pending = await log.pending_outcomes(asked, OUTCOMES_AT_ONCE) if asked else ()
    if not pending:
        return 0
    crash_point("outcomes.before_produce")
    sent = [await producer.send(COMMAND_OUTCOMES, one.event, key=one.key) for one in pending]
    crash_point("outcomes.after_send")
    await asyncio.gather(*sent)
    crash_point("outcomes.after_produce")
    await log.forget_outcomes(pending)
    crash_point("outcomes.after_forgotten")
    return len(pending)
