"""When worker processes have begun: each has partitions, and together they have all of them."""

import contextlib
import time
import urllib.error
import urllib.request
from collections.abc import Sequence

from demo.children import Child
from ledger.errors import LedgerError
from ledger.settings import Settings

PARTITIONS = Settings().partitions
"""Of the topics, unless a measurement says otherwise."""

READY_SECONDS = 180.0
"""Processes that have not joined their group by then never will."""

LOOK_SECONDS = 0.1
"""Between two looks: each is two small requests to each worker."""


def until_ready(workers: Sequence[Child], partitions: int = PARTITIONS) -> float:
    """Wait until they share all partitions; when that was seen. Raises LedgerError."""
    deadline = time.monotonic() + READY_SECONDS
    while True:
        shares = [_share(worker) for worker in workers]
        if all(shares) and sum(shares) == partitions:
            return time.time()
        for worker in workers:
            worker.check()
        if time.monotonic() > deadline:
            raise LedgerError(
                f"The workers did not share the partitions within {READY_SECONDS:.0f} s: the"
                " machine is too busy.",
                "not_ready",
            )
        time.sleep(LOOK_SECONDS)


def _share(worker: Child) -> int:
    """The partitions that a worker has; 0 when it does not tell yet."""
    said = worker.log.read_text(errors="replace").partition("worker: http")[2]
    address, ended, _ = said.partition("/metrics")
    if not ended:
        return 0
    with contextlib.suppress(urllib.error.URLError, OSError):
        with urllib.request.urlopen(f"http{address}/readyz", timeout=5):
            pass  # refuses while the group is rebalanced
        with urllib.request.urlopen(f"http{address}/metrics", timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if line.startswith("points_partitions_assigned "):
                    return int(float(line.split()[1]))
    return 0
