"""Drafting the postings of one decision, on a fork of the account's points.

Each method moves points the way the domain names it (grant, activate, expire, draw, pay debt) and
writes down the double entry. The account itself is not touched: it gets the same postings when the
finished event is folded. `effective_at` follows the rule of the domain: a grant at its occurred_at,
what falls due at its due moment, a draw at the later of its occurred_at and the lot's activation.
"""

from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from ledger.core.activation import Activated, activated, waits
from ledger.core.calendar import add
from ledger.core.grants import (
    adjusted_postings,
    grant_postings,
    granted_to,
    new_lots,
    open_adjusted,
    source_of,
)
from ledger.core.lots import Holdings, Lot
from ledger.core.program.compiled import Compiled
from schemas.decisions import NO_LOT, Award, Posting
from schemas.fields import Instant


class Draft:
    """The postings of a decision in the making. `held` is a fork and ends as the account will."""

    __slots__ = ("expiries", "held", "postings")

    def __init__(self, holdings: Holdings) -> None:
        self.held = holdings.fork()
        self.postings: list[Posting] = []
        self.expiries: dict[int, Instant | None] = {}

    def move(self, source: str, target: str, points: int, lot: int, at: Instant) -> None:
        """Post `points` of `lot` from one account of the double entry to another."""
        self.held.move(source, target, points, lot)
        self.postings.append(Posting(source, -points, lot, at))
        self.postings.append(Posting(target, points, lot, at))

    @property
    def lot_expiries(self) -> tuple[tuple[int, Instant | None], ...]:
        """The lots that got another expiry, for the event."""
        return tuple(self.expiries.items())

    # --- points in

    def grant(self, awards: Iterable[Award], source: str) -> None:
        """Grant the awards: pending, or available where they activate at once."""
        self.postings += self.granted(awards, source)

    def granted(self, awards: Iterable[Award], source: str) -> list[Posting]:
        """The same, with the postings for the caller."""
        held, postings = self.held, list[Posting]()
        for number, points, award in new_lots(awards, held.next_lot):
            held.open(number, points, award, source_of(award, source), granted_to(award))
            postings += grant_postings(number, points, award)
        return postings

    def adjust_in(self, award: Award) -> None:
        """Give points by hand: a new lot, whose points come from `adjusted`."""
        open_adjusted(self.held, award)
        self.postings += adjusted_postings(award)

    def catch_up(self, first_lot: int, until: Instant) -> None:
        """Bring lots just granted (from `first_lot` on) up to `until`: a late one may be due
        already. One that would have expired by now is of no use any more, also to pay a debt."""
        held = self.held
        new = [held.lots[number] for number in range(first_lot, held.next_lot)]
        late = [lot for lot in new if lot.pending and lot.activates_at <= until]
        for lot in late:
            if waits(lot):
                self.revoke_waiting(lot.number)
            else:
                self.activate(lot.number)
        for lot in new:
            if lot.expires_at is not None and lot.expires_at <= until:
                self.expire(lot.number)
        if held.debt:
            moments = [
                lot.activates_at for lot in new if lot.activates_at <= until and not waits(lot)
            ]
            self.pay_debt(max(moments, default=until))

    def activate(self, number: int) -> None:
        """Make a lot's pending points available, at the moment they fell due."""
        lot = self.held.lots[number]
        self.move("pending", "available", lot.pending, number, lot.activates_at)

    def reach(self, lot: Lot, at: Instant, zone: ZoneInfo) -> Activated:
        """Make a lot's points available: the event that they waited for has come."""
        found = activated(self.held, lot, at, zone)
        self.held.reach(*found)
        self.activate(lot.number)
        return found

    def revoke_waiting(self, number: int) -> None:
        """Take away what the event that it waited for did not reach in time."""
        lot = self.held.lots[number]
        self.move("pending", "revoked", lot.pending, number, lot.activates_at)

    def pay_debt(self, at: Instant) -> None:
        """Pay what can be paid of the debt, from the soonest-expiring lot on."""
        held = self.held
        while held.debt and held.draw:
            number = held.draw[0][2]
            lot = held.lots[number]
            paid = min(held.debt, lot.available)
            when = max(at, lot.activates_at)
            held.post("available", -paid, number)
            held.post("available", paid, NO_LOT)
            self.postings.append(Posting("available", -paid, number, when))
            self.postings.append(Posting("available", paid, NO_LOT, when))

    def give_back(
        self,
        source: str,
        draws: Sequence[tuple[int, int]],
        at: Instant,
        until: Instant,
        by: Compiled,
    ) -> None:
        """Return reserved or redeemed points to their lots. A lot that expired by `until`
        meanwhile lives on for the restore grace, counted from `at`; with no grace it expires
        again at once. What becomes available pays debt first."""
        held = self.held
        for number, points in draws:
            lot = held.lots[number]
            if lot.expires_at is not None and lot.expires_at <= until:
                if lot.available:  # what was not held falls due at this moment, without a grace
                    self.expire(number)
                grace = add(at, by.form.redemption.restore_grace, by.zone)
                if grace > lot.expires_at:
                    self.expiries[number] = grace
                    held.set_expiry(number, grace)
            self.move(source, "available", points, number, max(at, lot.activates_at))
        self.pay_debt(at)

    # --- points out

    def expire(self, number: int) -> None:
        """Expire what is available of a lot, at the moment of its expiry."""
        lot = self.held.lots[number]
        assert lot.expires_at is not None
        if lot.available:
            self.move("available", "expired", lot.available, number, lot.expires_at)

    def expire_due(self, until: Instant) -> None:
        """Expire every lot whose expiry is not later than `until`."""
        draw = self.held.draw
        while draw and draw[0][0] <= until:
            self.expire(draw[0][2])

    def reserve(self, points: int, at: Instant) -> None:
        """Hold `points`, which are available, in draw order."""
        self.draw("reserved", points, at)

    def draw(self, target: str, points: int, at: Instant) -> None:
        """Move `points`, which are available, in draw order to another account."""
        held = self.held
        while points:
            number = held.draw[0][2]
            lot = held.lots[number]
            part = min(points, lot.available)
            self.move("available", target, part, number, max(at, lot.activates_at))
            points -= part

    def revoke(self, number: int, most: int, at: Instant, *, spendable: bool) -> int:
        """Take up to `most` points out of a lot, pending ones or, where `spendable` allows,
        available ones. Returns how many."""
        lot = self.held.lots.get(number)
        if lot is None or not most:
            return 0
        if lot.pending:
            taken = min(most, lot.pending)
            self.move("pending", "revoked", taken, number, max(at, lot.granted_at))
            return taken
        taken = min(most, lot.available) if spendable else 0
        if taken:
            self.move("available", "revoked", taken, number, max(at, lot.activates_at))
        return taken

    def empty(self, target: str, at: Instant) -> None:
        """Move whatever there is, reserved points and the debt included, to another account of the
        double entry: this one ends empty."""
        for number, lot in list(self.held.lots.items()):
            for name, points, since in (
                ("pending", lot.pending, lot.granted_at),
                ("available", lot.available, lot.activates_at),
                ("reserved", lot.reserved, lot.activates_at),
            ):
                if points:
                    self.move(name, target, points, number, max(at, since))
        if self.held.debt:
            self.move(target, "available", self.held.debt, NO_LOT, at)

    def send(self, points: int, at: Instant) -> list[tuple[Lot, int]]:
        """Give `points`, which are available, away in draw order; from which lots, as they were,
        how many."""
        held = self.held
        sent = []
        while points:
            number = held.draw[0][2]
            lot = held.lots[number]
            part = min(points, lot.available)
            self.move("available", "transferred", part, number, max(at, lot.activates_at))
            sent.append((lot, part))
            points -= part
        return sent

    def owe(self, points: int, at: Instant, target: str = "revoked") -> None:
        """Take points that are not there: the account goes into debt."""
        self.move("available", target, points, NO_LOT, at)
