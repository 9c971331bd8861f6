"""A member's lots now: from the account, as the balance, and not from all of the member's log.

An account does not know which rules granted a lot, but that never changes: it is read from the log
once and kept.
"""

from collections import OrderedDict
from collections.abc import Sequence

from ledger.core.account import Account
from ledger.core.lots import Lot
from projections.lots import LotView, in_draw_order

MEMBERS_MAX = 20_000
"""Members whose lots' rules are kept: at some ten lots each, some tens of megabytes."""

Known = dict[int, tuple[int, tuple[str, ...]]]
"""By lot: what was granted, and by which rules."""


class LotRules:
    """Which rules granted the lots of those who were asked about last. For one loop."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()

    def lots(self, account: Account) -> list[LotView] | None:
        """The account's lots with something left, in draw order; None when the rules of one are
        not known. The account is settled to the moment asked about."""
        left = [lot for lot in account.holdings.lots.values() if lot.left]
        known = self._known.get(account.member_id, {})
        if any(lot.number not in known or known[lot.number][0] != lot.granted for lot in left):
            return None
        if known:
            self._known.move_to_end(account.member_id)
        return sorted([_view(lot, known[lot.number][1]) for lot in left], key=in_draw_order)

    def keep(self, member_id: str, lots: Sequence[LotView]) -> None:
        """Take note of lots as the log tells of them."""
        self._known[member_id] = {lot.lot: (lot.granted, lot.rules) for lot in lots}
        self._known.move_to_end(member_id)
        while len(self._known) > MEMBERS_MAX:
            self._known.popitem(last=False)


def _view(lot: Lot, rules: tuple[str, ...]) -> LotView:
    return LotView(
        lot.number,
        rules,
        lot.granted,
        lot.granted_at,
        lot.activates_at,
        lot.expires_at,
        lot.pending,
        lot.available,
        lot.reserved,
        lot.terms,
    )
