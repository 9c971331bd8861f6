"""What a member had at a past moment, by what happened or by what was known.

By `occurred_at`: everything recorded by now counts, as far as it had happened by the moment. By
`recorded_at`: only what the log held at the moment counts, events and program versions alike; what
arrived later is left out, also where it tells of an earlier time. Both are the same fold: of the
known events the postings effective by the moment, then settled to it (docs/domain.md, Time).
"""

from collections.abc import Iterable

from msgspec import Struct

from ledger.core.account import Account
from ledger.core.fold import evolve
from ledger.core.program.timeline import Timeline
from ledger.core.settle import settle
from projections.history import Change, changes_of
from projections.lots import LotView, follow, in_draw_order
from schemas.decisions import AccountEvent
from schemas.fields import Instant


class AsOf(Struct, frozen=True, kw_only=True):
    """One member at a moment. Points; `available` is net of `debt`. `lots`: those that held points,
    in draw order; `in_lots`: what they held. `point_value` is that of the version in force, in
    minor units; `liability` is `in_lots` at that value, debt apart."""

    member_id: str
    available: int
    pending: int
    reserved: int
    expired: int
    granted: int
    debt: int
    tier: str
    status: str
    merged_into: str | None
    in_lots: int
    point_value: int
    liability: int
    lots: tuple[LotView, ...]


def as_of(
    member_id: str, events: Iterable[AccountEvent], programs: Timeline, at: Instant
) -> AsOf | None:
    """`events`: those of the member that are known, in the log's order; `programs`: the versions
    that are known. None before the account opened. Raises InvariantBroken."""
    account, views, total = Account.new(member_id), dict[int, LotView](), Change()
    opened = False
    for event in events:
        evolve(account, event)
        _take(event, at, views, total)
        opened |= event.occurred_at <= at
    if not opened:
        return None
    due = settle(account, at, programs) if at > account.settled_to else None
    if due is not None:
        _take(due, at, views, total)
    lots = [lot for lot in views.values() if lot.pending or lot.available or lot.reserved]
    in_lots = sum(lot.pending + lot.available + lot.reserved for lot in lots)
    point_value = programs.at(at).form.point_value
    return AsOf(
        member_id=member_id,
        available=total.available,
        pending=total.pending,
        reserved=total.reserved,
        expired=total.expired,
        granted=total.granted,
        debt=total.debt,
        tier=account.tier_at(at, programs),
        status=account.status,
        merged_into=account.merged_into,
        in_lots=in_lots,
        point_value=point_value,
        liability=in_lots * point_value,
        lots=tuple(sorted(lots, key=in_draw_order)),
    )


def _take(event: AccountEvent, at: Instant, lots: dict[int, LotView], total: Change) -> None:
    follow(lots, event, at)
    for moment, change in changes_of(event).items():
        if moment <= at:
            total.available += change.available
            total.pending += change.pending
            total.reserved += change.reserved
            total.expired += change.expired
            total.granted += change.granted
            total.debt += change.debt
