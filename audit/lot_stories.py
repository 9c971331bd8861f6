"""Following every point of an account through its lots: into them, within them, out of them.

Fed with the events one by one. It looks at the postings only, which are the whole truth about
points; what a movement is called follows from the two sides of its double entry and the kind of the
event. `went` is what makes an explanation provable: for each lot it sums, with what is left, to
what came.
"""

from collections.abc import Callable, Mapping

from audit.explanation import CappedBy, Granted, Happened, LotStory, Movement, OfLine, Owed, Payment
from ledger.core.account import Account
from ledger.core.calendar import INSTANT_MAX, from_instant
from ledger.core.errors import InvariantBroken
from projections.history import WITH_AWARDS
from projections.lots import LotView, follow
from schemas import decisions as d
from schemas.fields import Instant

STAYING = frozenset(("activated", "reserved", "released"))
"""Movements within a lot: they change no sum."""

_OUT = {"redeemed": "spent", "expired": "expired", "adjusted": "adjusted", "transferred": "sent"}
_IN = {"issued": "granted", "adjusted": "adjusted", "transferred": "received"}
_WITHIN = {
    ("pending", "available"): "activated",
    ("available", "reserved"): "reserved",
    ("reserved", "available"): "released",
}

Tell = Callable[[int], Happened]
"""The event of a number, told."""


class _Lot:
    """A lot in the making. `moved`: (kind, points, at, number of the event)."""

    def __init__(self, number: int, how: str) -> None:
        self.number = number
        self.how = how
        self.came = 0
        self.awards: list[Granted] = []
        self.from_lot: int | None = None
        self.moved: list[tuple[str, int, Instant, int]] = []


class _Debt:
    """Debt in the making. `payments`: (points, at, number of the event, lot or None)."""

    def __init__(self, points: int, at: Instant, number: int) -> None:
        self.points = self.left = points
        self.at = at
        self.number = number
        self.payments: list[tuple[int, Instant, int, int | None]] = []


