"""A member's lots as of a moment of the world, with their dates, worked out from the log's events.

The read model keeps the open lots of one moment, the settled one; for any other moment the postings
say which lot held what. Nothing is decided: beyond the settled moment the ledger's own settle tells
what time will do.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from ledger.core.account import Account
from ledger.core.fold import evolve
from ledger.core.kept import Kept
from ledger.core.kept_records import KeptLot
from ledger.core.program.timeline import Timeline
from ledger.core.settle import settle
from projections.history import WITH_AWARDS, WITH_LOTS, rule_of
from schemas.decisions import (
    NO_LOT,
    AccountAbsorbed,
    AccountEvent,
    AccountSettled,
    MovedLot,
    PurchaseRewarded,
    Terms,
)
from schemas.fields import Instant

_kept: msgspec.json.Decoder[Kept] = msgspec.json.Decoder(Kept)


class LotView(Struct):
    """One lot at the asked moment. `expires_at` None: never. Points are what is left, by state."""

    lot: int
    rules: tuple[str, ...]
    granted: int
    granted_at: Instant
    activates_at: Instant
    expires_at: Instant | None
    pending: int = 0
    available: int = 0
    reserved: int = 0
    terms: Terms | None = None


def lots_at(
    member_id: str, events: Iterable[AccountEvent], at: Instant, programs: Timeline
) -> list[LotView]:
    """The lots with something left as of `at`, in draw order; never-expiring ones last.

    `events` are all of the member's, in the log's order.
    """
    account = Account.new(member_id)
    lots: dict[int, LotView] = {}
    for event in events:
        evolve(account, event)
        follow(lots, event, at)
    if at > account.settled_to:
        settled = settle(account, at, programs)
        if settled is not None:
            follow(lots, settled, at)
    left = [lot for lot in lots.values() if lot.pending or lot.available or lot.reserved]
    return sorted(left, key=in_draw_order)


def in_draw_order(lot: LotView) -> tuple[bool, Instant, Instant, int]:
    """The key by which lots are drawn: soonest-expiring first, never-expiring ones last."""
    return lot.expires_at is None, lot.expires_at or 0, lot.activates_at, lot.lot


def _moved(lot: MovedLot | KeptLot, rule: str) -> LotView:
    number = lot.lot if isinstance(lot, MovedLot) else lot.number
    return LotView(
        number,
        (rule,),
        lot.granted,
        lot.granted_at,
        lot.activates_at,
        lot.expires_at,
        terms=lot.terms,
    )


def grant(lots: dict[int, LotView], event: AccountEvent) -> None:
    """Note what the account's next event grants: which lots there are, and by which rules."""
    if isinstance(event, WITH_AWARDS):
        for award in event.awards:
            if not award.points:
                continue
            lot = lots.get(award.lot)
            if lot is None:
                lots[award.lot] = LotView(
                    award.lot,
                    (award.rule,),
                    award.points,
                    award.granted_at,
                    award.activates_at,
                    award.expires_at,
                    terms=award.terms,
                )
            else:
                lot.rules = (*lot.rules, award.rule)
                lot.granted += award.points
    if isinstance(event, WITH_LOTS):
        for moved in event.lots:
            lots[moved.lot] = _moved(moved, rule_of(event))
    if isinstance(event, AccountAbsorbed):
        # Points spent before the merge can come back to lots that it found empty.
        for spent in _kept.decode(event.kept).redemptions.values():
            for draw in spent.draws:
                lots.setdefault(draw.lot.number, _moved(draw.lot, rule_of(event)))


def follow(lots: dict[int, LotView], event: AccountEvent, at: Instant) -> None:
    """Take the account's next event into account, with those of its postings that are effective by
    `at`. Lots are never forgotten, also when nothing is left in them."""
    grant(lots, event)
    if event.occurred_at <= at:
        _move(lots, event)
        for number, expires_at in getattr(event, "lot_expiries", ()):
            lots[number].expires_at = expires_at
    for posting in event.postings:
        if posting.lot != NO_LOT and posting.effective_at <= at:
            lot = lots[posting.lot]
            if posting.account == "pending":
                lot.pending += posting.points
            elif posting.account == "available":
                lot.available += posting.points
            elif posting.account == "reserved":
                lot.reserved += posting.points


def _move(lots: dict[int, LotView], event: AccountEvent) -> None:
    """Other moments for lots that waited for an event, or for what a purchase moves on."""
    if isinstance(event, AccountSettled):
        for number, activates_at, expires_at in event.activated:
            lot = lots[number]
            lot.activates_at, lot.expires_at = activates_at, expires_at
            idle = "" if lot.terms is None else lot.terms.idle
            lot.terms = Terms(idle) if idle else None
    elif isinstance(event, PurchaseRewarded):
        for length, moment in event.idle:
            for lot in lots.values():
                terms, expires_at = lot.terms, lot.expires_at
                if terms is not None and terms.idle == length and expires_at is not None:
                    lot.expires_at = max(expires_at, moment, lot.activates_at)
