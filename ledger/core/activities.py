"""Deciding on a completed activity: a review, a visit, a subscription, as the program names it.

Once per activity and reference: that is its business key, which the input door looks after. It is
judged like a purchase, with the account's standing before it counts; its points count for tiers
like a purchase's, and it is no purchase.
"""

from ledger.core.context import Context, Refused
from ledger.core.postings import Draft
from ledger.core.rules import evaluate_activity
from ledger.core.rules.budgets import facts_kept
from ledger.core.standing import standing_of
from ledger.core.tiers import points_counted
from ledger.core.welcome import with_welcomes
from schemas.decisions import ActivityRewarded
from schemas.inputs import ActivityCompleted


def decide_activity(context: Context, event: ActivityCompleted) -> ActivityRewarded:
    """The awards of an activity. Raises Refused (unknown_activity)."""
    account, program, at, data = context.account, context.program, context.at, event.data
    if data.activity not in program.activities:
        raise Refused(
            "unknown_activity", f"the program in force has no rule on activity {data.activity!r}"
        )
    standing, first_lot = standing_of(context), account.holdings.next_lot
    awards = evaluate_activity(program, data, at, standing, first_lot)
    month, tier_changes = points_counted(account, context.programs, at, awards)
    awards = with_welcomes(account, context.programs, tier_changes, awards)
    draft = Draft(account.holdings)
    draft.grant(awards, "")
    draft.catch_up(first_lot, context.now)
    return ActivityRewarded(
        **context.head(),
        postings=tuple(draft.postings),
        tier_changes=tier_changes,
        activity=data,
        tier=standing.tier,
        awards=awards,
        month=month,
        facts=facts_kept(standing.facts, awards),
    )
