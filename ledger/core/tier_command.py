"""Deciding on a tier set by hand: who set it, why, and until when are part of the event."""

from ledger.core.calendar import DAY_US, to_instant
from ledger.core.context import Context, Refused
from ledger.core.overrides import laid_over, replaced
from ledger.core.postings import Draft
from ledger.core.records import Override
from ledger.core.tiers import rewritten
from ledger.core.welcome import welcomes
from schemas.decisions import Award, TierOverridden
from schemas.inputs import TierOverride

LONGEST_US = 10 * 366 * DAY_US
"""How long a tier set by hand may hold: longer is a slip of the pen."""


def decide_override(context: Context, event: TierOverride) -> TierOverridden:
    """Set the tier by hand. Raises Refused (no_tiers, unknown_tier, bad_until)."""
    account, program, data = context.account, context.program, event.data
    if program.form.tiers is None:
        raise Refused("no_tiers", "the program in force has no tiers")
    if data.tier not in program.ranks:
        raise Refused("unknown_tier", f"the program in force has no tier {data.tier} (nor `none`)")
    until = to_instant(data.until)
    if not context.at < until <= context.at + LONGEST_US:
        raise Refused("bad_until", "`until` must be later than `time`, by ten years at most")
    overrides = replaced(account.overrides, Override(data.tier, context.at, until))
    tiers = laid_over(overrides, account.tiers, account.settled_to)
    changes = rewritten(account.tiers, context.at, tiers)
    draft, awards = Draft(account.holdings), tuple[Award, ...]()
    if changes:
        first_lot = account.holdings.next_lot
        awards = welcomes(account, context.programs, changes, first_lot)
        draft.grant(awards, "")
        draft.catch_up(first_lot, context.now)
    return TierOverridden(
        **context.head(),
        postings=tuple(draft.postings),
        tier_changes=changes,
        tier=data.tier,
        until=until,
        actor=data.actor,
        reason=data.reason,
        awards=awards,
    )
