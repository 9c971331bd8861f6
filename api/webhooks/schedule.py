"""When a delivery is tried again, and when an endpoint counts as dead."""

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

RETRY_SECONDS = (
    5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200, 72_000, 86_400,
)  # fmt: skip
"""Pauses after the failed attempts of a delivery: from a restart to a long weekend, 71.7 hours in
all. After the last one the delivery has failed; it is kept and can be repeated by hand."""

JITTER = 0.2
"""Each pause is longer or shorter by up to this part, so that the deliveries of an outage do not
all come back at one moment."""

ASKED_SECONDS_MAX = 3_600
"""Longest pause that a receiver may ask for (Retry-After): more would only bring the end nearer at
which the delivery is given up."""

REST_SECONDS_MAX = 60
"""How long a receiver that asked for a pause gets nothing at all: after that other deliveries are
tried, and `resume` need not wait longer."""

ASKING = (429, 503)
"""The statuses with which Retry-After is heeded."""

DEAD_SECONDS = 36 * 3_600
"""An endpoint that took nothing for so long, while it was tried, is paused. Its first delivery has
then failed for 38 hours at least and has attempts left, so that nothing is given up before."""

FORMER_SECRET_SECONDS = 86_400
"""How long the secret before the last rotation signs too: a day to bring the new one out."""

DONE_KEEP_DAYS = 7
"""Days for which deliveries that were taken are kept to be looked at and repeated."""

FAILED_KEEP_DAYS = 30
"""Days for which deliveries that were given up are kept."""


def pause_after(failed: int, asked: float = 0.0) -> float | None:
    """Seconds until the next attempt after `failed` attempts, not before those that the receiver
    asked for; None: there is none."""
    if failed > len(RETRY_SECONDS):
        return None
    pause = RETRY_SECONDS[failed - 1] * random.uniform(1 - JITTER, 1 + JITTER)
    return max(pause, asked * random.uniform(1, 1 + JITTER))


def asked_seconds(status: int, retry_after: str | None, now: datetime) -> float:
    """What a Retry-After header (RFC 9110: seconds, or a date) asks for, at most ASKED_SECONDS_MAX;
    0 for other statuses and for what cannot be read."""
    if status not in ASKING or retry_after is None:
        return 0.0
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(min(int(text[:10]), ASKED_SECONDS_MAX))
    try:
        moment = parsedate_to_datetime(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return min(max((moment - now).total_seconds(), 0.0), float(ASKED_SECONDS_MAX))
    except (ValueError, OverflowError):
        return 0.0
