"""Deciding on adjustments: points given or taken by hand, never without a reason and an actor.

Given points are a lot of their own, spendable at once, and pay a debt first. Taken points are drawn
in draw order; below zero only where the command allows it. Nothing else counts: no tier, no limit.
"""

from ledger.core.calendar import to_instant
from ledger.core.context import Context, Refused
from ledger.core.postings import Draft
from ledger.core.spending_limits import check_available
from schemas.decisions import Award, PointsAdjusted
from schemas.inputs import AdjustData, PointsAdjust

KIND = "adjustment"
"""The kind of the award that opens a lot, and what stands for its rule."""


def decide_adjust(context: Context, event: PointsAdjust) -> PointsAdjusted:
    """Give or take points. Raises Refused."""
    data = event.data
    if data.points > 0:
        return _given(context, data)
    if not data.allow_debt:
        check_available(context, -data.points)
    draft = Draft(context.account.holdings)
    drawn = min(-data.points, draft.held.available)
    draft.draw("adjusted", drawn, context.at)
    if drawn < -data.points:
        draft.owe(-data.points - drawn, context.at, "adjusted")
    return _adjusted(context, data, draft)


def _given(context: Context, data: AdjustData) -> PointsAdjusted:
    at, program = context.at, context.program
    expires_at = terms = None
    if data.expires_at is None:
        # Spendable at once, whatever the program says of earned points: its expiry counts from now.
        timing = program.timing(activation="immediately")
        _, expires_at = timing.moments(at, program.zone)
        terms = timing.terms(at, program.zone)
    else:
        expires_at = to_instant(data.expires_at)
        if expires_at <= at:
            raise Refused("already_expired", "the points would have expired before they are given")
    draft = Draft(context.account.holdings)
    lot = draft.held.next_lot
    award = Award(
        rule=KIND,
        kind=KIND,
        value=data.points,
        points=data.points,
        granted_at=at,
        activates_at=at,
        expires_at=expires_at,
        lot=lot,
        terms=terms,
    )
    draft.adjust_in(award)
    draft.catch_up(lot, context.now)
    return _adjusted(context, data, draft, (award,))


def _adjusted(
    context: Context, data: AdjustData, draft: Draft, awards: tuple[Award, ...] = ()
) -> PointsAdjusted:
    return PointsAdjusted(
        **context.head(),
        postings=tuple(draft.postings),
        points=data.points,
        reason=data.reason,
        actor=data.actor,
        allow_debt=data.allow_debt,
        awards=awards,
    )
