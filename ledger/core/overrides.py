"""Tiers set by hand: one that holds over the qualified tier until its end.

While it holds nothing changes the tier, and nothing is held back for after it: at its end the tier
is what is qualified then, by the amounts. A tier set by hand is never kept by a grace. Stretches
that are over are remembered as long as tiers are, for late inputs.
"""

from typing import TYPE_CHECKING

from ledger.core.lots import NEVER
from ledger.core.records import Override
from ledger.core.rules.tiers import tier_in
from schemas.fields import Instant

if TYPE_CHECKING:
    from ledger.core.account import Account
    from ledger.core.tiers import Tiers


def override_at(account: "Account", at: Instant) -> Override | None:
    """The tier set by hand that holds at `at`."""
    for override in account.overrides:
        if override.since <= at < override.until:
            return override
    return None


def ends_at(account: "Account", at: Instant) -> bool:
    """Whether a tier set by hand ends at this instant."""
    return any(override.until == at for override in account.overrides)


def next_edge(account: "Account", after: Instant) -> Instant:
    """When one next begins or ends; NEVER when none does."""
    edges = [edge for each in account.overrides for edge in (each.since, each.until)]
    return min((edge for edge in edges if edge > after), default=NEVER)


def laid_over(overrides: tuple[Override, ...], tiers: "Tiers", now: Instant) -> "Tiers":
    """Tiers as qualified up to `now`, with those set by hand over them."""
    for override in overrides:
        since, until = override.since, override.until
        following = tier_in(tiers, until)
        before = tuple(change for change in tiers if change[0] < since)
        after = tuple(change for change in tiers if change[0] >= until)
        if until <= now and not (after and after[0][0] == until):
            after = ((until, following), *after)
        tiers = (*before, (since, override.tier), *after)
    return tiers


def replaced(overrides: tuple[Override, ...], new: Override) -> tuple[Override, ...]:
    """The overrides with a new one, which ends those that hold in it or after it."""
    kept = []
    for one in overrides:
        if one.since < new.since:
            until = min(one.until, new.since)
            kept.append(Override(one.tier, one.since, until))
    return (*kept, new)


def forget_overrides(account: "Account", before: Instant) -> None:
    """Drop those that ended before `before`."""
    if account.overrides[0].until < before:
        account.overrides = tuple(one for one in account.overrides if one.until >= before)
