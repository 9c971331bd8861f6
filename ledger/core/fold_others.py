"""Folding everything but purchases and returns: time, rewards, spending, members."""

from msgspec.structs import replace

from ledger.core.account import Account
from ledger.core.errors import InvariantBroken
from ledger.core.fold_counts import count, expire_at, give_back, grant, use, use_day
from ledger.core.fold_orders import order_awards, set_against
from ledger.core.fold_standing import forget_all
from ledger.core.grants import adjusted_postings, open_adjusted
from ledger.core.overrides import replaced
from ledger.core.records import (
    Override,
    Redemption,
    Referral,
    Reservation,
    Reward,
    returnable_until,
)
from ledger.core.restoring import paid_with
from schemas.decisions import (
    AccountSettled,
    ActivityRewarded,
    MemberErased,
    MemberProfiled,
    PointsAdjusted,
    PointsDonated,
    PointsRedeemed,
    PointsReserved,
    ReferralAccepted,
    ReservationCancelled,
    ReservationConfirmed,
    RewardClaimed,
    RewardReceived,
    RewardTakenBack,
    SurveyRewarded,
    TierOverridden,
)
from schemas.fields import Instant

# --- time -------------------------------------------------------------------------------------


def before_settling(account: Account, event: AccountSettled) -> int:
    """Lots that an event reached, new expiries of lots to which a lapsed reservation gives back,
    welcome awards."""
    for reached in event.activated:
        account.holdings.reach(*reached)
    expire_at(account, event.lot_expiries)
    return grant(account, event.awards, event.postings, "") if event.awards else 0


def fold_settled(account: Account, event: AccountSettled) -> None:
    """Forget the reservations that lapsed and the returns that waited too long."""
    for reservation_id in event.lapsed:
        _give_back_day(account, account.reservations.pop(reservation_id))
    if event.refused_returns:
        refused = set(event.refused_returns)
        for order_id, waiting in list(account.waiting.items()):
            left = tuple(w for w in waiting if w.name not in refused)
            if left:
                account.waiting[order_id] = left
            else:
                del account.waiting[order_id]
    if event.forfeited:
        forget_all(account)


# --- surveys, activities, referrals, rewards --------------------------------------------------


def open_survey(account: Account, event: SurveyRewarded) -> int:
    """Grant the award."""
    return grant(account, event.awards, event.postings, "")


def fold_survey(account: Account, event: SurveyRewarded) -> None:
    """A survey is rewarded once."""
    if any(award.points for award in event.awards):  # else its budget had too little left
        account.surveys |= {event.survey_id}
    use(account, event.awards, event.occurred_at)
    _count_points(account, event)


def open_activity(account: Account, event: ActivityRewarded) -> int:
    """Grant the awards."""
    return grant(account, event.awards, event.postings, "")


def fold_activity(account: Account, event: ActivityRewarded) -> None:
    """Use up the limits and count for tiers."""
    use(account, event.awards, event.occurred_at)
    _count_points(account, event)


def _count_points(account: Account, event: SurveyRewarded | ActivityRewarded) -> None:
    if event.month is not None:
        points = sum(award.points for award in event.awards if award.counts_for_tier)
        count(account, event.month, 0, points, 0)


def open_referral(account: Account, event: ReferralAccepted) -> int:
    """Grant the award, and put it beside the awards of the order that qualified."""
    applied = grant(account, event.awards, event.postings, event.order_id or "")
    order = account.order(event.order_id or "")
    if order is not None:
        account.keep(
            replace(
                order,
                awards=order.awards + order_awards(event.awards, order.awards_recorded),
                awards_recorded=order.awards_recorded + len(event.awards),
            )
        )
    return applied


def fold_referral(account: Account, event: ReferralAccepted) -> None:
    """Remember who brought the member in."""
    account.referral = Referral(
        event.referrer_id,
        event.occurred_at,
        event.referral or "open",
        event.order_id if event.referral == "qualified" else None,
        shared=event.shared,
    )


def reward_source(referee_id: str, order_id: str) -> str:
    """The source of a referrer's lot; an order id has no slash, so the two never meet."""
    return f"{referee_id}/{order_id}"


def open_reward(account: Account, event: RewardReceived) -> int:
    """Grant the reward and remember it while it can be taken back."""
    source = reward_source(event.referee_id, event.order_id)
    if event.awards:
        first = event.awards[0]
        points = sum(award.points for award in event.awards)
        counter = first.counters[0] if first.counters else ""
        account.rewards[source] = Reward(event.returnable_until, points, first.lot, counter=counter)
        use(account, event.awards, event.occurred_at)
    return grant(account, event.awards, event.postings, source)


