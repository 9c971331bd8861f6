"""What the deliverer of webhooks counts, in a Prometheus registry of its own.

Nothing is labelled by subscription: who is behind or paused, GET /v1/webhooks tells.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15)
"""Seconds of an attempt: 15 is the most."""


class WebhookMetrics:
    """The deliverer's metrics."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry = registry or CollectorRegistry()
        self.events = Counter(
            "points_webhook_events",
            "Events of the log looked at for webhooks.",
            registry=self.registry,
        )
        self.made = Counter(
            "points_webhook_deliveries",
            "Deliveries made from the log.",
            registry=self.registry,
        )
        self.attempts = Counter(
            "points_webhook_attempts",
            "Attempts to deliver, by how they ended.",
            ("outcome",),
            registry=self.registry,
        )
        self.seconds = Histogram(
            "points_webhook_attempt_seconds",
            "Seconds of an attempt, from resolving the name to the first kilobyte of the answer.",
            buckets=SECONDS_BUCKETS,
            registry=self.registry,
        )
        self.paused = Counter(
            "points_webhook_pauses",
            "Webhooks that were paused because of their endpoint: it is gone or dead.",
            ("because",),
            registry=self.registry,
        )
        self.interruptions = Counter(
            "points_webhook_interruptions",
            "Times that the deliverer lost the database and began again.",
            registry=self.registry,
        )
        self.webhooks = Gauge(
            "points_webhooks", "Webhooks by status.", ("status",), registry=self.registry
        )
        self.waiting = Gauge(
            "points_webhook_waiting_deliveries",
            "Deliveries made and not yet taken, of all webhooks.",
            registry=self.registry,
        )
        self.behind = Gauge(
            "points_webhook_behind_events",
            "Events of the log not looked at yet, of the active webhook that is furthest behind.",
            registry=self.registry,
        )
        for outcome in ("done", "failed", "gone"):
            self.attempts.labels(outcome)
        for because in ("gone", "dead"):
            self.paused.labels(because)

    def text(self) -> bytes:
        """The exposition that Prometheus scrapes."""
        return generate_latest(self.registry)
