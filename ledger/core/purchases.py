"""Deciding on a purchase: what it earns, what it counts for, what it does to a referral.

It is judged with the tier, limits and state that the account has before the purchase itself counts;
then it counts, and the tier is requalified. Late purchases use the tier and the limit windows of
their own moment.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from ledger.core.context import NO_FACTS, Context
from ledger.core.grants import NewLot, grant_postings, new_lots
from ledger.core.inactivity import moved_on, with_the_others
from ledger.core.names import known_name
from ledger.core.postings import Draft
from ledger.core.promo_codes import judged, uses_of
from ledger.core.referral_rewards import shares_left
from ledger.core.referrals import NO_VERDICT, judge
from ledger.core.rules import evaluate
from ledger.core.rules.budgets import facts_kept
from ledger.core.standing import standing_of
from ledger.core.tiers import Extra, requalify
from ledger.core.welcome import welcomes
from schemas.decisions import (
    AnonymousPurchaseRecorded,
    Award,
    Posting,
    PurchaseRewarded,
)
from schemas.inputs import PurchaseCompleted


def decide_purchase(context: Context, event: PurchaseCompleted) -> PurchaseRewarded:
    """The awards of a purchase. Raises Undecidable (expression_failed)."""
    account, program, at = context.account, context.program, context.at
    purchase, held, standing = event.data, account.holdings, standing_of(context)
    if purchase.promo_codes and (program.series or standing.facts.codes):
        codes = judged(program, purchase, at, account.used, standing.facts)
        standing = replace(standing, facts=codes)
    facts = standing.facts
    first_lot = held.next_lot
    awards = evaluate(program, purchase, at, standing, first_lot)
    if held.idle and context.late_by:
        awards = with_the_others(held, awards)
    amount = sum([line.amount for line in purchase.lines])
    referral, lots = account.referral, new_lots(awards, first_lot)
    stretch = program.stretch(at)
    month = stretch.month
    points = sum([award.points for award in awards if award.counts_for_tier])
    changes = requalify(account, context.programs, at, Extra(month, (amount, points, 1)))
    welcomed: tuple[Award, ...] = ()
    concerned = referral is not None and (
        referral.status == "open" or (bool(referral.shared) and shares_left(account, program) > 0)
    )
    if not concerned and not (changes and program.welcomes) and _stay(context, lots):
        verdict = NO_VERDICT
        postings: list[Posting] = []
        for number, points, award in lots:
            postings += grant_postings(number, points, award)
    else:
        draft = Draft(held)
        if held.idle:
            draft.held.move_on(moved_on(context, ()))
        draft.grant(awards, purchase.order_id)
        verdict = judge(context, purchase.order_id, at, amount, draft.held.next_lot)
        draft.grant(verdict.awards, purchase.order_id)
        if changes:
            welcomed = welcomes(account, context.programs, changes, draft.held.next_lot)
            draft.grant(welcomed, "")
        draft.catch_up(first_lot, context.now)
        postings = draft.postings
    paid = purchase.redemption_id
    if paid:
        paid = known_name(account, paid, context.addressed)
    known = not paid or paid in account.redemptions or paid in account.reservations
    awards += verdict.awards + welcomed
    return PurchaseRewarded(
        occurred_at=at,
        program=program.version,
        cause=context.cause,
        late_by=context.late_by,
        postings=tuple(postings),
        tier_changes=changes,
        effects=verdict.effects,
        addressed=context.addressed,
        purchase=purchase,
        month=month,
        returnable_until=stretch.returnable_until(at),
        tier=standing.tier,
        awards=awards,
        referral=verdict.referral,
        redemption_unknown=not known,
        facts=None if facts is NO_FACTS else facts_kept(facts, awards),
        codes=uses_of(program, purchase, facts, awards) if facts.codes else (),
        shared=verdict.shared,
        idle=moved_on(context, awards) if held.idle or program.idles else (),
    )


def _stay(context: Context, lots: Iterable[NewLot]) -> bool:
    """Whether the points stay for now where they are granted: nothing of them is due already, and
    there is no debt to pay."""
    if context.late_by or context.account.holdings.debt:
        return False
    at = context.at
    return not [1 for _, _, one in lots if one.expires_at is not None and one.expires_at <= at]


def decide_anonymous(context: Context, event: PurchaseCompleted) -> AnonymousPurchaseRecorded:
    """A purchase of nobody: recorded, nothing else."""
    return AnonymousPurchaseRecorded(**context.head(), purchase=event.data)
