"""The effects publisher: what a decision asks of another account, sent to the topic `effects`.

Reads the effects of this worker's shards by position, in the log's order, and moves a shard's
cursor only after Kafka has them: at least once on the wire, once in effect (the target dedupes by
the id shard:position:n). So it also publishes what earlier workers left. Woken by this worker's own
commits, and by a poll for those of tills and of workers that died.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import msgspec
import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ledger.core.calendar import format_instant
from ledger.crash import crash_point
from ledger.errors import LedgerError, WorkerStopped
from schemas.decisions import Effect
from schemas.inputs import RewardRevoked
from schemas.routing import TYPE_NAMES
from streams.append import is_transient
from streams.command_outcomes import OUTCOMES_AT_ONCE, OutcomesLog, publish_outcomes
from streams.metrics import Metrics
from streams.topics import EFFECTS

EFFECTS_AT_ONCE = 500
"""Effects read and awaited together: as many as a batch of purchases can have."""

PAUSE_SECONDS = 0.05
"""Between rounds when commits come one after the other: a reward may be that late."""

PAUSE_HISTORY_SECONDS = 0.5
"""The same while a history is loaded, when every round would look at every shard."""

POLL_SECONDS = 1.0
"""Longest time until what others committed is looked for: one small query for each shard."""

GIVE_UP_SECONDS = 600.0
"""After so long without one good round the worker stops, so that someone looks."""

REVOKE = TYPE_NAMES[RewardRevoked]
"""The type of an effect that takes back what an earlier one gave."""

SOURCE = "points-ledger"
"""The CloudEvents source of effects."""

log = structlog.get_logger(__name__)

Pending = tuple[int, int, int, Effect]


class EffectsLog(Protocol):
    """Where effects come from (`ledger.application.Ledger`)."""

    async def pending_effects(self, shard: int, limit: int) -> Sequence[Pending]:
        """(shard, position, n, effect) after the shard's cursor, whole positions, in order."""

    async def mark_effects_published(self, shard: int, position: int) -> None:
        """Move the shard's cursor up to `position`."""


