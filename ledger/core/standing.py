"""How an account stands when a purchase or an activity is judged, before that itself counts."""

from ledger.core.context import Context
from ledger.core.rules import Standing
from ledger.core.rules.tiers import NO_TIER, tier_in


def standing_of(context: Context) -> Standing:
    """The tier of the input's own moment, the balance and the limits used, and what is known of
    the member."""
    account, facts, asked = context.account, context.facts, context.program.asked
    tier = account.tier if not context.late_by else tier_in(account.tiers, context.at)
    if tier == NO_TIER:
        tier = NO_TIER  # The object itself: only that is left out as the event's default, and the
        # same decision must be the same bytes, whether its account was loaded or in memory.
    if asked is not None:
        facts = asked.with_tags(facts, account.profile)
    held = account.holdings
    return Standing(tier, held.available - held.debt, account.purchases, account.used, facts)
