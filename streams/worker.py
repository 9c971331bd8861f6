"""One worker process from start to stop: starts the parts and takes them apart in order.

A stop (SIGTERM, SIGINT, idle, or an error) finishes the batches in flight, tells Kafka how far they
went, and leaves the group; only then is the database closed. An error stops the worker with its
sentence: the supervisor restarts it, and it resumes at the stored offsets.
"""

import asyncio
import gc
import signal
import time
from collections.abc import Callable

import structlog
from aiokafka.errors import KafkaError
from msgspec import Struct

from ledger.application import Ledger
from ledger.errors import LedgerError, StartRefused, WorkerStopped
from ledger.settings import Settings
from schemas.fields import Instant
from streams.app import PointsApp, make_app
from streams.checks import check_program, check_shards, check_topics
from streams.delivery import FINISH_SECONDS, StreamDelivery
from streams.effects import EffectsPublisher
from streams.http import Probes
from streams.metrics import Metrics
from streams.pipeline import make_pipeline
from streams.progress import Progress, quietly
from streams.scheduler import Scheduler
from streams.watchdog import Watchdog

LOOK_SECONDS = 0.1
"""How often the worker looks whether it is idle, and tells the watchdog that it lives."""

APP_STOP_SECONDS = 20.0
"""What Faust may take to end its services, once the group is left."""

GC_THRESHOLDS = (100_000, 20, 100)
"""Allocations before Python looks for reference cycles. Deciding makes few cycles and many objects
that live long (accounts): with Python's 700 the search took 30 to 40 % of the worker's time (5.5 of
18 s for 100,000 purchases), with these 4 %, in the same 250 MB. What is no part of any cycle is
not looked at (`gc=False`): docs/decisions/0011-a-fast-append.md."""

log = structlog.get_logger(__name__)


class Options(Struct, frozen=True):
    """How one worker runs. `history`: the past is loaded (docs/domain.md, "Time").
    `until_idle_seconds`: stop once everything is read and nothing came for so long; None is for
    ever."""

    history: bool = False
    until_idle_seconds: float | None = None


def now() -> Instant:
    """The wall clock."""
    return time.time_ns() // 1_000


class Worker:
    """`run` is the whole life of it. `started` is told the port of the probes."""

    def __init__(
        self, settings: Settings, options: Options, started: Callable[[int], None]
    ) -> None:
        if settings.kafka_bootstrap is None:
            raise StartRefused(
                "No Kafka is set: run `points up`, or set POINTS_KAFKA_BOOTSTRAP.", "no_kafka"
            )
        self._bootstrap: str = settings.kafka_bootstrap
        self._settings = settings
        self._options = options
        self._started = started
        self._stop = asyncio.Event()
        self._error: LedgerError | None = None
        self._stopping = False
        self.metrics = Metrics()

    def stop(self) -> None:
        """Ask for a graceful stop."""
        self._stop.set()

    async def run(self) -> None:
        """Until stopped. Raises: StartRefused before anything was consumed; WorkerStopped and other
        LedgerErrors for what stopped it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        gc.set_threshold(*GC_THRESHOLDS)
        ledger = await Ledger.open(self._settings)
        try:
            await self._check(ledger)
            await self._consume(ledger)
        finally:
            await ledger.close()
        if self._error is not None:
            raise self._error

    async def _check(self, ledger: Ledger) -> None:
        identity = ledger.identity
        check_shards(identity.shards, self._settings.partitions)
        check_program(
            identity.currency, [program.form.currency for _, program in ledger.programs.versions]
        )
        described = await check_topics(self._bootstrap, self._settings.partitions)
        await ledger.claim_feed(described.cluster_id, self._settings.group)

    async def _consume(self, ledger: Ledger) -> None:
        settings = self._settings
        partitions, shards = settings.partitions, ledger.identity.shards
        delivery, effects = make_pipeline(
            ledger,
            settings,
            self._bootstrap,
            self.metrics,
            history=self._options.history,
            now=now,
            on_fail=self._fail,
        )
        app = make_app(settings, self._bootstrap, delivery)
        scheduler = Scheduler(
            ledger=ledger,
            shards=shards,
            stride=partitions,
            allowed_lateness=settings.allowed_lateness_seconds * 1_000_000,
            now=now,
            partitions=lambda: delivery.partitions,
            oldest_unread=delivery.oldest_unread,
            heard=delivery.heard,
            metrics=self.metrics,
            on_fail=self._fail,
        )
        watchdog = Watchdog(lambda: app.rebalancing_since)
        self.metrics.watch(
            lag=delivery.lag,
            waiting=delivery.room.waiting,
            stats=ledger.stats,
            cache=ledger.cache,
        )
        probes = Probes(self.metrics, lambda: self._not_ready(app, delivery))
        self._started(await probes.start(settings.http_host, settings.http_port))
        watchdog.start()
        progress = Progress(
            app,
            delivery,
            ledger,
            self.metrics,
            group=settings.group,
            look=lambda: check_topics(self._bootstrap, partitions),
        )
        telling = asyncio.create_task(progress.run())
        try:
            await effects.start()
            await app.start()
            if not self._options.history:
                scheduler.start()
            await self._until_stopped(app, delivery, effects, watchdog)
        except (KafkaError, OSError) as error:
            self._fail(_kafka_gone(error))
        finally:
            log.info("stopping", reason=str(self._error) if self._error else "asked")
            self._stopping = True
            watchdog.stopping()
            telling.cancel()
            reads = delivery.reads()
            # The partitions end within a bound of their own and raise nothing.
            positions, *_ = await asyncio.gather(
                delivery.revoked(),
                quietly("scheduler", scheduler.stop(FINISH_SECONDS)),
                quietly("effects", effects.stop(FINISH_SECONDS)),
            )
            await progress.tell(reads, positions)
            await quietly("leave_group", app.consumer.leave_group())
            await quietly("faust", asyncio.wait_for(app.stop(), APP_STOP_SECONDS))
            await quietly("probes", probes.stop())
            watchdog.stop()
            log.info("stopped")

    async def _until_stopped(
        self,
        app: PointsApp,
        delivery: StreamDelivery,
        effects: EffectsPublisher,
        watchdog: Watchdog,
    ) -> None:
        idle_since: float | None = None
        while not self._stop.is_set():
            watchdog.alive()
            if app.should_stop or app.crashed:
                self._fail(_kafka_gone(app.crash_reason))
                return
            if app.rebalancing_since is not None or not delivery.idle() or not effects.idle():
                idle_since = None
            elif idle_since is None:
                idle_since = time.monotonic()
            limit = self._options.until_idle_seconds
            if limit is not None and idle_since and time.monotonic() - idle_since >= limit:
                log.info("idle")
                return
            try:
                await asyncio.wait_for(self._stop.wait(), LOOK_SECONDS)
            except TimeoutError:
                continue

    def _fail(self, error: LedgerError) -> None:
        """The first error is the one that counts."""
        if self._error is None and not self._stopping:
            self._error = error
            log.error("worker_fails", code=error.code, message=error.message)
        self._stop.set()

    def _not_ready(self, app: PointsApp, delivery: StreamDelivery) -> str | None:
        if self._stopping or self._stop.is_set():
            return "the worker stops"
        if delivery.assignments == 0:
            return "no partitions were assigned yet"
        if app.rebalancing_since is not None:
            return "a rebalance is going on"
        return None


def _kafka_gone(reason: BaseException | None) -> WorkerStopped:
    return WorkerStopped(
        f"The worker lost Kafka ({reason!r}): see whether its brokers answer, then start the "
        "worker again; it resumes at the stored offsets.",
        "kafka_gone",
    )
