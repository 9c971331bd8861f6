"""Generated histories of accounts, as the log would hold them, without a database."""

from random import Random
from typing import Any

from audit.member_log import LedgerFacts, Recorded
from ledger.core.calendar import DAY_US
from schemas.fields import Instant
from tests.core.account_tools import Member
from tests.core.test_two_account_histories import Town

LEDGER = LedgerFacts("test", "RUB", "Europe/Moscow", 4)

HORIZON_US = 200 * DAY_US
"""After the last step: by then everything that can has expired."""


def log_of(member: Member, recorded_at: Instant = 0) -> list[Recorded]:
    """The member's events as if they stood alone in a shard."""
    return [Recorded(0, n, recorded_at + n, event) for n, event in enumerate(member.events, 1)]


def town_of(seed: int, steps: int = 45) -> Town:
    """Four members who buy, return, spend, give points and are merged."""
    town = Town(seed, ticks=bool(seed % 3))
    for _ in range(steps):
        town.step()
    return town


def moments_of(town: Town, count: int, seed: int) -> list[Instant]:
    """Moments of its time: any, and those at which something happened, and right before."""
    random = Random(seed)
    events: list[Any] = [event for member in town.members.values() for event in member.events]
    edges = [p.effective_at for event in events for p in event.postings] or [town.now]
    found = [random.choice(edges) + offset for _ in range(count) for offset in (-1, 0)]
    return [*found, town.now, town.now + HORIZON_US]
