"""Restoring what points paid for and came back: to the lots that they were drawn from.

What a redemption spent on an order is shared among its lines like an award; of a line's share as
much is due as of the line came back. Each redemption of the order has a sharing of its own, so it
does not matter how many paid, nor which came first: the return, or the confirmation of a till that
was offline.
"""

from collections.abc import Iterable, Sequence

from ledger.core.account import Account
from ledger.core.context import Context
from ledger.core.lots import Lot
from ledger.core.postings import Draft
from ledger.core.records import Order, unpack
from ledger.core.rules import allocate
from schemas.decisions import LineReturned


class Progress:
    """How far an order has come back while one return is applied."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.returned = list(order.returned or [0] * len(order.amounts))
        self.whole = list(order.whole or [False] * len(order.amounts))

    def due(self, line: int, share: int) -> int:
        """What of a line's share must have been taken back by now."""
        if self.whole[line]:
            return share
        back = self.returned[line]
        return share * back // self.order.amounts[line] if back else 0

    def due_of(self, points: int) -> int:
        """What must have been restored by now of `points` that paid for the order."""
        shares = allocate(points, self.order.amounts)
        return sum([self.due(line, share) for line, share in enumerate(shares)])

    def advance(self, line: LineReturned) -> None:
        """Take one more line of the return into account."""
        self.returned[line.line] += line.amount
        self.whole[line.line] = self.returned[line.line] == self.order.amounts[line.line]


def restore(
    context: Context, order: Order, progress: Progress, names: Sequence[str], draft: Draft
) -> tuple[tuple[str, int], ...]:
    """Restore what is due of these redemptions of the order, each from the first lot that it drew
    on. What each got back, for the event; empty where the first of them got all."""
    found, draws = [], []
    for name in names:
        spent = context.account.redemptions[name]
        due = progress.due_of(sum([points for _, points in spent.draws])) - spent.restored
        if due > 0:
            found.append((name, due))
            draws += _part(draft, spent.draws, spent.restored, due)
    at = max(context.at, order.at)
    if draws:
        draft.give_back("redeemed", draws, at, max(at, context.now), context.program)
    alone = len(found) == 1 and found[0][0] == names[0]
    return () if alone else tuple(found)


def _part(
    draft: Draft, drawn: Iterable[tuple[Lot, int]], skip: int, left: int
) -> list[tuple[int, int]]:
    """The lots, and how much of each, of the `left` points after the first `skip`; they live
    again."""
    draws = []
    for lot, points in drawn:
        skipped = min(skip, points)
        skip -= skipped
        part = min(left, points - skipped)
        if part:
            draft.held.reopen(lot)
            draws.append((lot.number, part))
            left -= part
    return draws


def restore_spent(
    context: Context, order_id: str | None, draft: Draft, spent: Sequence[tuple[int, int]]
) -> None:
    """Restore what of points just spent on an order, as (lot, points), has come back already."""
    order = None if order_id is None else context.account.order(order_id)
    if order is None or not order.whole:
        return
    left = Progress(order).due_of(sum([points for _, points in spent]))
    draws = []
    for number, points in spent:
        part = min(left, points)
        if part:
            draws.append((number, part))
            left -= part
    if draws:
        at = max(context.at, order.at)
        draft.give_back("redeemed", draws, at, max(at, context.now), context.program)


def paid_with(account: Account, redemption_id: str) -> str | None:
    """The latest order that names the redemption; orders that do not hold its id stay packed."""
    for packed in reversed(account.orders.values()):
        if redemption_id.encode() in packed:
            order = unpack(packed)
            if order.redemption_id == redemption_id:
                return order.order_id
    return None
