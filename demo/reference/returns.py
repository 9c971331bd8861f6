"""Returns: what comes back of a purchase takes its share of the points with it.

Per line and award everything due so far is floor(share x returned / amount), and all of it once the
line is wholly returned; what was due before is not due again, whether it was found, had expired or
was let go.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from demo.reference import codes
from demo.reference.earning import allocate
from demo.reference.program import Program

if TYPE_CHECKING:
    from demo.reference.model import Member, Order, ReferenceProgram, Reward


def named_lines(order: "Order", data: Mapping[str, Any]) -> list[tuple[int, int]] | str:
    """The (place, amount) of the lines that come back, or the code of the refusal."""
    lines = order.purchase.lines
    if data.get("lines") is None:
        rest = [(i, line.amount - order.returned[i]) for i, line in enumerate(lines)]
        rest = [(i, amount) for i, amount in rest if not order.whole[i]]
        return rest or "returned_more_than_bought"
    places = {line.line_id: i for i, line in enumerate(lines)}
    left = [line.amount - amount for line, amount in zip(lines, order.returned, strict=True)]
    named = []
    for entry in data["lines"]:
        place = places.get(entry["line_id"])
        if place is None:
            return "unknown_line"
        left[place] -= entry["amount"]
        if left[place] < 0 or order.whole[place]:
            return "returned_more_than_bought"
        named.append((place, entry["amount"]))
    return named


def apply(
    model: "ReferenceProgram",
    member: "Member",
    order: "Order",
    named: list[tuple[int, int]],
    at: datetime,
    program: Program,
) -> None:
    """`program`: the version that says what is taken."""
    bought_at, was_whole = order.purchase.occurred_at, all(order.whole)
    order_lots = list(dict.fromkeys(granted.lot for granted in order.awards))
    points_for_tier, before = 0, model.tier(member, at)
    gone = [granted.kept() == 0 for granted in order.awards]
    for place, amount in named:
        order.returned[place] += amount
        order.whole[place] = order.returned[place] == order.purchase.lines[place].amount
        for granted in order.awards:
            if place not in granted.award.matched:
                continue
            i = granted.award.matched.index(place)
            due = _due(order, place, granted.award.shares[i]) - granted.taken[i]
            granted.taken[i] += due
            if granted.award.rule.counts_for_tier:
                points_for_tier += due
            if due:
                let_go = member.wallet.claw_back(due, granted.lot, order_lots, at, program)
                granted.let_go += let_go
    _give_back_limits(model, member, order, gone, emptied=all(order.whole) and not was_whole)
    model.count(
        member,
        at,
        bought_at,
        amount_spent=-sum(amount for _, amount in named),
        points_earned=-points_for_tier,
        purchases=-int(all(order.whole) and not was_whole),
    )
    _take_back_referral(model, member, order, at, program)
    model.take_welcomes_back(member, before, bought_at, at, program)
    _restore_spent_points(member, order, at, program)


def _give_back_limits(
    model: "ReferenceProgram", member: "Member", order: "Order", gone: list[bool], *, emptied: bool
) -> None:
    """Of an award that is wholly back its part of the budget, but for what was let go; of an order
    that is, of which nothing was let go, its promo codes."""
    for granted, was_gone in zip(order.awards, gone, strict=True):
        budget = granted.award.rule.budget
        if budget is not None and not was_gone and not granted.kept():
            model.spent[budget] -= max(0, granted.used - granted.let_go)
    if emptied and not any(granted.let_go for granted in order.awards):
        codes.count(model, member, order.used, -1)


def _due(order: "Order", place: int, share: int) -> int:
    if order.whole[place]:
        return share
    if not order.returned[place]:  # also a line of amount 0, which comes back by being named
        return 0
    return share * order.returned[place] // order.purchase.lines[place].amount


def _take_back_referral(
    model: "ReferenceProgram", member: "Member", order: "Order", at: datetime, program: Program
) -> None:
    """The share comes back in proportion; everything, also of later orders, when what is left of
    the order that qualified does so no more.
    """
    terms = model.versions.at(order.purchase.occurred_at).referral
    order_id = order.purchase.order_id
    for referral in (member.referral, *member.other_referrals):
        if referral is None or referral.status != "qualified":
            continue
        if order_id == referral.order_id and (
            (terms is not None and order.amount_left < terms.at_least) or all(order.whole)
        ):
            referral.status = "taken_back"
            for each in (order_id, *referral.shared):
                for reward in member.orders[each].rewards:
                    _take_back(model, reward, reward.points - reward.taken, at, program)
        elif order_id in referral.shared and order.share is not None:
            due = order.share_due() - order.share_taken
            order.share_taken += due
            for reward in order.rewards:
                if not reward.of_referee:
                    _take_back(model, reward, min(due, reward.points - reward.taken), at, program)


def _take_back(
    model: "ReferenceProgram", reward: "Reward", points: int, at: datetime, program: Program
) -> None:
    rewarded = model.stays(reward.who)
    if points and rewarded.status in ("open", "frozen"):
        reward.taken += points
        model.settle(rewarded, at)
        rewarded.wallet.claw_back(points, reward.lot, [], at, program)


def _restore_spent_points(member: "Member", order: "Order", at: datetime, program: Program) -> None:
    """The points of each redemption that paid for the order are shared among its lines like an
    award, and come back as the lines do.
    """
    named = member.redemptions.get(order.purchase.redemption_id or "")
    paid = [
        hold
        for hold in member.redemptions.values()
        if hold.order_id == order.purchase.order_id and not hold.open
    ]
    for hold in sorted(paid, key=lambda hold: hold is not named):
        spent = sum(part for _, part in hold.parts)
        shares = allocate(spent, [line.amount for line in order.purchase.lines])
        due = sum(_due(order, place, share) for place, share in enumerate(shares))
        before = hold.restored  # the first so many points, in draw order, are back already
        for lot, part in hold.parts:
            skipped = min(before, part)
            before -= skipped
            points = min(due - hold.restored, part - skipped)
            if points:
                member.wallet.give_back(lot, points, at, "redeemed", program)
                hold.restored += points
    member.wallet.pay_debt()
