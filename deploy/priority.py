"""Who goes first on the machine's processors: the process for whose answer a customer waits.

What comes by Kafka waits some hundred milliseconds anyway; a till's question does not. Where the
processors have time for all, nobody notices.
"""

import contextlib
import os
from pathlib import Path

BEHIND = 10
"""How much nicer it is to the others: it has a tenth of their time, where there is not enough."""

NICEST = 19
"""More there is not."""


def give_way(pid: int) -> None:
    """Let a process that has just been started give way to others. One that has ended already is
    left alone."""
    with contextlib.suppress(ProcessLookupError):
        before = os.getpriority(os.PRIO_PROCESS, pid)
        os.setpriority(os.PRIO_PROCESS, pid, min(before + BEHIND, NICEST))
    # Where Linux shares the time by session first ("autogroup"), niceness counts only within one.
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(BEHIND))
