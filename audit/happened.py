"""An event of the log as an explanation names it: the input behind it, and the names in it."""

from collections.abc import Mapping

import msgspec

from audit.explanation import Happened
from ledger.core.calendar import SECOND_US, from_instant
from schemas import decisions as d
from schemas.fields import Instant

INPUT_TYPES: Mapping[type, str] = {
    d.PurchaseRewarded: "purchase.completed.v1",
    d.AnonymousPurchaseRecorded: "purchase.completed.v1",
    d.PurchaseReturned: "purchase.returned.v1",
    d.ReturnWaiting: "purchase.returned.v1",
    d.ReferralAccepted: "referral.registered.v1",
    d.SurveyRewarded: "survey.completed.v1",
    d.ActivityRewarded: "activity.completed.v1",
    d.RewardReceived: "effect.reward.v1",
    d.RewardTakenBack: "effect.revoke.v1",
    d.PointsReserved: "command.reserve.v1",
    d.ReservationConfirmed: "command.confirm.v1",
    d.ReservationCancelled: "command.cancel.v1",
    d.PointsRedeemed: "command.redeem.v1",
    d.PointsAdjusted: "command.adjust.v1",
    d.PointsDonated: "command.donate.v1",
    d.RewardClaimed: "command.claim.v1",
    d.TierOverridden: "command.tier.v1",
    d.MemberErased: "member.erased.v1",
    d.AccountFrozen: "command.freeze.v1",
    d.AccountUnfrozen: "command.unfreeze.v1",
    d.AccountClosed: "command.close.v1",
    d.PointsSent: "command.transfer.v1",
    d.PointsReceived: "command.transfer.v1",
    d.AccountMerged: "command.merge.v1",
    d.AccountAbsorbed: "command.merge.v1",
}
"""The type of the input that leads to each kind of event, where it is always the same."""


_NAMED = ("order_id", "return_id", "redemption_id", "store_id")
"""What of a refused input's data is told."""


def happened(
    event: d.AccountEvent,
    recorded: tuple[int, int, Instant] | None,
    orders: Mapping[str, str],
) -> Happened:
    """`recorded`: shard, position and recorded_at, None for what no event records yet. `orders`: of
    each redemption the order that it paid for."""
    shard, position, recorded_at = (None, None, None) if recorded is None else recorded
    kind = INPUT_TYPES.get(type(event), "")
    if isinstance(event, d.InputRefused | d.InputForwarded):
        kind = event.input_type
    elif isinstance(event, d.MemberProfiled) and event.kind != "recomputed":
        kind = f"member.{event.kind}.v1"
    cause = event.cause
    return Happened(
        event=type(event).__name__,
        occurred_at=from_instant(event.occurred_at),
        recorded_at=None if recorded_at is None else from_instant(recorded_at),
        shard=shard,
        position=position,
        input_type=kind,
        source="" if cause is None else cause.source,
        id="" if cause is None else cause.id,
        program=event.program,
        late_by_seconds=event.late_by // SECOND_US,
        addressed=event.addressed,
        **_names(event, orders),
    )


def _names(event: d.AccountEvent, orders: Mapping[str, str]) -> dict[str, str]:
    match event:
        case d.PurchaseRewarded() | d.AnonymousPurchaseRecorded():
            bought = event.purchase
            return {
                "order_id": bought.order_id,
                "store_id": bought.store_id,
                "redemption_id": bought.redemption_id or "",
            }
        case d.PurchaseReturned() | d.ReturnWaiting():
            return {"order_id": event.returned.order_id, "return_id": event.returned.return_id}
        case d.ReferralAccepted():
            return {"member": event.referrer_id, "order_id": event.order_id or ""}
        case d.SurveyRewarded():
            return {"name": event.survey_id}
        case d.ActivityRewarded():
            done = event.activity
            return {
                "name": done.activity,
                "reason": done.reference,
                "store_id": done.store_id or "",
            }
        case d.RewardReceived() | d.RewardTakenBack():
            return {"member": event.referee_id, "order_id": event.order_id}
        case d.PointsReserved() | d.ReservationCancelled():
            return {"redemption_id": event.reservation_id}
        case d.ReservationConfirmed():
            name = event.reservation_id
            return {"redemption_id": name, "order_id": event.order_id or orders.get(name, "")}
        case d.PointsRedeemed():
            name = event.redemption_id
            return {"redemption_id": name, "order_id": event.order_id or orders.get(name, "")}
        case d.PointsDonated():
            return {"name": event.charity_id}
        case d.RewardClaimed():
            return {"name": event.reward_id}
        case d.TierOverridden():
            return {"name": event.tier, "actor": event.actor, "reason": event.reason}
        case d.PointsAdjusted() | d.AccountFrozen() | d.AccountUnfrozen() | d.AccountClosed():
            return {"actor": event.actor, "reason": event.reason}
        case d.PointsSent():
            return {"member": event.to}
        case d.PointsReceived():
            return {"member": event.sender}
        case d.AccountMerged():
            return {"member": event.into, "actor": event.actor, "reason": event.reason}
        case d.AccountAbsorbed():
            return {"member": event.merged, "actor": event.actor, "reason": event.reason}
        case d.InputForwarded():
            return {"member": event.to}
        case d.InputRefused():
            data = msgspec.json.decode(event.data)
            return {name: data[name] for name in _NAMED if isinstance(data.get(name), str)}
        case _:
            return {}