def fold_reward_taken(account: Account, event: RewardTakenBack) -> None:
    """The reward is gone, or a part of it."""
    source = reward_source(event.referee_id, event.order_id)
    reward = account.rewards[source]
    gone = reward.gone + sum(c.points for c in event.clawbacks)
    if gone > reward.points:
        raise InvariantBroken(10, "more than a referral's reward was taken back")
    give_back(account, event.counters)
    if gone == reward.points:
        del account.rewards[source]
        account.expired_unspent.pop(reward.lot, None)
        return
    account.rewards[source] = replace(reward, gone=gone)
    for clawback in event.clawbacks:
        if clawback.expired:
            set_against(account, reward.lot, clawback.expired)


# --- tiers ------------------------------------------------------------------------------------


def open_welcome(account: Account, event: TierOverridden) -> int:
    """Grant the welcome award."""
    return grant(account, event.awards, event.postings, "") if event.awards else 0


def fold_override(account: Account, event: TierOverridden) -> None:
    """Remember which tier holds until when."""
    override = Override(event.tier, event.occurred_at, event.until)
    account.overrides = replaced(account.overrides, override)


# --- spending ---------------------------------------------------------------------------------


def fold_reserved(account: Account, event: PointsReserved) -> None:
    """Remember which lots are held."""
    draws = tuple((p.lot, p.points) for p in event.postings if p.account == "reserved")
    account.reservations[event.reservation_id] = Reservation(event.lapses_at, draws, event.counter)
    use_day(account, event.counter, event.points, event.occurred_at)


def _give_back_day(account: Account, reservation: Reservation, spent: int = 0) -> None:
    """What is not spent of a reservation that is over counts no more in its day."""
    if reservation.counter is not None:
        held = sum(points for _, points in reservation.draws)
        give_back(account, ((reservation.counter, held - spent, int(not spent)),))


def before_confirming(account: Account, event: ReservationConfirmed) -> int:
    """Remember what was spent, and let lots that get something back expire later."""
    _remember(account, event, event.reservation_id, dict(event.lot_expiries))
    expire_at(account, event.lot_expiries)
    return 0


def before_redeeming(account: Account, event: PointsRedeemed) -> int:
    """Remember what was spent."""
    _remember(account, event, event.redemption_id, {})
    return 0


def _remember(
    account: Account,
    event: ReservationConfirmed | PointsRedeemed,
    redemption_id: str,
    expiries: dict[int, Instant | None],
) -> None:
    """What was spent, from which lots, while a return can restore it; and what is restored at once,
    because the order had come back."""
    lots = account.holdings.lots
    redeemed = [(p.lot, p.points) for p in event.postings if p.account == "redeemed"]
    back = [(lot, -points) for lot, points in redeemed if points < 0]
    draws = tuple(
        [
            (replace(lots[lot], pending=0, available=0, reserved=0), points)
            for lot, points in redeemed
            if points > 0
        ]
    )
    if back:
        restored = {lot for lot, _ in back} & expiries.keys()
        draws = tuple(
            [
                (replace(lot, expires_at=expiries[lot.number]), n)
                if lot.number in restored
                else (lot, n)
                for lot, n in draws
            ]
        )
    until, order_id = event.returnable_until, event.order_id
    if order_id is None:
        order_id = paid_with(account, redemption_id)
    if order_id is not None and order_id in account.orders:
        until = max(until, returnable_until(account.orders[order_id]))
    returned = sum([points for _, points in back])
    account.redemptions[redemption_id] = Redemption(until, draws, order_id, returned)


def fold_confirmed(account: Account, event: ReservationConfirmed) -> None:
    """The reservation is over."""
    _give_back_day(account, account.reservations.pop(event.reservation_id), event.points)


def before_cancelling(account: Account, event: ReservationCancelled) -> int:
    """New expiries of lots that expired while their points were held."""
    expire_at(account, event.lot_expiries)
    return 0


def fold_cancelled(account: Account, event: ReservationCancelled) -> None:
    """The reservation is over."""
    _give_back_day(account, account.reservations.pop(event.reservation_id))


def fold_spent(account: Account, event: PointsRedeemed | PointsDonated | RewardClaimed) -> None:
    """Count what was spent in its day."""
    use_day(account, event.counter, event.points, event.occurred_at)


# --- adjustments ------------------------------------------------------------------------------


def open_adjustment(account: Account, event: PointsAdjusted) -> int:
    """Open the lot of given points."""
    for award in event.awards:
        if event.postings[:2] != adjusted_postings(award):
            raise InvariantBroken(4, f"lot {award.lot} of {award.points} points is given otherwise")
        open_adjusted(account.holdings, award)
    return 2 * len(event.awards)


# --- members ----------------------------------------------------------------------------------


def fold_profile(account: Account, event: MemberProfiled) -> None:
    """Replace the outcomes."""
    account.profile = dict(event.outcomes)


def fold_erased(account: Account, _event: MemberErased) -> None:
    """Nothing is held, waits or is open any more."""
    account.status = "erased"
    account.profile = {}
    forget_all(account)
