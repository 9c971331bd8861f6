"""Deciding on what points buy beside baskets: a donation, a reward of the catalogue.

A donation is of as many points as the member says, within the limits of spending; a reward has its
price. How many units of a reward are given, and how many codes there are, are facts from outside:
who asks for the last one is decided under the lock of its stock row.
"""

from ledger.core.context import Context, Refused
from ledger.core.postings import Draft
from ledger.core.program.form import CatalogueReward
from ledger.core.referrals import within
from ledger.core.spending_limits import check_amount, check_available, day_counter
from schemas.decisions import Facts, PointsDonated, RewardClaimed
from schemas.inputs import PointsDonate, RewardClaim


def decide_donate(context: Context, event: PointsDonate) -> PointsDonated:
    """Give points to a charity. Raises Refused."""
    data = event.data
    charity = context.program.charities.get(data.charity_id)
    if charity is None:
        raise Refused("unknown_charity", f"the program in force has no charity {data.charity_id!r}")
    if not within(charity.valid, context.at):
        raise Refused("outside_window", f"nothing is given to {data.charity_id!r} at this moment")
    check_amount(context, data.points)
    check_available(context, data.points)
    counter = day_counter(context, data.points)
    draft = Draft(context.account.holdings)
    draft.draw("redeemed", data.points, context.at)
    return PointsDonated(
        **context.head(),
        postings=tuple(draft.postings),
        charity_id=data.charity_id,
        points=data.points,
        counter=counter,
    )


def decide_claim(context: Context, event: RewardClaim) -> RewardClaimed:
    """Take one of a reward. Raises Refused."""
    reward_id = event.data.reward_id
    reward = context.program.rewards.get(reward_id)
    if reward is None:
        raise Refused("not_in_catalogue", f"the program in force has no reward {reward_id!r}")
    if not within(reward.valid, context.at):
        raise Refused("outside_window", f"reward {reward_id!r} is not on offer at this moment")
    check_available(context, reward.points)
    counter = day_counter(context, reward.points)
    number = None
    if is_counted(reward):
        number = (context.facts.reward_given or 0) + 1
        most = units(reward, context.facts.codes_loaded or 0)
        if number > most:
            raise Refused("sold_out", f"all {most} of reward {reward_id!r} are given")
    draft = Draft(context.account.holdings)
    draft.draw("redeemed", reward.points, context.at)
    return RewardClaimed(
        **context.head(),
        postings=tuple(draft.postings),
        reward_id=reward_id,
        kind=reward.kind,
        points=reward.points,
        number=number,
        counter=counter,
        facts=None if number is None or context.facts == Facts() else context.facts,
    )


def is_counted(reward: CatalogueReward) -> bool:
    """Whether there is an end to how many of the reward can be given."""
    return reward.stock is not None or reward.kind == "voucher"


def units(reward: CatalogueReward, codes_loaded: int) -> int:
    """How many of a counted reward can be given in all: its stock, and of vouchers no more than
    there are codes."""
    if reward.kind != "voucher":
        return reward.stock or 0
    return codes_loaded if reward.stock is None else min(reward.stock, codes_loaded)
