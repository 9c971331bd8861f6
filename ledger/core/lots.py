"""An account's points: lots, debt and their totals, moved by postings and by nothing else.

Lots are immutable and replaced, so that a fork shares them; two sorted lists keep the order in
which lots fall due and in which they are drawn. Deciding tries its postings on a fork and folding
applies the same postings to the account through the same methods: they cannot disagree.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable

from msgspec import Struct

from ledger.core.errors import InvariantBroken
from schemas.decisions import NO_LOT, Award, MovedLot
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


class Holdings(Struct, gc=False):
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

    def open(self, number: int, points: int, award: Award, source: str, account: str) -> None:
        """Open a lot with the award's moments that holds `points`, all of them in `account`: both
        sides of its grant at once. Raises InvariantBroken (3)."""
        if number != self.next_lot or points <= 0:
            raise InvariantBroken(
                3, f"lot {number} of {points} points opened where {self.next_lot} is next"
            )
        self.next_lot += 1
        self.granted += points
        activates_at, expires_at = award.activates_at, award.expires_at
        granted_at = award.granted_at
        if account == "pending":
            self.pending += points
            insort(self.due, (activates_at, number))
            self.lots[number] = Lot(
                number, points, granted_at, activates_at, expires_at, source, points
            )
        elif account == "available":
            self.available += points
            insort(self.draw, (NEVER if expires_at is None else expires_at, activates_at, number))
            self.lots[number] = Lot(
                number, points, granted_at, activates_at, expires_at, source, 0, points
            )
        else:
            raise InvariantBroken(3, f"lot {number} was granted to {account}")

    def receive(self, moved: MovedLot) -> None:
        """Open a lot that comes from another account, still with nothing in it: no grant, so the
        points ever granted stay. Raises InvariantBroken (3)."""
        number = moved.lot
        if number < self.next_lot or moved.granted <= 0:
            raise InvariantBroken(
                3, f"lot {number} of {moved.granted} points came where {self.next_lot} is next"
            )
        self.next_lot = number + 1
        self.lots[number] = Lot(
            number,
            moved.granted,
            moved.granted_at,
            moved.activates_at,
            moved.expires_at,
            moved.source,
        )

    def reopen(self, lot: Lot) -> None:
        """Put back a lot that was spent to nothing, still with nothing in it."""
        self.lots.setdefault(lot.number, lot)

    def move(self, source: str, target: str, points: int, number: int) -> None:
        """Apply both sides of a double entry: `points` of a lot from `source` to `target`. Raises
        InvariantBroken (2, 3)."""
        if number == NO_LOT:
            self.post(source, -points, NO_LOT)
            self.post(target, points, NO_LOT)
            return
        lot = self._lot(number)
        pending, available, reserved = lot.pending, lot.available, lot.reserved
        if source == "pending":
            pending -= points
        elif source == "available":
            available -= points
        elif source == "reserved":
            reserved -= points
        else:
            self._post_outside(source, -points)
        if target == "available":
            available += points
        elif target == "reserved":
            reserved += points
        elif target == "pending":
            pending += points
        else:
            self._post_outside(target, points)
        self._put(lot, pending, available, reserved)

    def post(self, account: str, points: int, number: int) -> None:
        """Apply one side of a double entry. Raises InvariantBroken (2, 3)."""
        if account == "available" and number == NO_LOT:
            self.debt -= points
            if self.debt < 0:
                raise InvariantBroken(2, "more debt was paid than there was")
        elif account == "pending":
            lot = self._lot(number)
            self._put(lot, lot.pending + points, lot.available, lot.reserved)
        elif account == "available":
            lot = self._lot(number)
            self._put(lot, lot.pending, lot.available + points, lot.reserved)
        elif account == "reserved":
            lot = self._lot(number)
            self._put(lot, lot.pending, lot.available, lot.reserved + points)
        else:
            self._post_outside(account, points)

    def _post_outside(self, account: str, points: int) -> None:
        if account == "expired":
            self.expired += points
        elif account == "issued":
            self.granted -= points

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
        number = lot.number
        self.lots[number] = Lot(
            number,
            lot.granted,
            lot.granted_at,
            lot.activates_at,
            lot.expires_at,
            lot.source,
            pending,
            available,
            reserved,
        )
        if pending != lot.pending:
            self.pending += pending - lot.pending
            if not lot.pending:
                insort(self.due, (lot.activates_at, number))
            elif not pending:
                del self.due[bisect_left(self.due, (lot.activates_at, number))]
        if available != lot.available:
            self.available += available - lot.available
            if not lot.available:
                insort(self.draw, draw_key(lot))
            elif not available:
                del self.draw[bisect_left(self.draw, draw_key(lot))]
        self.reserved += reserved - lot.reserved

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
        if self.draw and self.draw[0][0] < due:
            return self.draw[0][0]
        return due
