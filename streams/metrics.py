"""What the worker counts and measures, in a Prometheus registry of its own.

Names are part of the interface (dashboards and alerts use them). Nothing is labelled by member or
by anything else without a small bound.
"""

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ledger.cache import AccountCache
from ledger.received import Outcome, Received, source_of
from ledger.stats import Stats

RECORD_BUCKETS = (1, 2, 5, 10, 20, 50, 100, 200, 350, 500)
"""Records of a chunk or a batch: 500 is the most."""

SECONDS_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
"""Seconds of an append: 0.02 to 0.1 is normal, from 1 on someone waits for a lock."""


class Metrics:
    """The worker's metrics. `lag` and `ready` are asked for when they are scraped."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._inputs = Counter(
            "points_inputs",
            "Inputs by source (topic, or direct) and outcome.",
            ("source", "outcome"),
            registry=self.registry,
        )
        self._dead = Counter(
            "points_dead_letters",
            "Dead letters written, by source and code.",
            ("source", "code"),
            registry=self.registry,
        )
        self._refusals = Counter(
            "points_refusals",
            "Inputs refused for a business reason, by source and code.",
            ("source", "code"),
            registry=self.registry,
        )
        self.misrouted = Counter(
            "points_misrouted",
            "Records without key, with another key than their subject's, or on another partition: "
            "the producer needs partitioner=murmur2_random and the member_id as key.",
            ("topic", "reason"),
            registry=self.registry,
        )
        self.chunk_records = Histogram(
            "points_chunk_records",
            "Records of a chunk as delivered.",
            buckets=RECORD_BUCKETS,
            registry=self.registry,
        )
        self._batch_records = Histogram(
            "points_batch_records",
            "Inputs of an append.",
            buckets=RECORD_BUCKETS,
            registry=self.registry,
        )
        self._handle_seconds = Histogram(
            "points_handle_seconds",
            "Seconds from a batch's start to its commit: deciding, appending, and retries.",
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.retries = Counter(
            "points_append_retries",
            "Appends tried again after a transient database error.",
            registry=self.registry,
        )
        self.rebalances = Counter(
            "points_rebalances", "Assignments of partitions.", registry=self.registry
        )
        self.commit_failures = Counter(
            "points_group_commit_failures",
            "Group offsets that could not be told to Kafka (lag tools only; harmless).",
            registry=self.registry,
        )
        self.effects = Counter(
            "points_effects_published",
            "Effects published to other accounts.",
            registry=self.registry,
        )
        self.effect_failures = Counter(
            "points_effect_failures",
            "Rounds of the effects publisher that failed and are tried again.",
            registry=self.registry,
        )
        self.command_outcomes = Counter(
            "points_command_outcomes_published",
            "Outcomes of commands published to their senders.",
            registry=self.registry,
        )
        self.ticks = Counter(
            "points_ticks", "Accounts settled by the scheduler.", registry=self.registry
        )
        self.tick_failures = Counter(
            "points_tick_failures",
            "Rounds of the scheduler that failed and are tried again.",
            registry=self.registry,
        )
        self.watermark = Gauge(
            "points_watermark_seconds",
            "Unix time up to which the scheduler settles, the lowest of this worker's shards.",
            registry=self.registry,
        )
        self.partitions = Gauge(
            "points_partitions_assigned",
            "Partition numbers that this worker reads.",
            registry=self.registry,
        )

    def batch(self, records: int, seconds: float) -> None:
        """An append of `records` inputs took `seconds`."""
        self._batch_records.observe(records)
        self._handle_seconds.observe(seconds)

    def outcomes(self, batch: Sequence[Received], outcomes: Sequence[Outcome]) -> None:
        """How the inputs of a batch ended."""
        tally = Tally(
            (source_of(received), outcome.kind)
            for received, outcome in zip(batch, outcomes, strict=True)
        )
        for (source, kind), count in tally.items():
            self._inputs.labels(source, kind).inc(count)
            if kind in ("dead_lettered", "refused"):
                counter = self._dead if kind == "dead_lettered" else self._refusals
                for received, outcome in zip(batch, outcomes, strict=True):
                    if outcome.kind == kind and source_of(received) == source:
                        counter.labels(source, outcome.code or "").inc()

    def watch(
        self,
        *,
        lag: Callable[[], Mapping[str, int]],
        waiting: Callable[[], int],
        stats: Stats,
        cache: AccountCache,
    ) -> None:
        """Show what others know: lag by topic, records waiting, the ledger's own totals."""
        self.registry.register(_Asked(lag, waiting))
        self.registry.register(_OfLedger(stats, cache))

    def text(self) -> bytes:
        """The exposition that Prometheus scrapes."""
        return generate_latest(self.registry)


class _Asked(Collector):
    """Values that are read when they are scraped."""

    def __init__(self, lag: Callable[[], Mapping[str, int]], waiting: Callable[[], int]) -> None:
        self._lag = lag
        self._waiting = waiting

    def collect(self) -> Iterable[Metric]:
        """Called by the registry."""
        lag = GaugeMetricFamily(
            "points_lag_records",
            "Records of this worker's partitions that are not appended yet.",
            labels=("topic",),
        )
        for topic, records in self._lag().items():
            lag.add_metric((topic,), records)
        yield lag
        yield GaugeMetricFamily(
            "points_queued_records", "Records fetched and not appended yet.", self._waiting()
        )


class _OfLedger(Collector):
    """The running totals of the ledger's door and of its cache of accounts."""

    def __init__(self, stats: Stats, cache: AccountCache) -> None:
        self._stats = stats
        self._cache = cache

    def collect(self) -> Iterable[Metric]:
        """Called by the registry."""
        stats, cache = self._stats, self._cache
        seconds = CounterMetricFamily(
            "points_append_step_seconds",
            "Seconds spent in each step of an append; steps of different appends overlap.",
            labels=("step",),
        )
        times = CounterMetricFamily(
            "points_append_steps", "How often each step of an append ran.", labels=("step",)
        )
        for step in ("reading", "deciding", "locking", "numbering", "storing"):
            clocked = getattr(stats, step)
            seconds.add_metric((step,), clocked.seconds)
            times.add_metric((step,), clocked.times)
        yield seconds
        yield times
        yield CounterMetricFamily(
            "points_decided_again",
            "Appends of which a part was decided again because a shard had moved.",
            stats.decided_again,
        )
        yield CounterMetricFamily(
            "points_unknown_redemptions",
            "Purchases recorded that named a redemption that is not known.",
            stats.unknown_redemptions,
        )
        lookups = CounterMetricFamily(
            "points_cache_lookups", "Accounts looked up in the cache.", labels=("result",)
        )
        lookups.add_metric(("hit",), cache.hits)
        lookups.add_metric(("miss",), cache.misses)
        yield lookups
        yield GaugeMetricFamily("points_cached_accounts", "Accounts in the cache.", len(cache))
        yield GaugeMetricFamily(
            "points_cached_bytes", "Memory of the cached accounts, by estimate.", cache.weight
        )
