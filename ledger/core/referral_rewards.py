"""What a referrer gets for the referee's purchases, and gives back when they are returned.

The fixed reward comes with the purchase that qualified, a share with that one and the next ones, up
to the program's number of orders. It reaches the referrer's account as an effect, one for each
order. Each return takes the share back in proportion to what has come back of its order; when the
order that qualified does so no more, all of it is taken back.
"""

import msgspec
from msgspec import Raw, Struct

from ledger.core.account import Account
from ledger.core.context import Context
from ledger.core.program.compiled import Compiled
from ledger.core.program.rounding import rounded
from ledger.core.records import Order, Referral
from schemas.decisions import Effect
from schemas.fields import Instant
from schemas.inputs import RevokeEffectData, RewardEffectData

Shared = tuple[tuple[str, int], ...]
"""Orders of which the referrer got a share, each with its points."""


def shares_left(account: Account, program: Compiled) -> int:
    """Of how many more orders the referrer of a qualified referral gets a share."""
    referral, form = account.referral, program.form.referral
    if referral is None or referral.status != "qualified" or not referral.shared:
        return 0
    if form is None or form.referrer is None or form.referrer.share is None:
        return 0
    return max(0, form.referrer.share.orders - len(referral.shared))


def share_of(program: Compiled, amount: int) -> int | None:
    """The referrer's share of a purchase of this amount; None where the program gives none."""
    form = program.form.referral
    share = None if form is None or form.referrer is None else form.referrer.share
    if share is None:
        return None
    return rounded(amount * share.rate.points, share.rate.per_amount, program.form.rounding)


def back_of(points: int, amount: int, returned: int) -> int:
    """What of a share is taken back when so much of its order's amount has come back."""
    return points if returned >= amount else points * returned // amount


def reward(
    context: Context, referrer_id: str, program: Compiled, order: tuple[str, Instant, int, int]
) -> tuple[tuple[Effect, ...], Shared]:
    """The reward for the order that qualified: fixed, a share, or both. `order`: its id, moment,
    amount, and what of that has come back already."""
    form = program.form.referral
    assert form is not None, "there is a referral to be qualified for"
    fixed = 0 if form.referrer is None else form.referrer.fixed or 0
    share = share_of(program, order[2])
    if share is None:
        return _given(context, referrer_id, program, order, fixed, 0), ()
    left = share - back_of(share, order[2], order[3]) if order[3] else share
    return _given(context, referrer_id, program, order, fixed, left), ((order[0], share),)


def share(
    context: Context, referrer_id: str, program: Compiled, order: tuple[str, Instant, int, int]
) -> tuple[tuple[Effect, ...], Shared]:
    """The share of a later order."""
    points = share_of(program, order[2]) or 0
    left = points - back_of(points, order[2], order[3]) if order[3] else points
    return _given(context, referrer_id, program, order, 0, left), ((order[0], points),)


def _given(
    context: Context,
    referrer_id: str,
    program: Compiled,
    order: tuple[str, Instant, int, int],
    fixed: int,
    part: int,
) -> tuple[Effect, ...]:
    if not fixed + part:
        return ()
    data = RewardEffectData(
        kind="referral",
        referee_id=_referee(context, context.account.referral),
        order_id=order[0],
        points=fixed + part,
        program_version=program.version,
        share=part,
    )
    return (_effect(referrer_id, "effect.reward.v1", order[1], data),)


def take_back_all(
    context: Context, referral: Referral, order_id: str, at: Instant, program: Compiled
) -> list[Effect]:
    """The effects that take back all that the referrer got: for `order_id`, which qualified by
    `program`, and for the orders after it that have not come back by themselves."""
    form = program.form.referral
    shared = dict(referral.shared)
    fixed = form is not None and form.referrer is not None and form.referrer.fixed
    orders = [order_id] if fixed or shared.get(order_id) else []
    for other, points in referral.shared:
        order = context.account.order(other)
        if other != order_id and points and not (order is not None and order.wholly_returned):
            orders.append(other)
    return [_taken(context, referral, order, at, None) for order in orders]


def take_back_share(
    context: Context, referral: Referral, order: Order, returned: int, *, wholly: bool, at: Instant
) -> list[Effect]:
    """The effect that takes back what a return is due of the order's share. `returned`: what has
    come back of it with this return."""
    points = dict(referral.shared).get(order.order_id, 0)
    if not points:
        return []
    amount, before = sum(order.amounts), sum(order.returned)
    due = points if wholly else back_of(points, amount, returned)
    due -= points if order.wholly_returned else back_of(points, amount, before) if before else 0
    return [_taken(context, referral, order.order_id, at, due)] if due > 0 else []


def _taken(
    context: Context, referral: Referral, order_id: str, at: Instant, points: int | None
) -> Effect:
    data = RevokeEffectData("referral", _referee(context, referral), order_id, points)
    return _effect(referral.referrer_id, "effect.revoke.v1", at, data)


def _effect(target: str, kind: str, at: Instant, data: Struct) -> Effect:
    return Effect(target, kind, at, Raw(msgspec.json.encode(data)))


def _referee(context: Context, referral: Referral | None) -> str:
    """Who was brought in: the member, or one whose account was merged into this one."""
    named = None if referral is None else referral.referee_id
    return named or context.account.member_id
