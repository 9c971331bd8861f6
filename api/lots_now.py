"""A member's lots now: from the account, as the balance, and not from all of the member's log.

An account does not know which rules granted a lot, but that never changes: it is read from the log
once and kept; of lots that came since, from the events that came since.
"""

from collections import OrderedDict
from collections.abc import Iterable
from copy import copy

from msgspec import Struct

from ledger.core.account import Account
from ledger.core.lots import Lot
from projections.lots import LotView, grant, in_draw_order
from schemas.decisions import AccountEvent

MEMBERS_MAX = 20_000
"""Members whose lots' rules are kept: at some ten lots each, some tens of megabytes."""


class Learned(Struct, frozen=True):
    """Of a member's lots what was granted and by which rules, by the log up to a version. Of lots
    that were empty when it was kept nothing."""

    version: int = 0
    lots: dict[int, LotView] = {}

    def and_of(self, events: Iterable[AccountEvent]) -> "Learned":
        """This, with the events that follow on its version."""
        lots = {number: copy(view) for number, view in self.lots.items()}  # `grant` changes them
        version = self.version
        for event in events:
            grant(lots, event)
            version += 1
        return Learned(version, lots)


class LotRules:
    """Which rules granted the lots of those who were asked about last. For one loop."""

    def __init__(self) -> None:
        self._learned: OrderedDict[str, Learned] = OrderedDict()

    def learned(self, member_id: str) -> Learned:
        """What is kept of the member."""
        return self._learned.get(member_id, Learned())

    def lots(self, account: Account, learned: Learned) -> list[LotView] | None:
        """The account's lots with something left, in draw order; None when the rules of one are
        not known. The account is settled to the moment asked about."""
        left = [lot for lot in account.holdings.lots.values() if lot.left]
        known = learned.lots
        if any(lot.number not in known or known[lot.number].granted != lot.granted for lot in left):
            return None
        kept = {lot.number: known[lot.number] for lot in left}
        self._learned[account.member_id] = Learned(learned.version, kept)
        self._learned.move_to_end(account.member_id)
        while len(self._learned) > MEMBERS_MAX:
            self._learned.popitem(last=False)
        return sorted([_view(lot, kept[lot.number].rules) for lot in left], key=in_draw_order)


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
