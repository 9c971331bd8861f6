"""Tiers over a rolling window: the level of the days that count, kept for the grace after it fell.

All by the amounts as they are: a level is kept if the window had reached it at its end, at most a
grace ago; so a return takes away at once what it alone had reached, and a late purchase gives what
it would have given. Only `one_down` looks at the tier that was held.
"""

from typing import TYPE_CHECKING

from ledger.core.lots import NEVER
from ledger.core.overrides import ends_at
from ledger.core.program.compiled import Compiled
from ledger.core.program.rolling import Rolling
from ledger.core.rules.tiers import NO_TIER, better, one_below, tier_in, tier_level, tier_rank
from schemas.fields import Instant

if TYPE_CHECKING:
    from ledger.core.account import Account
    from ledger.core.tiers import Extra, Tiers

Days = list[tuple[Instant, int]]
"""(start of a local day, what counted in it), rising."""


def days_of(account: "Account", what: int, extra: "Extra | None" = None) -> Days:
    """What the account keeps of each day, `extra` included."""
    found = {day: counted[what] for day, counted in account.months.items()}
    if extra is not None and extra.counted[what]:
        found[extra.month] = found.get(extra.month, 0) + extra.counted[what]
    return sorted(found.items())


def rolling_tier(
    account: "Account", program: Compiled, at: Instant, held: "Tiers", extra: "Extra"
) -> str:
    """The tier at `at`. `held`: tier changes up to then. What a merge or a new version counts
    together may never have been held: where nothing more is counted, that is kept as well."""
    measure = program.measure
    assert measure is not None
    assert measure.rolling is not None
    rolling, days = measure.rolling, days_of(account, measure.what, extra)
    tier = tier_level(program, _within(days, rolling, at))
    if account.overrides and ends_at(account, at):
        return kept_level(program, rolling, days, at)
    before = held[-1][1] if held else NO_TIER
    rank = tier_rank(program, before)
    if rank <= tier_rank(program, tier):
        if any(extra.counted):
            return tier
        return kept_level(program, rolling, days, at)
    best = kept_level(program, rolling, days, at)
    if tier_rank(program, best) >= rank:
        return before if any(extra.counted) else best
    if not one_down(program):
        return best
    if min(extra.counted) < 0:
        had = kept_level(program, rolling, days_of(account, measure.what), at)
        if tier_rank(program, had) >= rank:
            return best  # only the return takes the tier away: it was never reached
    fell_at = _fell_into(account, program, held)
    if fell_at is not None and at < rolling.grace_ends(fell_at):
        return before
    return better(program, best, one_below(program, before))


def one_down(program: Compiled) -> bool:
    """Whether a tier falls one level at a time."""
    tiers = program.form.tiers
    return tiers is not None and tiers.downgrade.to == "one_down"


def _within(days: Days, rolling: Rolling, at: Instant) -> int:
    first = rolling.counted_from(at)
    return sum([counted for day, counted in days if first <= day <= at])


def kept_level(program: Compiled, rolling: Rolling, days: Days, at: Instant) -> str:
    """The best level that the window reaches at `at`, or reached when it ended a grace ago or
    less."""
    best = tier_level(program, _within(days, rolling, at))
    if rolling.grace is not None:
        for day, _ in days:
            end = rolling.leaves(day)
            if end <= at < rolling.grace_ends(end):
                best = better(program, best, tier_level(program, _within(days, rolling, end - 1)))
    return best


def _fell_into(account: "Account", program: Compiled, held: "Tiers") -> Instant | None:
    """Since when the tier held is what was left of a higher one; None where it is not, or where
    the higher one was set by hand."""
    since, tier = held[-1]
    for start, before in reversed(held):
        if before != tier:
            fell = tier_rank(program, before) > tier_rank(program, tier)
            return since if fell and not ends_at(account, since) else None
        since = start
    return None


def rolling_boundary(
    account: "Account", program: Compiled, held: "Tiers", after: Instant
) -> Instant:
    """The first moment later than `after` at which time alone ends the tier held; NEVER if none."""
    measure, rank = program.measure, tier_rank(program, held[-1][1] if held else NO_TIER)
    assert measure is not None
    assert measure.rolling is not None
    if not rank:
        return NEVER
    rolling = measure.rolling
    fell = _last_reached(days_of(account, measure.what), rolling, program.levels[rank - 1][0])
    end = after if fell is None else rolling.grace_ends(fell)
    fell_at = _fell_into(account, program, held) if one_down(program) else None
    if fell_at is not None:
        end = max(end, rolling.grace_ends(fell_at))
    return end if end > after else NEVER


def _last_reached(days: Days, rolling: Rolling, threshold: int) -> Instant | None:
    """Until when the window reaches the threshold for the last time if nothing more is bought."""
    left = 0
    for place in range(len(days) - 1, -1, -1):
        day, counted = days[place]
        left += counted
        end = rolling.leaves(day)
        if place and rolling.leaves(days[place - 1][0]) == end:
            continue  # they end together
        reached = left if end > days[-1][0] else _within(days, rolling, end - 1)
        if reached >= threshold:
            return end
    return None


def rolling_moments(
    account: "Account", rolling: Rolling, after: Instant, until: Instant
) -> set[Instant]:
    """The moments in (after, until] at which the window or a grace changes."""
    found: set[Instant] = set()
    for day in account.months:
        end = rolling.leaves(day)
        found.update((day, end, rolling.grace_ends(end)))
    return {moment for moment in found if after < moment <= until}


def raised(account: "Account", program: Compiled, at: Instant, extra: "Extra") -> "Tiers":
    """The tiers after a late purchase: from `at` on at least what the window reaches with it, and
    did not reach without it."""
    old, measure = account.tiers, program.measure
    assert measure is not None
    assert measure.rolling is not None
    rolling, what = measure.rolling, measure.what
    without, days = days_of(account, what), days_of(account, what, extra)
    ends = {rolling.leaves(extra.month), rolling.grace_ends(rolling.leaves(extra.month))}
    moments = rolling_moments(account, rolling, at, account.settled_to) | {at}
    moments |= {end for end in ends if at < end <= account.settled_to}
    new = [change for change in old if change[0] < at]
    for moment in sorted(moments | {m for m, _ in old if m > at}):
        tier = before = tier_in(old, moment)
        level = kept_level(program, rolling, days, moment)
        had = kept_level(program, rolling, without, moment)
        if tier_rank(program, level) > tier_rank(program, had):
            tier = better(program, before, level)
        new.append((moment, tier))
    return tuple(new)
