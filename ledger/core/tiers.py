"""Tiers of an account: the level that its amounts reach, and the moments at which time ends one.

The tier at a moment is the best of the level of the current period so far, the level of the period
before and, until the grace ends, the tier held when the period before ended. A tier once held is a
fact: nothing here changes what was recorded, except what a late input changes from its moment on.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

from ledger.core.lots import NEVER
from ledger.core.overrides import laid_over, next_edge, override_at
from ledger.core.program.compiled import Compiled
from ledger.core.program.timeline import Timeline
from ledger.core.program.window import Window
from ledger.core.rolling import raised, rolling_boundary, rolling_moments, rolling_tier
from ledger.core.rules.tiers import NO_TIER, better, one_below, tier_in, tier_level, tier_rank
from schemas.decisions import Award, TierChange
from schemas.fields import Instant

if TYPE_CHECKING:
    from ledger.core.account import Account

BOUNDARIES_MAX = 2_400
"""Most period boundaries looked at in one go: months and their graces over a century. An account
whose tier time alone does not end within them keeps it until something happens."""

Tiers = tuple[tuple[Instant, str], ...]
"""Tier changes, rising: (from, tier)."""

Counted = tuple[int, int, int]
"""What counts for tiers: minor units spent, points earned, purchases."""


class Extra(Struct, frozen=True, array_like=True, gc=False):
    """What the decision in hand adds to (or takes from) the amounts of one month."""

    month: Instant
    counted: Counted


NOTHING = Extra(0, (0, 0, 0))


def qualified(
    account: "Account", program: Compiled, at: Instant, held: Tiers, extra: Extra = NOTHING
) -> str:
    """The tier at `at` by the amounts as they are now, `extra` included. `held`: tier changes."""
    if account.overrides:
        by_hand = override_at(account, at)
        if by_hand is not None:
            return by_hand.tier
    measure = program.measure
    if measure is None or account.status == "merged":
        return NO_TIER  # what counted, and the tier held, count where the account went
    what = measure.what
    total = account.lifetime[what] + extra.counted[what]
    if measure.window is None and measure.rolling is None:
        return tier_level(program, total)
    if not held and total < program.levels[0][0]:
        return NO_TIER  # no period holds more than the lifetime: no month counts below 0
    if measure.window is None:
        return rolling_tier(account, program, at, held, extra)
    window = measure.window(at)
    now, last = _counted(account, what, window, extra)
    tier = tier_level(program, max(now, last))
    if held and held[0][0] < window.start:
        kept = tier_in(held, window.start - 1)
        if account.overrides and override_at(account, window.start - 1) is not None:
            before = measure.window(window.start - 1)
            kept = tier_level(program, max(_counted(account, what, before, extra)))
        if tier_rank(program, kept) > tier_rank(program, tier):
            if at < window.grace_ends:
                return kept
            tiers = program.form.tiers
            if tiers is not None and tiers.downgrade.to == "one_down":
                tier = better(program, tier, one_below(program, kept))
    return tier


def _counted(account: "Account", what: int, window: Window, extra: Extra) -> tuple[int, int]:
    """What counts in the window and in the one before it, `extra` included."""
    start, end, before = window.start, window.end, window.before
    now = last = 0
    for month, counted in (*account.months.items(), (extra.month, extra.counted)):
        if month >= start:
            if month < end:
                now += counted[what]
        elif month >= before:
            last += counted[what]
    return now, last


def next_boundary(account: "Account", held: Tiers, after: Instant, programs: Timeline) -> Instant:
    """The first moment later than `after` at which time or a program version may change the tier,
    the last of `held`; NEVER when there is none."""
    change = programs.next_change_after(after)
    moment = NEVER if change is None else change
    if account.overrides:
        edge = next_edge(account, after)
        if override_at(account, after) is not None:
            return edge
        moment = min(moment, edge)
    if not held or held[-1][1] == NO_TIER:
        return moment  # time alone raises nobody
    program = programs.at(after)
    measure = program.measure
    if measure is None:
        return moment
    if measure.window is None:
        if measure.rolling is None:
            return moment
        return min(moment, rolling_boundary(account, program, held, after))
    window = measure.window(after)
    if after < window.grace_ends:
        return min(moment, window.end, window.grace_ends)
    return min(moment, window.end)


def future_tiers(
    account: "Account", until: Instant, programs: Timeline, new_max: int = BOUNDARIES_MAX
) -> Tiers:
    """The tier changes up to `until` if nothing more arrives, at most `new_max` new ones."""
    tiers, at = account.tiers, account.settled_to
    if account.version == 0:
        return tiers
    for _ in range(BOUNDARIES_MAX):
        before = tiers[-1][1] if tiers else NO_TIER
        at = next_boundary(account, tiers, at, programs)
        if at > until or at == NEVER or len(tiers) >= len(account.tiers) + new_max:
            break
        tier = qualified(account, programs.at(at), at, tiers)
        if tier != before:
            tiers = (*tiers, (at, tier))
    return tiers


def next_tier_due(account: "Account", programs: Timeline) -> Instant:
    """When time alone changes the tier next; NEVER when it does not."""
    later = future_tiers(account, NEVER, programs, new_max=1)[len(account.tiers) :]
    return later[0][0] if later else NEVER


def requalify(
    account: "Account", programs: Timeline, at: Instant, extra: Extra
) -> tuple[TierChange, ...]:
    """The tier changes of a decision at `at` that counts `extra`, late or not."""
    program = programs.at(at)
    if program.measure is None:
        return ()
    if at >= account.settled_to:
        tier = qualified(account, program, at, account.tiers, extra)
        return () if tier == account.tier else (TierChange(at, account.tier, tier),)
    if min(extra.counted) < 0:
        tiers = _lowered(account, programs, at, extra)
    else:
        tiers = _raised(account, program, at, extra)
    if account.overrides:
        tiers = laid_over(account.overrides, tiers, account.settled_to)
    return rewritten(account.tiers, at, tiers)


def points_counted(
    account: "Account", programs: Timeline, at: Instant, awards: Iterable[Award]
) -> tuple[Instant | None, tuple[TierChange, ...]]:
    """What the awards of anything but a purchase count for tiers: the month in which they count,
    None when they do not, and the tier changes."""
    points = sum([award.points for award in awards if award.counts_for_tier])
    if not points:
        return None, ()
    month = programs.at(at).stretch(at).month
    return month, requalify(account, programs, at, Extra(month, (0, points, 0)))


def _raised(account: "Account", program: Compiled, at: Instant, extra: Extra) -> Tiers:
    """What a late purchase changes: at least the level that it reached, from `at` until what that
    period earned has run out; nothing when it reached none."""
    old, measure = account.tiers, program.measure
    assert measure is not None
    if measure.rolling is not None:
        return raised(account, program, at, extra)
    what = measure.what
    if measure.window is None:
        until, total = NEVER, account.lifetime[what]
    else:
        # What counts in this period keeps its tier through the next one and that one's grace.
        following = measure.window(measure.window(at).end)
        until = measure.window(following.end).grace_ends
        total, _ = _counted(account, what, measure.window(at), NOTHING)
    reached = tier_level(program, total + extra.counted[what])
    if tier_rank(program, reached) <= tier_rank(program, tier_level(program, total)):
        return old
    moments = sorted({at, until} | {m for m, _ in old if m > at})
    return tuple((m, tier) for m, tier in old if m < at) + tuple(
        (m, better(program, tier_in(old, m), reached) if m < until else tier_in(old, m))
        for m in moments
        if m <= account.settled_to
    )


def _lowered(account: "Account", programs: Timeline, at: Instant, extra: Extra) -> Tiers:
    """What a late return changes: from `at` on no better than what is still qualified."""
    old = account.tiers
    new: Tiers = tuple((m, tier) for m, tier in old if m < at)
    moments = {at} | {m for m, _ in old if m > at}
    measure = programs.at(at).measure
    if measure is not None and measure.rolling is not None:
        moments |= rolling_moments(account, measure.rolling, at, account.settled_to)
    boundary = at
    for _ in range(BOUNDARIES_MAX):
        held = tuple(change for change in old if change[0] <= boundary)
        boundary = next_boundary(account, held, boundary, programs)
        if boundary > account.settled_to:
            break
        moments.add(boundary)
    for m in sorted(moments):
        program = programs.at(m)
        before, tier = tier_in(old, m), qualified(account, program, m, new, extra)
        if tier_rank(program, before) <= tier_rank(program, tier):
            tier = before
        new = (*new, (m, tier))
    return new


def rewritten(old: Tiers, at: Instant, new: Tiers) -> tuple[TierChange, ...]:
    """The changes that make `old` into `new` from `at` on: all from where they first differ."""
    changed: list[tuple[Instant, str]] = []
    tier = tier_in(tuple(change for change in new if change[0] < at), at)
    for moment, to in new:
        if moment >= at and to != tier:
            changed.append((moment, to))
            tier = to
    kept = [(moment, to) for moment, to in old if moment >= at]
    same = 0
    while same < min(len(kept), len(changed)) and kept[same] == changed[same]:
        same += 1
    kept, changed = kept[same:], changed[same:]
    if not kept and not changed:
        return ()
    first = min(change[0] for change in (*kept[:1], *changed[:1]))
    if not changed or changed[0][0] > first:  # what was recorded there never was
        before = tier_in(new, first)
        changed.insert(0, (first, before))
    return tuple(TierChange(m, tier_in(old, m), to) for m, to in changed)
