"""A member's points: lots, reservations, debt and the double entries that moved them.

Every movement is one entry that sums to zero over the accounts, effective at a moment; a balance as
of a moment is the sum of the entries effective by then. `available` may be below zero: that is
debt. What falls due (activation, lapse of a reservation, expiry) is done by `settle`, in the order
of the moments.
"""

import copy
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from demo.reference.dates import STEP, Duration, plus
from demo.reference.program import Activation, Expiry, Program, Versions

_FAR = datetime.max.replace(tzinfo=UTC)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)

Names = tuple[str, ...]


@dataclass(frozen=True)
class Moments:
    """When points activate and expire. Of points that wait for `event` until `until`: when they are
    revoked; then `expiry` counts from the event. `idle`: after so long without a purchase."""

    activates_at: datetime
    expires_at: datetime | None
    event: str = ""
    until: datetime = _FAR
    expiry: Expiry | None = None
    idle: Duration | None = None

    @classmethod
    def of(
        cls, at: datetime, activation: Activation, expiry: Expiry, versions: Versions
    ) -> "Moments":
        if activation.on:
            until = plus(at, activation.within, versions.zone)
            return cls(until + STEP, None, activation.on, until, expiry)
        activates_at = plus(at, activation.after, versions.zone)
        expires_at = expiry.of(at, activates_at, versions.zone)
        return cls(activates_at, expires_at, idle=expiry.idle)


@dataclass(eq=False, slots=True)
class Lot:
    number: int  # in the order granted
    granted_at: datetime
    activates_at: datetime
    expires_at: datetime | None
    left: int
    active: bool = False
    expired_unspent: int = 0  # expired (or never activated), and not yet set against a clawback
    moments: Moments | None = None  # what can still move its own

    @property
    def waits(self) -> bool:
        """Whether it becomes available by an event only."""
        return self.moments is not None and bool(self.moments.event)

    @property
    def draw_order(self) -> tuple[datetime, datetime, int]:
        return self.expires_at or _FAR, self.activates_at, self.number

    @property
    def account(self) -> str:
        return "available" if self.active else "pending"


@dataclass(eq=False, slots=True)
class Hold:
    """A redemption: reserved, then confirmed, cancelled or lapsed (the last two give everything
    back).
    """

    made_at: datetime
    lapses_at: datetime
    parts: list[tuple[Lot, int]]
    open: bool = True
    order_id: str | None = None  # the purchase it was spent on
    restored: int = 0
    capped: bool = False  # whether it counts towards a cap of the day

    @property
    def held(self) -> int:
        """Points held or spent; restoring them does not change it."""
        return sum(part for _, part in self.parts)


@dataclass
class Welcome:
    level: str
    at: datetime
    lot: Lot
    points: int


