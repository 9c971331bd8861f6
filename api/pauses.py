"""What of Python's own keeps callers waiting, and is kept short in the API's process."""

import gc
import sys

from projections.parallel import GC_THRESHOLDS

SWITCH_SECONDS = 0.0005
"""How long a thread that answers a long question may keep the loop, in which all others are
answered, from going on. Python's own 5 ms are as long as a till's whole question."""


def prefer_answers() -> None:
    """To be called once everything is imported and made: all that is never searched for cycles
    again, the rest as seldom as in the worker, and threads give way at once."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    sys.setswitchinterval(SWITCH_SECONDS)