def encode_effect(shard: int, position: int, n: int, effect: Effect) -> bytes:
    """The CloudEvent of an effect, structured mode."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": f"{shard}:{position}:{n}",
            "source": SOURCE,
            "type": effect.type,
            "time": format_instant(effect.occurred_at),
            "subject": effect.target,
            "data": effect.data,
        }
    )


class EffectsPublisher:
    """One per worker. `shards`: those that this worker looks after now. `outcomes`: where it finds
    how commands ended, which it tells their senders too."""

    def __init__(
        self,
        *,
        log: EffectsLog,
        bootstrap: str,
        shards: Callable[[], Iterable[int]],
        metrics: Metrics,
        on_fail: Callable[[LedgerError], None],
        pause_seconds: float = PAUSE_SECONDS,
        outcomes: OutcomesLog | None = None,
    ) -> None:
        self._log = log
        self._outcomes = outcomes
        self._commanded = False
        self._pause_seconds = pause_seconds
        self._shards = shards
        self._metrics = metrics
        self._on_fail = on_fail
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, linger_ms=5
        )
        self._changed: set[int] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._nothing_since: float | None = None
        self._commits = 0

    async def start(self) -> None:
        """Connect and begin."""
        await self._producer.start()
        self._task = asyncio.create_task(self._run(), name="effects")

    async def stop(self, grace_seconds: float) -> None:
        """Finish the round in hand, at most for the grace."""
        if self._task is not None:
            task, self._task = self._task, None
            self._wake.set()
            await asyncio.wait({task}, timeout=grace_seconds)
            task.cancel()
        await self._producer.stop()

    def committed(self, shards: Iterable[int]) -> None:
        """This worker appended; to these shards events with effects. The others are not looked at
        before the next poll: asking each after each append took a tenth of a processor at 1,000
        purchases a second."""
        self._changed.update(shards)
        self._commits += 1
        self._nothing_since = None
        self._wake.set()

    def commanded(self) -> None:
        """This worker appended commands."""
        self._commanded = True
        self._commits += 1
        self._nothing_since = None
        self._wake.set()

    def idle(self) -> bool:
        """Whether a look at all shards since the last commit found nothing to publish."""
        return self._nothing_since is not None

    async def _run(self) -> None:
        good_at = time.monotonic()
        polled_at = 0.0
        while self._task is not None:
            all_shards = time.monotonic() - polled_at >= POLL_SECONDS
            shards, self._changed = self._changed, set()
            commits = self._commits
            try:
                began = time.monotonic()
                published = await self.publish(self._shards() if all_shards else shards)
                published += await self._tell(all_shards)
                good_at = time.monotonic()
                if all_shards:
                    polled_at = good_at
                    # A commit during the look may have put effects where it was over already: also
                    # one that told of none, which tells only of the shards of its inputs.
                    if not published and self._commits == commits:
                        self._nothing_since = began
            except Exception as error:
                self._changed |= shards
                self._metrics.effect_failures.inc()
                log.warning("effects_not_published", error=repr(error))
                if not _may_pass(error) or time.monotonic() - good_at > GIVE_UP_SECONDS:
                    self._on_fail(
                        WorkerStopped(
                            f"Effects could not be published ({error!r}): see whether Kafka and "
                            "PostgreSQL answer, then start the worker again; nothing is lost.",
                            "effects_stuck",
                        )
                    )
                    return
            await asyncio.sleep(self._pause_seconds)
            await self._wait_for_commit()

    async def _wait_for_commit(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), POLL_SECONDS)
        except TimeoutError:
            return
        finally:
            self._wake.clear()

    async def publish(self, shards: Iterable[int]) -> int:
        """Publish all that is pending of these shards; how many effects that was."""
        published = 0
        for shard in sorted(shards):
            while pending := await self._log.pending_effects(shard, EFFECTS_AT_ONCE):
                crash_point("effects.before_produce")
                for step in steps(pending):
                    await self._produce(step)
                crash_point("effects.after_produce")
                await self._log.mark_effects_published(shard, pending[-1][1])
                crash_point("effects.after_cursor")
                self._metrics.effects.inc(len(pending))
                published += len(pending)
        return published

    async def _tell(self, all_shards: bool) -> int:
        """Tell how commands ended: this worker's at once, what others left with the next poll."""
        if self._outcomes is None or not (all_shards or self._commanded):
            return 0
        self._commanded = False
        try:
            told = await publish_outcomes(self._outcomes, self._producer, self._shards())
        except BaseException:
            self._commanded = True
            raise
        self._metrics.command_outcomes.inc(told)
        if told >= OUTCOMES_AT_ONCE:  # there may be more: with the next round, after the effects
            self._commanded = True
            self._wake.set()
        return told

    async def _produce(self, effects: Sequence[Pending]) -> None:
        """Send these and wait until Kafka has them all."""
        sent = [
            await self._producer.send(
                EFFECTS, encode_effect(shard, position, n, effect), key=effect.target.encode()
            )
            for shard, position, n, effect in effects
        ]
        crash_point("effects.after_send")
        await asyncio.gather(*sent)


def steps(pending: Sequence[Pending]) -> Iterator[Sequence[Pending]]:
    """The effects in their order, cut before each that takes back what one of the same step may
    have given to its target.

    Of effects that are sent together Kafka may have lost the first and kept the second. Sent again,
    they would be there as taken back, given, taken back: the first finds nothing to take, the last
    is dropped as known, and the reward stays.
    """
    start = 0
    targets: set[str] = set()
    for index, (_, _, _, effect) in enumerate(pending):
        if effect.type == REVOKE and effect.target in targets:
            yield pending[start:index]
            start = index
            targets.clear()
        targets.add(effect.target)
    yield pending[start:]


def _may_pass(error: BaseException) -> bool:
    return is_transient(error) or isinstance(error, KafkaError)
