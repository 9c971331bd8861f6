"""When a delivery is tried again, and when an endpoint counts as dead."""

import random

RETRY_SECONDS = (
    5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 72_000, 86_400,
)  # fmt: skip
"""Pauses after the failed attempts of a delivery: from a restart to a long weekend, 71.7 hours in
all. After the last one the delivery has failed; it is kept and can be repeated by hand."""

JITTER = 0.2
"""Each pause is longer or shorter by up to this part, so that the deliveries of an outage do not
all come back at one moment."""

DEAD_SECONDS = 36 * 3_600
"""An endpoint that took nothing for so long, while it was tried, is paused. Its first delivery has
then failed for 38 hours at least and has attempts left, so that nothing is given up before."""

FORMER_SECRET_SECONDS = 86_400
"""How long the secret before the last rotation signs too: a day to bring the new one out."""

DONE_KEEP_DAYS = 7
"""Days for which deliveries that were taken are kept to be looked at and repeated."""

FAILED_KEEP_DAYS = 30
"""Days for which deliveries that were given up are kept."""


def pause_after(failed: int) -> float | None:
    """Seconds until the next attempt after `failed` attempts; None: there is none."""
    if failed > len(RETRY_SECONDS):
        return None
    return RETRY_SECONDS[failed - 1] * random.uniform(1 - JITTER, 1 + JITTER)
