"""The way of a record through a worker, put together: delivered, decoded, appended, and what that
earns published. The one place that knows all of these parts; they know only what they are given.
"""

from collections.abc import Callable

from ledger.application import Ledger
from ledger.errors import LedgerError
from ledger.settings import Settings
from schemas.fields import Instant
from streams.append import LedgerAppender
from streams.delivery import StreamDelivery
from streams.effects import PAUSE_HISTORY_SECONDS, PAUSE_SECONDS, EffectsPublisher
from streams.intake import Intake
from streams.metrics import Metrics
from streams.strays import Strays
from streams.together import Together


def make_pipeline(
    ledger: Ledger,
    settings: Settings,
    bootstrap: str,
    metrics: Metrics,
    *,
    history: bool,
    now: Callable[[], Instant],
    on_fail: Callable[[LedgerError], None],
) -> tuple[StreamDelivery, EffectsPublisher]:
    """What reads and appends, and what publishes the effects of the shards read here; neither is
    started. `history`: as in `streams.worker.Options`."""
    effects = EffectsPublisher(
        log=ledger,
        bootstrap=bootstrap,
        shards=lambda: [
            shard
            for partition in delivery.partitions
            for shard in range(partition, ledger.identity.shards, settings.partitions)
        ],
        metrics=metrics,
        on_fail=on_fail,
        pause_seconds=PAUSE_HISTORY_SECONDS if history else PAUSE_SECONDS,
        outcomes=ledger,
    )
    intake = Intake(
        partitions=settings.partitions,
        max_clock_skew=settings.max_clock_skew_seconds * 1_000_000,
        history=history,
        now=now,
        strays=Strays(lambda topic, reason: metrics.misrouted.labels(topic, reason).inc()),
    )
    appender = LedgerAppender(ledger, metrics, effects.committed, commanded=effects.commanded)
    delivery = StreamDelivery(
        group=settings.group,
        bootstrap=bootstrap,
        partitions=settings.partitions,
        positions=ledger,
        decode=intake.feed,
        appender=Together(appender),
        metrics=metrics,
        max_idle_seconds=None if history else settings.max_task_idle_ms / 1_000,
        on_fail=on_fail,
    )
    return delivery, effects
