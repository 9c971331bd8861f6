"""Deciding on a purchase: what it earns, what it counts for, what it does to a referral.

It is judged with the tier, limits and state that the account has before the purchase itself counts;
then it counts, and the tier is requalified. Late purchases use the tier and the limit windows of
their own moment.
"""

from ledger.core.calendar import period_bounds
from ledger.core.context import Context
from ledger.core.postings import Draft, share_lots
from ledger.core.referrals import judge
from ledger.core.rules import Standing, evaluate
from ledger.core.tiers import Extra, requalify, tier_in
from schemas.decisions import AnonymousPurchaseRecorded, Facts, PurchaseRewarded
from schemas.inputs import PurchaseCompleted

NO_FACTS = Facts()


def decide_purchase(context: Context, event: PurchaseCompleted) -> PurchaseRewarded:
    """The awards of a purchase. Raises Undecidable (expression_failed)."""
    account, program, at = context.account, context.program, context.at
    purchase, held = event.data, account.holdings
    tier = account.tier if not context.late_by else tier_in(account.tiers, at)
    standing = Standing(
        tier=tier,
        balance=held.available - held.debt,
        purchases_before=account.purchases,
        used=account.used,
        facts=context.facts,
    )
    first_lot = held.next_lot
    awards = share_lots(evaluate(program, purchase, at, standing, first_lot), first_lot)
    draft = Draft(held)
    draft.grant(awards, purchase.order_id)
    amount = sum([line.amount for line in purchase.lines])
    verdict = judge(context, purchase.order_id, at, amount, draft.held.next_lot)
    draft.grant(verdict.awards, purchase.order_id)
    draft.catch_up(first_lot, context.now)
    month, _ = period_bounds(at, "month", program.zone)
    points = sum([award.points for award in awards if award.counts_for_tier])
    known = (
        not purchase.redemption_id
        or purchase.redemption_id in account.redemptions
        or purchase.redemption_id in account.reservations
    )
    return PurchaseRewarded(
        occurred_at=at,
        program=program.version,
        cause=context.cause,
        late_by=context.late_by,
        postings=tuple(draft.postings),
        tier_changes=requalify(account, context.programs, at, Extra(month, (amount, points, 1))),
        effects=verdict.effects,
        purchase=purchase,
        month=month,
        returnable_until=context.returnable_until,
        tier=tier,
        awards=awards + verdict.awards,
        referral=verdict.referral,
        redemption_unknown=not known,
        facts=None if context.facts == NO_FACTS else context.facts,
    )


def decide_anonymous(context: Context, event: PurchaseCompleted) -> AnonymousPurchaseRecorded:
    """A purchase of nobody: recorded, nothing else."""
    return AnonymousPurchaseRecorded(**context.head(), purchase=event.data)
