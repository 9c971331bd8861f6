"""An account's points: lots, debt and their totals, moved by postings and by nothing else.

Lots are immutable and replaced, so that a fork shares them; two sorted lists keep the order in
which lots fall due and in which they are drawn. Deciding tries its postings on a fork and folding
applies the same postings to the account through the same `post`: they cannot disagree.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable

from msgspec import Struct

from ledger.core.errors import InvariantBroken
from schemas.decisions import NO_LOT, Award
from schemas.fields import Instant

NEVER: Instant = 2**62
"""Sorts after every moment: the expiry of lots that never expire."""


class Lot(Struct, frozen=True, array_like=True, gc=False):
    """Points granted together. `source`: the order they came with, `REFEREE/ORDER` for a
    referrer's reward, "" for what no return can take back."""

    number: int
    granted: int
    granted_at: Instant
    activates_at: Instant
    expires_at: Instant | None
    source: str
    pending: int = 0
    available: int = 0
    reserved: int = 0

    @property
    def left(self) -> int:
        """What is left in the lot, wherever it is."""
        return self.pending + self.available + self.reserved


DrawKey = tuple[Instant, Instant, int]


def draw_key(lot: Lot) -> DrawKey:
    """Draw order: soonest-expiring first, then activated first, then granted first."""
    expires_at = lot.expires_at
    return (NEVER if expires_at is None else expires_at, lot.activates_at, lot.number)


class Holdings(Struct):
    """The points of one account. `due`: (activates_at, number) of lots with pending points, `draw`:
    draw keys of lots with available points, both sorted. `available` does not know of the debt."""

    lots: dict[int, Lot] = {}
    due: list[tuple[Instant, int]] = []
    draw: list[DrawKey] = []
    pending: int = 0
    available: int = 0
    reserved: int = 0
    debt: int = 0
    granted: int = 0
    expired: int = 0
    next_lot: int = 1

    def fork(self) -> "Holdings":
        """A copy that can be changed without changing this one; the lots are shared."""
        return Holdings(
            self.lots.copy(),
            self.due.copy(),
            self.draw.copy(),
            self.pending,
            self.available,
            self.reserved,
            self.debt,
            self.granted,
            self.expired,
            self.next_lot,
        )

    def open_lots(self, awards: Iterable[Award], source: str) -> None:
        """Open the awards' lots, with nothing in them yet; awards of one lot are added up."""
        first = self.next_lot
        for award in awards:
            if not award.points:
                continue
            number, points = award.lot, award.points
            if number == self.next_lot:
                self.next_lot += 1
            elif first <= number < self.next_lot:
                points += self.lots[number].granted
            else:
                raise InvariantBroken(3, f"lot {number} opened where {self.next_lot} is next")
            self.lots[number] = Lot(
                number, points, award.granted_at, award.activates_at, award.expires_at, source
            )

    def reopen(self, lot: Lot) -> None:
        """Put back a lot that was spent to nothing, still with nothing in it."""
        self.lots.setdefault(lot.number, lot)

    def post(self, account: str, points: int, number: int) -> None:
        """Apply one side of a double entry. Raises InvariantBroken (2, 3)."""
        if account == "pending":
            self.pending += points
            lot = self._lot(number)
            was, now = lot.pending, lot.pending + points
            self._put(lot, now, lot.available, lot.reserved)
            if not was:
                insort(self.due, (lot.activates_at, number))
            elif not now:
                del self.due[bisect_left(self.due, (lot.activates_at, number))]
        elif account == "available":
            if number == NO_LOT:
                self.debt -= points
                if self.debt < 0:
                    raise InvariantBroken(2, "more debt was paid than there was")
                return
            self.available += points
            lot = self._lot(number)
            was, now = lot.available, lot.available + points
            self._put(lot, lot.pending, now, lot.reserved)
            if not was:
                insort(self.draw, draw_key(lot))
            elif not now:
                del self.draw[bisect_left(self.draw, draw_key(lot))]
        elif account == "reserved":
            self.reserved += points
            lot = self._lot(number)
            self._put(lot, lot.pending, lot.available, lot.reserved + points)
        elif account == "issued":
            self.granted -= points
        elif account == "expired":
            self.expired += points

    def _lot(self, number: int) -> Lot:
        lot = self.lots.get(number)
        if lot is None:
            raise InvariantBroken(3, f"a posting names lot {number}, which is not open")
        return lot

    def _put(self, lot: Lot, pending: int, available: int, reserved: int) -> None:
        if (
            pending < 0
            or available < 0
            or reserved < 0
            or pending + available + reserved > lot.granted
        ):
            raise InvariantBroken(
                3,
                f"lot {lot.number} of {lot.granted} points would hold {pending} pending, "
                f"{available} available, {reserved} reserved",
            )
        self.lots[lot.number] = Lot(
            lot.number,
            lot.granted,
            lot.granted_at,
            lot.activates_at,
            lot.expires_at,
            lot.source,
            pending,
            available,
            reserved,
        )

    def set_expiry(self, number: int, expires_at: Instant | None) -> None:
        """Let a lot expire at another moment."""
        old = self._lot(number)
        if old.available:
            del self.draw[bisect_left(self.draw, draw_key(old))]
        new = Lot(
            number,
            old.granted,
            old.granted_at,
            old.activates_at,
            expires_at,
            old.source,
            old.pending,
            old.available,
            old.reserved,
        )
        self.lots[number] = new
        if new.available:
            insort(self.draw, draw_key(new))

    def drop_empty(self, numbers: Iterable[int]) -> None:
        """Forget those of the lots that have nothing left."""
        for number in numbers:
            lot = self.lots.get(number)
            if lot is not None and not (lot.pending or lot.available or lot.reserved):
                del self.lots[number]

    def next_due(self) -> Instant:
        """When the next lot activates or expires; NEVER when none does."""
        due = self.due[0][0] if self.due else NEVER
        return min(due, self.draw[0][0]) if self.draw else due
