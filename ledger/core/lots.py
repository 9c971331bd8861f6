"""An account's points: lots, debt and their totals, moved by postings and by nothing else.

Lots are immutable and replaced, so that a fork shares them; two sorted lists keep the order in
which lots fall due and in which they are drawn. Deciding tries its postings on a fork and folding
applies the same postings to the account through the same methods: they cannot disagree.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable

from msgspec import Struct
from msgspec.structs import replace

from ledger.core.errors import InvariantBroken
from schemas.decisions import NO_LOT, Award, Idle, MovedLot, Terms
from schemas.fields import Instant

NEVER: Instant = 2**62
"""Sorts after every moment: the expiry of lots that never expire."""


class Lot(Struct, frozen=True, array_like=True, gc=False):
    """Points granted together. `source`: the order they came with, `REFEREE/ORDER` for a
    referrer's reward, "" for what no return can take back. `terms`: what can move its moments; as
    long as it waits for an event, `activates_at` is when it is revoked."""

    number: int
    granted: int
    granted_at: Instant
    activates_at: Instant
    expires_at: Instant | None
    source: str
    pending: int = 0
    available: int = 0
    reserved: int = 0
    terms: Terms | None = None

    @property
    def left(self) -> int:
        """What is left in the lot, wherever it is."""
        return self.pending + self.available + self.reserved


def _later(expires_at: Instant | None, moment: Instant) -> Instant | None:
    return None if expires_at is None else max(expires_at, moment)


DrawKey = tuple[Instant, Instant, int]


def draw_key(lot: Lot) -> DrawKey:
    """Draw order: soonest-expiring first, then activated first, then granted first."""
    expires_at = lot.expires_at
    return (NEVER if expires_at is None else expires_at, lot.activates_at, lot.number)


def idle_moment(idle: Idle, length: str) -> Instant:
    """To which moment the last purchase moved the points of this length of inactivity."""
    for known, moment in idle:
        if known == length:
            return moment
    return 0


class Holdings(Struct, gc=False):
    """The points of one account. `due`: (activates_at, number) of lots with pending points, `draw`:
    draw keys of lots with available points, both sorted. `available` does not know of the debt.
    `awaits`: lots that wait for an event, or did; `idle`: the lengths of inactivity after which
    points expire, each with the moment of the last purchase."""

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
    awaits: tuple[int, ...] = ()
    idle: Idle = ()

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
            self.awaits,
            self.idle,
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
        granted_at, terms = award.granted_at, award.terms
        if terms is not None:
            expires_at = self._known(number, expires_at, terms)
        if account == "pending":
            self.pending += points
            insort(self.due, (activates_at, number))
            self.lots[number] = Lot(
                number, points, granted_at, activates_at, expires_at, source, points, terms=terms
            )
        elif account == "available":
            self.available += points
            insort(self.draw, (NEVER if expires_at is None else expires_at, activates_at, number))
            self.lots[number] = Lot(
                number, points, granted_at, activates_at, expires_at, source, 0, points, terms=terms
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
        if moved.terms is not None:
            self._known(number, moved.expires_at, moved.terms)
        self.lots[number] = Lot(
            number,
            moved.granted,
            moved.granted_at,
            moved.activates_at,
            moved.expires_at,
            moved.source,
            terms=moved.terms,
        )

    def _known(self, number: int, expires_at: Instant | None, terms: Terms) -> Instant | None:
        """Take note of the terms of a new lot; when it expires."""
        if terms.event:
            self.awaits += (number,)
            return expires_at
        if terms.idle not in [length for length, _ in self.idle]:
            self.idle += ((terms.idle, 0),)
        return _later(expires_at, idle_moment(self.idle, terms.idle))

    def reopen(self, lot: Lot) -> None:
        """Put back a lot that was spent to nothing, still with nothing in it."""
        if lot.number not in self.lots:
            self.lots[lot.number] = lot
            if lot.terms is not None and lot.terms.idle:
                moment = idle_moment(self.idle, lot.terms.idle)
                self.set_expiry(lot.number, _later(lot.expires_at, moment))

    def move_on(self, idle: Idle) -> None:
        """Let what expires after inactivity expire at the moments to which a purchase moves it, and
        no earlier than it does now."""
        for length, moment in idle:
            known = tuple(each for each in self.idle if each[0] != length)
            self.idle = (*known, (length, max(moment, idle_moment(self.idle, length))))
            moved = False
            for number, lot in self.lots.items():
                terms = lot.terms
                if terms is not None and terms.idle == length and not terms.event:
                    expires_at = _later(lot.expires_at, max(moment, lot.activates_at))
                    if expires_at != lot.expires_at:
                        self.lots[number] = Lot(
                            number,
                            lot.granted,
                            lot.granted_at,
                            lot.activates_at,
                            expires_at,
                            lot.source,
                            lot.pending,
                            lot.available,
                            lot.reserved,
                            terms,
                        )
                        moved = True
            if moved:  # all at once: cheaper than each to its place
                self.draw = sorted([draw_key(lot) for lot in self.lots.values() if lot.available])

    def reach(self, number: int, activates_at: Instant, expires_at: Instant | None) -> None:
        """The event that a lot waited for has come: from when on it is available, until when."""
        lot = self._lot(number)
        if lot.terms is None or not lot.pending:
            raise InvariantBroken(3, f"lot {number} does not wait for an event")
        del self.due[bisect_left(self.due, (lot.activates_at, number))]
        insort(self.due, (activates_at, number))
        self.awaits = tuple(each for each in self.awaits if each != number)
        idle, terms = lot.terms.idle, None
        if idle:
            terms = Terms(idle)
            if idle not in [length for length, _ in self.idle]:
                self.idle += ((idle, 0),)
        self.lots[number] = replace(
            lot, activates_at=activates_at, expires_at=expires_at, terms=terms
        )

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
            lot.terms,
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
            old.terms,
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
                if lot.terms is not None:
                    self.awaits = tuple(each for each in self.awaits if each != number)

    def next_due(self) -> Instant:
        """When the next lot activates or expires; NEVER when none does."""
        due = self.due[0][0] if self.due else NEVER
        if self.draw and self.draw[0][0] < due:
            return self.draw[0][0]
        return due
