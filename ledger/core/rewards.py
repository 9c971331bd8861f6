"""Deciding on effects: a referrer's reward that another account's decision led to, and its end.

That an effect is applied once is the business of the input door; here it is judged like any input,
at the moment of the purchase that qualified, however late it arrives.
"""

from msgspec.structs import replace

from ledger.core.calendar import period_key
from ledger.core.clawback import Clawing
from ledger.core.context import Context, Refused
from ledger.core.fold_others import reward_source
from ledger.core.postings import Draft
from ledger.core.referrals import RULE
from ledger.core.rules import grant
from schemas.decisions import WHOLE_AWARD, RewardReceived, RewardTakenBack
from schemas.inputs import RewardGranted, RewardRevoked


def decide_reward(context: Context, event: RewardGranted) -> RewardReceived:
    """Grant the referrer's reward. Raises Refused (referral_cycle, already_rewarded, self_referral,
    referrer_limit)."""
    account, data = context.account, event.data
    source = reward_source(data.referee_id, data.order_id)
    if source in account.rewards:
        # The purchase was decided twice, at two positions: a database lost its latest commits.
        raise Refused(
            "already_rewarded", f"order {data.order_id} of {data.referee_id} was rewarded before"
        )
    referrals = (account.referral, *account.other_referrals)
    if any(one is not None and one.referrer_id == data.referee_id for one in referrals):
        raise Refused("referral_cycle", f"{data.referee_id} had referred this member")
    if data.referee_id == account.member_id or data.referee_id in account.merged_from:
        raise Refused("self_referral", f"{data.referee_id} and the referrer were merged")
    form = context.program.form.referral
    reward = None if form is None else form.referrer
    first_lot = account.holdings.next_lot
    counters = _counters(context)
    awards = tuple(
        grant(
            context.program,
            rule=RULE,
            kind=kind,
            points=points,
            at=context.at,
            activation=None if reward is None else reward.activation,
            expiry=None if reward is None else reward.expiry,
            lot=first_lot,
        )
        for kind, points in (("referrer", data.points - data.share), ("share", data.share))
        if points
    )
    awards = (replace(awards[0], counters=counters), *awards[1:])
    draft = Draft(account.holdings)
    draft.grant(awards, source)
    draft.catch_up(first_lot, context.now)
    return RewardReceived(
        **context.head(),
        postings=tuple(draft.postings),
        kind=data.kind,
        referee_id=data.referee_id,
        order_id=data.order_id,
        returnable_until=context.returnable_until,
        awards=awards,
    )


def _counters(context: Context) -> tuple[str, ...]:
    """The limit that a reward counts against. No rule id is empty, so it is no rule's. Raises
    Refused."""
    form = context.program.form.referral
    limit = None if form is None else form.per_referrer
    if limit is None:
        return ()
    key = f"/{RULE}/{limit.per}/{period_key(context.at, limit.per, context.program.zone)}"
    if context.account.used.get(key, (0, 0))[1] >= limit.times:
        raise Refused(
            "referrer_limit", f"{limit.times} rewards per {limit.per} were given to this referrer"
        )
    return (key,)


def decide_revocation(context: Context, event: RewardRevoked) -> RewardTakenBack:
    """Take a reward back, whole or a part of it, as the returns policy allows. Raises Refused
    (unknown_reward)."""
    account, data = context.account, event.data
    reward = account.rewards.get(reward_source(data.referee_id, data.order_id))
    if reward is None:
        raise Refused(
            "unknown_reward", f"no reward for order {data.order_id} of {data.referee_id} is here"
        )
    draft = Draft(account.holdings)
    clawing = Clawing(draft, account.expired_unspent, context.program.form.returns, context.at)
    left = reward.points - reward.gone
    due = left if data.points is None else min(data.points, left)
    clawing.take(0, WHOLE_AWARD, due, reward.lot, ())
    whole = due == left and reward.counter
    return RewardTakenBack(
        **context.head(),
        postings=tuple(draft.postings),
        kind=data.kind,
        referee_id=data.referee_id,
        order_id=data.order_id,
        clawbacks=tuple(clawing.clawbacks),
        counters=((reward.counter, 0, 1),) if whole else (),
    )
