"""The watchdog: why it ends a process, and that it really does."""

import subprocess
import sys
from pathlib import Path

from streams.watchdog import (
    EXIT_STUCK,
    LOOP_SECONDS_MAX,
    REBALANCE_SECONDS_MAX,
    STOP_SECONDS_MAX,
    Watchdog,
)

HANGING = """
import time
from streams import watchdog
watchdog.STOP_SECONDS_MAX = watchdog.LOOK_SECONDS = 0.1
dog = watchdog.Watchdog(lambda: None)
dog.start()
dog.stopping()
time.sleep(600)
"""


def test_the_watchdog_knows_three_ways_to_hang() -> None:
    rebalancing: list[float | None] = [None]
    dog = Watchdog(lambda: rebalancing[0])
    dog.alive()
    start = dog._alive_at
    assert dog.reason(start + 1) is None
    assert "loop" in str(dog.reason(start + LOOP_SECONDS_MAX + 1))
    rebalancing[0] = start
    assert "rebalance" in str(dog.reason(start + REBALANCE_SECONDS_MAX + 1))
    dog.stopping()
    began = dog._stopping_since
    assert began is not None
    assert dog.reason(began + 1) is None
    assert "stopping" in str(dog.reason(began + STOP_SECONDS_MAX + 1))


def test_a_process_that_hangs_is_ended_though_nobody_reads_its_errors() -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", HANGING], stderr=subprocess.PIPE, cwd=root
    ) as process:
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(60) == EXIT_STUCK
