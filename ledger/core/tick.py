"""Settling an account: what fell due until a moment, decided and applied as one event."""

from ledger.core.account import Account
from ledger.core.fold import evolve
from ledger.core.program.timeline import Timeline
from ledger.core.settle import settle
from schemas.decisions import AccountEvent
from schemas.fields import Instant


def decide_tick(account: Account, until: Instant, programs: Timeline) -> list[AccountEvent]:
    """Settle the account up to `until`: one AccountSettled, applied, or nothing."""
    settled = settle(account, until, programs)
    if settled is None:
        return []
    evolve(account, settled)
    return [settled]
