"""What an account earns: pure functions of a program version, a purchase or an activity, and the
standing.

Integers and exact ratios only; nothing here changes an account or reads a clock.
"""

from ledger.core.rules.activities import evaluate_activity
from ledger.core.rules.allocate import allocate
from ledger.core.rules.evaluate import Standing, evaluate, grant
from ledger.core.rules.tiers import better, tier_level, tier_rank

__all__ = [
    "Standing",
    "allocate",
    "better",
    "evaluate",
    "evaluate_activity",
    "grant",
    "tier_level",
    "tier_rank",
]
