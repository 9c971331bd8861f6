"""Clawbacks: taking back points because what earned them is gone.

Taken from, in this order: what expired unspent of the award's own lot (it counts as taken), the own
lot, other lots of the same order in draw order, available lots in draw order, pending lots
soonest-expiring first; then the policy says whether the account goes into debt. What it does not
take is let go for good. Reserved points are not touched.
"""

from collections.abc import Iterable, Mapping

from ledger.core.lots import draw_key
from ledger.core.postings import Draft
from ledger.core.program.form import Returns
from schemas.decisions import Clawback
from schemas.fields import Instant


class Clawing:
    """The clawbacks of one decision. `at`: their moment; `unspent`: lot → points that expired."""

    __slots__ = ("at", "clawbacks", "draft", "policy", "unspent")

    def __init__(
        self, draft: Draft, unspent: Mapping[int, int], policy: Returns, at: Instant
    ) -> None:
        self.draft = draft
        self.unspent = dict(unspent)
        self.policy = policy
        self.at = at
        self.clawbacks: list[Clawback] = []

    def take(self, award: int, line: int, points: int, own: int, same_order: Iterable[int]) -> None:
        """Take back `points` of the award with lot `own`; `same_order`: the order's lots."""
        expired = min(points, self.unspent.get(own, 0))
        if expired:
            self.unspent[own] -= expired
        due = points - expired
        taken = self._draw(due, own, same_order) if due else 0
        self.clawbacks.append(
            Clawback(
                award=award,
                line=line,
                points=points,
                taken=taken,
                expired=expired,
                let_go=due - taken,
            )
        )

    def _draw(self, due: int, own: int, same_order: Iterable[int]) -> int:
        held, policy = self.draft.held, self.policy.policy
        spendable = policy != "only_pending"
        left = due - self.draft.revoke(own, due, self.at, spendable=spendable)
        if left:
            lots = [held.lots[n] for n in same_order if n in held.lots]
            left = self._revoke([lot.number for lot in sorted(lots, key=draw_key)], left)
        if left and spendable:
            left = self._revoke([key[2] for key in held.draw], left)
        if left:
            pending = sorted((held.lots[number] for _, number in held.due), key=draw_key)
            left = self._revoke([lot.number for lot in pending], left)
        if left and policy == "debt":
            limit = self.policy.debt_limit
            owed = left if limit is None else min(left, max(0, limit - held.debt))
            if owed:
                self.draft.owe(owed, self.at)
            left -= owed
        return due - left

    def _revoke(self, lots: list[int], left: int) -> int:
        spendable = self.policy.policy != "only_pending"
        for number in lots:
            if not left:
                break
            left -= self.draft.revoke(number, left, self.at, spendable=spendable)
        return left
