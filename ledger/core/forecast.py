"""What time alone will do to an account: the steps that settling yields if nothing more arrives.

Read models store these steps ahead, so that a balance at any moment is the step that contains it
and needs no clock when it is folded. Program versions already published for later are respected.
"""

from msgspec import Struct
from msgspec.structs import replace

from ledger.core.account import Account
from ledger.core.lots import NEVER
from ledger.core.program.timeline import Timeline
from ledger.core.settle import Settling
from ledger.core.tiers import next_boundary
from schemas.fields import Instant


class Step(Struct, frozen=True, array_like=True, gc=False):
    """From `at` until the next step. `available` is net of debt; `expired` is the total over the
    account's life."""

    at: Instant
    available: int
    pending: int
    reserved: int
    expired: int
    debt: int
    tier: str


def forecast(account: Account, programs: Timeline) -> list[Step]:
    """The account as it is (from `settled_to` on), then one step per moment that changes it."""
    boundary = next_boundary(account, account.tiers, account.settled_to, programs)
    settling = Settling(account, programs, boundary)
    steps = [_step(settling, account.settled_to)]
    while (moment := settling.next_moment()) < NEVER:
        settling.step(moment)
        step, last = _step(settling, moment), steps[-1]
        if replace(step, at=last.at) != last:
            steps.append(step)
    return steps


def _step(settling: Settling, at: Instant) -> Step:
    held = settling.held
    return Step(
        at,
        held.available - held.debt,
        held.pending,
        held.reserved,
        held.expired,
        held.debt,
        settling.tier,
    )
