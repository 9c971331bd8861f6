"""Running totals of one process, for metrics and for measuring; reading them costs nothing."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct, field


class Clocked(Struct):
    """How often a step ran and how long in all. Steps of different calls overlap."""

    times: int = 0
    seconds: float = 0.0
    last_seconds: float = 0.0

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure a block, also one that raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.last_seconds = time.perf_counter() - start
            self.times += 1
            self.seconds += self.last_seconds


class Stats(Struct):
    """Of the one door. `decided_again`: batches decided again in part, under the lock;
    `unknown_redemptions`: purchases that named one that nobody knows."""

    batches: int = 0
    inputs: int = 0
    decided_again: int = 0
    unknown_redemptions: int = 0
    reading: Clocked = field(default_factory=Clocked)
    deciding: Clocked = field(default_factory=Clocked)
    locking: Clocked = field(default_factory=Clocked)
    numbering: Clocked = field(default_factory=Clocked)
    storing: Clocked = field(default_factory=Clocked)

    def count(self, inputs: int) -> None:
        """A batch is through."""
        self.batches += 1
        self.inputs += inputs