class Tracing:
    """The lots and the debt of one account, as of `at` by `occurred_at`."""

    def __init__(self, at: Instant = INSTANT_MAX) -> None:
        self.at = at
        self.views: dict[int, LotView] = {}
        self.line_ids: dict[str, tuple[str, ...]] = {}
        self._lots: dict[int, _Lot] = {}
        self._by: dict[int, int] = {}
        self._debts: list[_Debt] = []

    def follow(self, number: int, event: d.AccountEvent, before: Account) -> None:
        """Take the next event, which has this number; `before`: the account without it."""
        follow(self.views, event, self.at)
        if isinstance(event, d.PurchaseRewarded):
            ids = tuple(line.line_id for line in event.purchase.lines)
            self.line_ids[event.purchase.order_id] = ids
        shift = before.holdings.next_lot - 1 if isinstance(event, d.AccountAbsorbed) else None
        postings = event.postings
        for place in range(0, len(postings), 2):
            source, target = postings[place], postings[place + 1]
            if target.lot == d.NO_LOT:
                self._owe(number, source, target)
            if source.lot != d.NO_LOT and source.effective_at <= self.at:
                self._post(number, event, source, target, shift)
        if isinstance(event, WITH_AWARDS):
            self._award(event)

    def _post(
        self,
        number: int,
        event: d.AccountEvent,
        source: d.Posting,
        target: d.Posting,
        shift: int | None,
    ) -> None:
        points, at = target.points, target.effective_at
        if target.lot == d.NO_LOT:
            self._moved(number, source.lot, "paid_debt", points, at)
        elif source.account in _IN:
            lot = self._lots.get(target.lot)
            if lot is None:
                how = "merged" if shift is not None else _IN[source.account]
                lot = self._lots[target.lot] = _Lot(target.lot, how)
                lot.from_lot = None if shift is None else target.lot - shift
                self._by[target.lot] = number
            lot.came += points
        else:
            kind = self._kind(event, source, target)
            self._moved(number, source.lot, kind, points, at)

    def _kind(self, event: d.AccountEvent, source: d.Posting, target: d.Posting) -> str:
        within = _WITHIN.get((source.account, target.account))
        if within is not None:
            return within
        if source.account == "redeemed":
            return "restored"
        if target.account == "revoked":
            if isinstance(event, d.PurchaseReturned | d.RewardTakenBack):
                return "taken_back"
            view = self.views[source.lot]
            waited = view.terms is not None and bool(view.terms.event)
            if waited and source.account == "pending" and target.effective_at == view.activates_at:
                return "not_activated"
            return "forfeited"
        if target.account == "redeemed":
            if isinstance(event, d.PointsDonated):
                return "donated"
            return "claimed" if isinstance(event, d.RewardClaimed) else "spent"
        return "merged" if isinstance(event, d.AccountMerged) else _OUT[target.account]

    def _moved(self, number: int, lot: int, kind: str, points: int, at: Instant) -> None:
        found = self._lots.get(lot)
        if found is None:  # it was spent to nothing before it came here by a merge
            found = self._lots[lot] = _Lot(lot, "merged")
            self._by[lot] = number
        if found.moved and found.moved[-1][0] == kind and found.moved[-1][2:] == (at, number):
            points += found.moved.pop()[1]  # for several awards of an order: one movement
        found.moved.append((kind, points, at, number))

    def _owe(self, number: int, source: d.Posting, target: d.Posting) -> None:
        """Debt arises, or ends: the oldest first. Whatever the moment asked: what a late input pays
        is dated by that input, and the debt can be younger."""
        points, at = target.points, target.effective_at
        if source.lot == d.NO_LOT and source.account == "available":
            self._debts.append(_Debt(points, at, number))
            return
        lot = None if source.lot == d.NO_LOT else source.lot
        for debt in self._debts:
            part = min(points, debt.left)
            if part:
                debt.left -= part
                debt.payments.append((part, at, number, lot))
                points -= part
        if points:
            raise InvariantBroken(2, f"{points} points of a debt were paid that was not there")

    def _award(self, event: d.AccountEvent) -> None:
        line_ids: tuple[str, ...] = ()
        if isinstance(event, d.PurchaseRewarded):
            line_ids = self.line_ids[event.purchase.order_id]
        for award in getattr(event, "awards", ()):
            lot = self._lots.get(award.lot)
            if award.points and lot is not None:
                lot.awards.append(granted(award, event.program, line_ids))

    def stories(self, tell: Tell) -> tuple[LotStory, ...]:
        """The lots by number. Raises InvariantBroken (3) for one whose points are not all
        accounted for."""
        return tuple(self._story(self._lots[number], tell) for number in sorted(self._lots))

    def _story(self, lot: _Lot, tell: Tell) -> LotStory:
        view = self.views[lot.number]
        went: dict[str, int] = {}
        for kind, points, _, _ in lot.moved:
            if kind == "restored":
                went["spent"] = went.get("spent", 0) - points
            elif kind not in STAYING:
                went[kind] = went.get(kind, 0) + points
        went = {kind: points for kind, points in went.items() if points}
        left = view.pending + view.available + view.reserved
        if sum(went.values()) + left != lot.came:
            raise InvariantBroken(
                3, f"of {lot.came} points of lot {lot.number} {went} went and {left} are left"
            )
        terms = view.terms
        return LotStory(
            lot=lot.number,
            how=lot.how,
            came=lot.came,
            by=tell(self._by[lot.number]),
            awards=tuple(lot.awards),
            from_lot=lot.from_lot,
            granted_at=from_instant(view.granted_at),
            activates_at=from_instant(view.activates_at),
            expires_at=None if view.expires_at is None else from_instant(view.expires_at),
            waits_for="" if terms is None else terms.event,
            idle="" if terms is None else terms.idle,
            movements=tuple(
                Movement(kind=kind, points=points, at=from_instant(at), by=tell(number))
                for kind, points, at, number in sorted(lot.moved, key=_moment)
            ),
            went=went,
            pending=view.pending,
            available=view.available,
            reserved=view.reserved,
        )

    def owed(self, tell: Tell) -> tuple[Owed, ...]:
        """All debt there ever was, in the order in which it arose."""
        found = []
        for debt in self._debts:
            payments = [each for each in debt.payments if each[1] <= self.at]
            arisen = debt.points if debt.at <= self.at else 0
            if not (arisen or payments):
                continue
            found.append(
                Owed(
                    points=debt.points,
                    at=from_instant(debt.at),
                    by=tell(debt.number),
                    payments=tuple(
                        Payment(points=points, at=from_instant(at), by=tell(number), lot=lot)
                        for points, at, number, lot in payments
                    ),
                    left=arisen - sum(points for points, _, _, _ in payments),
                )
            )
        return tuple(found)


def _moment(moved: tuple[str, int, Instant, int]) -> tuple[Instant, int]:
    return moved[2], moved[3]


def granted(award: d.Award, program: str, line_ids: tuple[str, ...]) -> Granted:
    """An award as it is told. `line_ids`: of the order's lines, to name the allocation."""
    return Granted(
        rule=award.rule,
        kind=award.kind,
        program=program,
        value=award.value,
        points=award.points,
        matched_amount=award.matched_amount,
        capped=tuple(CappedBy(cap.by, cap.left) for cap in award.capped),
        lines=tuple(OfLine(line_ids[share.line], share.points) for share in award.lines),
        counts_for_tier=award.counts_for_tier,
    )


def orders_paid(orders: Mapping[str, str], account: Account) -> dict[str, str]:
    """`orders`, and of each redemption that the account knows the order that it paid for."""
    found = dict(orders)
    for name, spent in account.redemptions.items():
        if spent.order_id is not None:
            found[name] = spent.order_id
    return found