@dataclass
class Wallet:
    versions: Versions
    settled_to: datetime
    lots: list[Lot] = field(default_factory=list)  # with something left
    holds: list[Hold] = field(default_factory=list)  # open ones
    debt: int = 0
    entries: list[tuple[datetime, dict[str, int]]] = field(default_factory=list)
    granted_lots: int = 0
    forfeits_at: datetime | None = None  # when the notice of a closed account ends
    idle: dict[Duration, datetime] = field(default_factory=dict)  # where purchases moved them to
    welcomed: list[Welcome] = field(default_factory=list)
    # When the tier may rise without an input, the first after a moment; and what that comes to.
    next_rise: Callable[[datetime], datetime | None] = lambda _: None
    rise: Callable[["Wallet", datetime], None] = lambda _, __: None

    def post(self, at: datetime, **moves: int) -> None:
        assert sum(moves.values()) == 0, moves
        self.entries.append((at, moves))

    def balance(self, at: datetime) -> Counter[str]:
        """Every account's balance as of a moment; the wallet itself does not change."""
        wallet = self
        if at > self.settled_to:
            wallet = copy.copy(self)
            twins = {lot: copy.copy(lot) for lot in self._all_lots()}
            wallet.lots = [twins[lot] for lot in self.lots]
            wallet.holds = [
                replace(hold, parts=[(twins[lot], n) for lot, n in hold.parts])
                for hold in self.holds
            ]
            wallet.entries = list(self.entries)
            wallet.welcomed = list(self.welcomed)
            wallet.settle(at)
        total: Counter[str] = Counter()
        for moment, moves in wallet.entries:
            if moment <= at:
                total.update(moves)
        return total

    def _all_lots(self) -> list[Lot]:
        return self.lots + [lot for hold in self.holds for lot, _ in hold.parts]

    def check(self) -> None:
        """What is in the entries is what is in the lots, the reservations and the debt."""
        total: Counter[str] = Counter()
        for _, moves in self.entries:
            total.update(moves)
        active = sum(lot.left for lot in self.lots if lot.active)
        assert total["available"] == active - self.debt
        assert total["pending"] == sum(lot.left for lot in self.lots) - active
        assert total["reserved"] == sum(n for hold in self.holds for _, n in hold.parts)
        assert all(lot.left > 0 for lot in self.lots)
        assert self.debt >= 0
        assert not (self.debt and active), "debt is paid whenever points become available"

    # Time

    def settle(self, until: datetime) -> None:
        while (due := self._next_due(until)) is not None:
            self.settled_to = max(self.settled_to, due)
            self._come_due(due)
            for hold in [hold for hold in self.holds if hold.lapses_at <= due]:
                self.release(hold, hold.lapses_at)
            self.rise(self, due)
            for lot in self.lots:
                if lot.active and lot.expires_at is not None and lot.expires_at <= due:
                    self._expire(lot)
            self._forget_empty()
            if self.forfeits_at is not None and self.forfeits_at <= due:
                self.forfeit(self.forfeits_at)
        self.settled_to = max(self.settled_to, until)

    def happens(self, names: Names, at: datetime) -> None:
        """Settle to an event: what waited for it activates before all else of its instant."""
        self.settle(at - STEP)
        for lot in list(self.lots):
            waiting = lot.moments
            if (
                not lot.active
                and waiting is not None
                and waiting.event in names
                and lot.granted_at <= at <= waiting.until
            ):
                assert waiting.expiry is not None
                lot.activates_at, idle = at, waiting.expiry.idle
                lot.expires_at = waiting.expiry.of(at, at, self.versions.zone)
                lot.moments = None
                if idle is not None and lot.expires_at is not None:
                    lot.moments = Moments(at, lot.expires_at, idle=idle)
                    self._know(idle)
                    lot.expires_at = max(lot.expires_at, self.idle[idle])
                self.activate(lot)
        self._drop_expired(self.settled_to)
        self.pay_debt()
        self.settle(at)

    def purchased(self, at: datetime, first_lot: int) -> None:
        """What expires after inactivity begins anew; never earlier than it would have. `first_lot`:
        of those that the purchase itself gave."""
        for lot in self.lots:
            if lot.number >= first_lot and lot.moments is not None and lot.moments.expiry:
                self._know(lot.moments.expiry.idle)
        for length, moved in self.idle.items():
            self.idle[length] = max(plus(at, length, self.versions.zone), moved)
        for lot in self._all_lots():
            self._moved_on(lot)

    def _know(self, length: Duration | None) -> None:
        if length is not None:
            self.idle.setdefault(length, _LONG_AGO)

    def _moved_on(self, lot: Lot) -> None:
        """Let it expire where the last purchase has moved all of its kind to."""
        moments = lot.moments
        if moments is not None and moments.idle is not None and lot.expires_at is not None:
            moved = self.idle.get(moments.idle, _LONG_AGO)
            lot.expires_at = max(lot.expires_at, moved)

    def _come_due(self, due: datetime) -> None:
        for lot in self.lots:
            if not lot.active and lot.activates_at <= due and not lot.waits:
                self.activate(lot)
        self.pay_debt()
        for lot in self.lots:
            if not lot.active and lot.activates_at <= due:
                self._revoke_waiting(lot)
        self._forget_empty()

    def _revoke_waiting(self, lot: Lot) -> None:
        self.post(lot.activates_at, pending=-lot.left, revoked=lot.left)
        lot.expired_unspent += lot.left
        lot.left = 0

    def _next_due(self, until: datetime) -> datetime | None:
        due = min((hold.lapses_at for hold in self.holds), default=self.forfeits_at or _FAR)
        due = min(due, self.forfeits_at or _FAR, self.next_rise(self.settled_to) or _FAR)
        for lot in self.lots:
            moment = lot.expires_at if lot.active else lot.activates_at
            if moment is not None and moment < due:
                due = moment
        return due if due <= until else None

    def activate(self, lot: Lot) -> None:
        lot.active = True
        self.post(lot.activates_at, pending=-lot.left, available=lot.left)

    def _expire(self, lot: Lot) -> None:
        assert lot.expires_at is not None
        self.post(lot.expires_at, available=-lot.left, expired=lot.left)
        lot.expired_unspent += lot.left
        lot.left = 0

    def _forget_empty(self) -> None:
        self.lots = [lot for lot in self.lots if lot.left]

    # Points in

    def grant(self, points: int, at: datetime, moments: Moments) -> Lot:
        self.granted_lots += 1
        lot = Lot(self.granted_lots, at, moments.activates_at, moments.expires_at, points)
        if moments.event or moments.idle is not None:
            lot.moments = moments
            self._know(moments.idle)
            self._moved_on(lot)
        self.post(at, issued=-points, pending=points)
        if lot.expires_at is not None and lot.expires_at <= self.settled_to:
            # Too late to be of any use, also to pay a debt: granted and expired at once.
            self.activate(lot)
            self._expire(lot)
        else:
            self.lots.append(lot)
        return lot

    def give_back(
        self, lot: Lot, points: int, at: datetime, source: str, program: Program | None = None
    ) -> None:
        """Return spent or reserved points to their lot; one that has expired lives on for the
        grace.
        """
        if source == "redeemed" and lot not in self._all_lots():
            self._moved_on(lot)  # it was spent to nothing while others were moved
        if lot.expires_at is not None and lot.expires_at <= max(at, self.settled_to):
            if lot.left:  # falls due at this very moment: what was not reserved gets no grace
                self._expire(lot)
            grace = (program or self.versions.at(at)).restore_grace
            lot.expires_at = max(lot.expires_at, self._after(at, grace))
        if lot not in self.lots:
            self.lots.append(lot)
        lot.left += points
        moves = {source: -points, "available": points}
        self.post(max(at, lot.activates_at), **moves)

    def pay_debt(self) -> None:
        """The entries need nothing: `available` is already the lots less the debt."""
        for lot in self.spendable() if self.debt else ():
            paid = min(self.debt, lot.left)
            lot.left -= paid
            self.debt -= paid
        self._forget_empty()

    # Points out

    def spendable(self) -> list[Lot]:
        return sorted((lot for lot in self.lots if lot.active), key=lambda lot: lot.draw_order)

    def take(self, lot: Lot, points: int, at: datetime, target: str) -> None:
        lot.left -= points
        moves = {lot.account: -points, target: points}
        self.post(max(at, lot.activates_at if lot.active else lot.granted_at), **moves)

    def reserve(self, points: int, at: datetime, ttl: Duration) -> Hold:
        hold = Hold(at, self._after(at, ttl), [])
        for lot in self.spendable():
            part = min(lot.left, points)
            if part:
                self.take(lot, part, at, "reserved")
                hold.parts.append((lot, part))
                points -= part
        assert points == 0, "the caller has looked at what is available"
        self.holds.append(hold)
        self._forget_empty()
        return hold

    def confirm(self, hold: Hold, points: int, at: datetime) -> None:
        """Spend the first so many points of a reservation; the rest goes back to its lots."""
        kept, rest = [], []
        for lot, part in hold.parts:
            spent = min(part, points)
            points -= spent
            if spent:
                kept.append((lot, spent))
                self.post(max(at, lot.activates_at), reserved=-spent, redeemed=spent)
            if part > spent:
                rest.append((lot, part - spent))
        hold.parts = rest
        self.release(hold, at)
        hold.parts = kept

    def release(self, hold: Hold, at: datetime) -> None:
        hold.open = False
        self.holds.remove(hold)
        for lot, part in hold.parts:
            self.give_back(lot, part, at, "reserved")
        hold.parts = []
        self.pay_debt()

    def _after(self, at: datetime, by: Duration) -> datetime:
        return plus(at, by, self.versions.zone)

    def claw_back(
        self, points: int, own: Lot, same_order: list[Lot], at: datetime, program: Program
    ) -> int:
        """Take back what the return policy lets it find; the rest, which it tells, is let go."""
        credit = min(points, own.expired_unspent)
        own.expired_unspent -= credit
        points -= credit
        order = sorted(same_order, key=lambda lot: lot.draw_order)
        others = sorted(self.lots, key=lambda lot: (not lot.active, lot.draw_order))
        for lot in [own, *order, *others]:
            part = min(points, lot.left)
            if part and not (lot.active and program.return_policy == "only_pending"):
                self.take(lot, part, at, "revoked")
                points -= part
        if points and program.return_policy == "debt":
            room = points
            if program.debt_limit is not None:
                room = min(points, max(0, program.debt_limit - self.debt))
            self.debt += room
            points -= room
            self.post(at, available=-room, revoked=room)
        self._forget_empty()
        return points

    def forfeit(self, at: datetime) -> None:
        """Everything is gone, wherever it is, debt too."""
        for lot in self.lots:
            self.take(lot, lot.left, at, "revoked")
        for hold in self.holds:
            for lot, part in hold.parts:
                self.post(max(at, lot.activates_at), reserved=-part, revoked=part)
            hold.open, hold.parts = False, []
        if self.debt:
            self.post(at, revoked=-self.debt, available=self.debt)
        self.lots, self.holds, self.debt, self.forfeits_at = [], [], 0, None

    # Points by hand

    def adjust_in(self, points: int, at: datetime, moments: Moments) -> None:
        self.granted_lots += 1
        lot = Lot(self.granted_lots, at, at, moments.expires_at, points, active=True)
        if moments.idle is not None:
            lot.moments = moments
            self._know(moments.idle)
            self._moved_on(lot)
        self.post(at, adjusted=-points, available=points)
        self.lots.append(lot)
        self._drop_expired(at)
        self.pay_debt()

    def draw(self, points: int, at: datetime, target: str) -> None:
        """Take points that are there, in draw order, and what is not there as debt."""
        for lot in self.spendable():
            part = min(lot.left, points)
            if part:
                self.take(lot, part, at, target)
                points -= part
        self._forget_empty()
        if points:
            self.debt += points
            self.post(at, available=-points, **{target: points})

    # Two wallets

    def send(self, points: int, at: datetime) -> list[tuple[Lot, int]]:
        """Give points away in draw order: from which lots how many."""
        sent = []
        for lot in self.spendable():
            part = min(lot.left, points)
            if part:
                self.take(lot, part, at, "transferred")
                sent.append((lot, part))
                points -= part
        self._forget_empty()
        return sent

    def receive(self, sent: list[tuple[Lot, int]], at: datetime) -> None:
        """Points from another member: new lots with the moments that they had there."""
        for theirs, points in sent:
            self.granted_lots += 1
            lot = Lot(self.granted_lots, at, theirs.activates_at, theirs.expires_at, points)
            lot.active = lot.activates_at <= max(at, self.settled_to)
            self.post(max(at, lot.activates_at), transferred=-points, **{lot.account: points})
            self.lots.append(lot)
        self._drop_expired(at)
        self.pay_debt()

    def absorb(self, other: "Wallet", lots: list[Lot], at: datetime) -> None:
        """Everything of another wallet, which ends empty. `lots`: all that are known of it, also
        those with nothing left."""
        for lot in lots:
            lot.number += self.granted_lots
        self.granted_lots += other.granted_lots
        for lot in other.lots:
            self._over(other, lot.account, lot.left, at, lot)
        for hold in other.holds:
            for lot, part in hold.parts:
                self._over(other, "reserved", part, at, lot)
        if other.debt:
            other.post(at, transferred=-other.debt, available=other.debt)
            self.post(at, available=-other.debt, transferred=other.debt)
        self.lots += other.lots
        self.holds += other.holds
        self.debt += other.debt
        known = {one.level for one in self.welcomed}
        self.welcomed += [one for one in other.welcomed if one.level not in known]
        for lot in other._all_lots():
            self._know(lot.moments.idle if lot.moments else None)
        other.lots, other.holds, other.debt = [], [], 0
        self._drop_expired(at)
        self.pay_debt()

    def _over(self, other: "Wallet", account: str, points: int, at: datetime, lot: Lot) -> None:
        moment = max(at, lot.granted_at if account == "pending" else lot.activates_at)
        other.post(moment, **{account: -points}, transferred=points)
        self.post(moment, transferred=-points, **{account: points})

    def _drop_expired(self, at: datetime) -> None:
        now = max(at, self.settled_to)
        for lot in self.lots:
            if lot.active and lot.expires_at is not None and lot.expires_at <= now:
                self._expire(lot)
        self._forget_empty()
