"""How often somebody may call: token buckets, in the memory of one process.

A bucket holds up to its burst and is refilled steadily. Several API processes give each caller that
many times the rate; behind them a shared store would cost every request a round trip.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

from msgspec import Struct

BURST_SECONDS = 2
"""A bucket holds what its rate gives in so many seconds: a till that comes back from an outage."""

BUCKETS_MAX = 10_000
"""Buckets kept by one process; those not used for longest leave first, and were full again by then
unless more callers than that are active within seconds."""


class Left(Struct, frozen=True):
    """What a bucket says to one call. `remaining`: whole calls left; `full_seconds`: until the
    bucket is full; `wait_seconds`: until the next call is taken, 0 when this one is."""

    allowed: bool
    burst: int
    window_seconds: int
    remaining: int
    full_seconds: int
    wait_seconds: int

    @property
    def headers(self) -> dict[str, str]:
        """`RateLimit-Policy` and `RateLimit` as the IETF draft has them (structured fields: quota
        and window; remaining and seconds until it is whole again), and Retry-After when refused."""
        told = {
            "RateLimit-Policy": f'"client";q={self.burst};w={self.window_seconds}',
            "RateLimit": f'"client";r={self.remaining};t={self.full_seconds}',
        }
        if not self.allowed:
            told["Retry-After"] = str(max(1, self.wait_seconds))
        return told


class _Bucket(Struct):
    tokens: float
    at: float


class Buckets:
    """The buckets of callers or of addresses, by name."""

    def __init__(
        self, entries_max: int = BUCKETS_MAX, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._entries_max = entries_max
        self._clock = clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, name: str, per_second: int, burst: int, *, cost: int = 1) -> Left:
        """Take a call from the bucket `name`. With `cost` 0 it is only asked whether one more would
        be taken."""
        now = self._clock()
        bucket = self._buckets.get(name)
        if bucket is None:
            bucket = self._buckets[name] = _Bucket(float(burst), now)
            if len(self._buckets) > self._entries_max:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(name)
            gained = max(0.0, now - bucket.at) * per_second
            bucket.tokens = min(float(burst), bucket.tokens + gained)
            bucket.at = now
        allowed = bucket.tokens >= 1
        if allowed:
            bucket.tokens -= cost
        return Left(
            allowed,
            burst,
            max(1, math.ceil(burst / per_second)),
            int(bucket.tokens),
            math.ceil((burst - bucket.tokens) / per_second),
            0 if allowed else math.ceil((1 - bucket.tokens) / per_second),
        )

    def __len__(self) -> int:
        return len(self._buckets)
