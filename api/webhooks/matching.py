"""The public events: what the outside is told of the log, and which subscription wants which.

Derived from the log's events alone. One event of the log can be several public ones (a purchase
that was rewarded, the points that it earned, the tier that it reached); their order is fixed. No
personal data: opaque ids, points, moments.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from api.webhooks.errors import WebhookRefused
from ledger.core.calendar import from_instant
from schemas import decisions as d
from schemas.fields import Instant

TYPES: Mapping[str, str] = {
    "purchase.rewarded": "A purchase was judged; it may have earned nothing.",
    "purchase.returned": "Goods came back.",
    "points.earned": "Points were granted: a purchase, survey, activity, referral, a welcome.",
    "points.activated": "Points that were pending can be spent now.",
    "points.spent": "Points were spent: a reservation confirmed, a redemption, donation or reward.",
    "points.returned": "Points that were spent came back, because what they paid for did.",
    "points.taken_back": "Points were revoked: a return, an event that did not come, a forfeit.",
    "points.expired": "Points expired unspent.",
    "points.adjusted": "Points were given or, below 0, taken by hand.",
    "points.sent": "Points were given to another member.",
    "points.received": "Points came from another member.",
    "reservation.made": "Points are held for a purchase.",
    "reservation.confirmed": "A reservation was spent, at least in part.",
    "reservation.cancelled": "A reservation was given back.",
    "reservation.lapsed": "A reservation was not used in time.",
    "tier.changed": "The member's tier is another one.",
    "referral.accepted": "The member was brought in by another.",
    "member.enrolled": "A member was enrolled.",
    "member.updated": "What is known of a member has changed.",
    "member.frozen": "The member cannot spend for now.",
    "member.unfrozen": "The member can spend again.",
    "member.closed": "The account was ended.",
    "member.merged": "The account went over into another member's.",
    "member.absorbed": "Another account went over into this one.",
    "member.erased": "The member is forgotten.",
    "input.refused": "The ledger refused an input for a business reason.",
    "program.published": "A program version was published.",
}
"""Every public type with its sentence."""

TEST = "webhook.test"
"""The type of what is sent on request, to see whether it arrives. Not to be subscribed to."""

EVERYTHING = "*"

CHOICE = (*TYPES, *sorted({f"{type_.partition('.')[0]}.*" for type_ in TYPES}), EVERYTHING)
"""What a subscription's list may name: types, their groups, everything."""

TYPES_MAX = len(TYPES) + 20
"""Entries of a subscription's list: all types, and some patterns."""


class Public(NamedTuple):
    """A public event: its type, when it happened, what is told beside the member and place."""

    type: str
    at: Instant
    data: dict[str, Any]


def wants(types: Sequence[str], type_: str) -> bool:
    """Whether a subscription's list has a type: by its name, its group (`points.*`), or `*`."""
    return type_ in types or EVERYTHING in types or f"{type_.partition('.')[0]}.*" in types


def checked_types(types: Sequence[str]) -> list[str]:
    """A subscription's list, without repeats. Raises WebhookRefused (unknown_event_type,
    no_event_types)."""
    found = list(dict.fromkeys(types))
    if not found or len(found) > TYPES_MAX:
        raise WebhookRefused(
            f"Name 1 to {TYPES_MAX} event types, or * for all.", "event_types_missing"
        )
    for type_ in found:
        if type_ not in CHOICE:
            raise WebhookRefused(
                f"{type_!r} is no event type: docs/webhooks.md lists all; a group is written as"
                " points.*, everything as *.",
                "bad_event_type",
            )
    return found


def public_events(event: d.LogEvent) -> list[Public]:
    """What the outside is told of an event of the log, in a fixed order."""
    if isinstance(event, d.ProgramPublished):
        data = {"version": event.version, "effective_from": from_instant(event.effective_from)}
        return [Public("program.published", event.occurred_at, data)]
    if isinstance(event, d.LedgerCreated | d.RfmBoundsSet | d.RestoreDeclared):
        return []
    at = event.occurred_at
    found = [Public(type_, at, data) for type_, data in _happened(event)]
    found += [Public(type_, at, data) for type_, data in _moved(event)]
    found += [
        Public("tier.changed", change.at, {"previous": change.previous, "tier": change.to})
        for change in event.tier_changes
        if change.previous != change.to
    ]
    return found


Told = tuple[str, dict[str, Any]]


def _happened(event: d.AccountEvent) -> Iterator[Told]:
    """What the event itself says, whatever points it moved."""
    match event:
        case d.PurchaseRewarded():
            earned = sum(award.points for award in event.awards)
            data = {"order_id": event.purchase.order_id, "points": earned, "tier": event.tier}
            yield "purchase.rewarded", data
        case d.PurchaseReturned():
            returned = event.returned
            yield (
                "purchase.returned",
                {"order_id": returned.order_id, "return_id": returned.return_id},
            )
        case d.PointsReserved():
            lapses_at = from_instant(event.lapses_at)
            yield "reservation.made", {**_of(event), "points": event.points, "lapses_at": lapses_at}
        case d.ReservationConfirmed():
            yield "reservation.confirmed", {**_of(event), "points": event.points}
        case d.ReservationCancelled():
            yield "reservation.cancelled", _of(event)
        case d.AccountSettled():
            for reservation_id in event.lapsed:
                yield "reservation.lapsed", {"reservation_id": reservation_id}
        case d.PointsAdjusted():
            yield "points.adjusted", {"points": event.points}
        case d.PointsSent():
            yield "points.sent", {"points": event.points, "to": event.to}
        case d.PointsReceived():
            yield "points.received", {"points": event.points, "from": event.sender}
        case d.ReferralAccepted():
            yield "referral.accepted", {"referrer_id": event.referrer_id}
        case d.InputRefused():
            yield "input.refused", {"input_type": event.input_type, "code": event.code}
        case _:
            yield from _standing(event)


def _standing(event: d.AccountEvent) -> Iterator[Told]:
    match event:
        case d.MemberProfiled():
            if event.kind in ("enrolled", "updated"):
                yield f"member.{event.kind}", {}
        case d.AccountFrozen():
            yield "member.frozen", {}
        case d.AccountUnfrozen():
            yield "member.unfrozen", {}
        case d.AccountClosed():
            forfeits = event.forfeits_at
            yield (
                "member.closed",
                {"forfeits_at": None if forfeits is None else from_instant(forfeits)},
            )
        case d.AccountMerged():
            yield "member.merged", {"into": event.into}
        case d.AccountAbsorbed():
            yield "member.absorbed", {"merged": event.merged}
        case d.MemberErased():
            yield "member.erased", {}
        case _:
            pass


def _of(event: d.AccountEvent) -> dict[str, Any]:
    """The ids by which whoever asked knows what this is about."""
    names = ("reservation_id", "redemption_id", "charity_id", "reward_id", "order_id")
    return {name: value for name in names if (value := getattr(event, name, None)) is not None}


def _moved(event: d.AccountEvent) -> Iterator[Told]:
    """What its postings moved."""
    moved: Counter[str] = Counter()
    for posting in event.postings:
        moved[posting.account] += posting.points
    if moved["issued"] < 0:
        awards = [
            {"rule": award.rule, "kind": award.kind, "points": award.points}
            for award in getattr(event, "awards", ())
            if award.points
        ]
        yield "points.earned", {"points": -moved["issued"], **_source(event), "awards": awards}
    activated = _activated(event)
    if activated:
        yield "points.activated", {"points": activated}
    if moved["redeemed"] > 0:
        yield "points.spent", {"points": moved["redeemed"], **_of(event)}
    if moved["redeemed"] < 0:
        yield "points.returned", {"points": -moved["redeemed"], **_source(event)}
    if moved["revoked"] > 0:
        yield "points.taken_back", {"points": moved["revoked"], **_source(event)}
    if moved["expired"] > 0:
        yield "points.expired", {"points": moved["expired"]}


def _source(event: d.AccountEvent) -> dict[str, Any]:
    """The order that points come from or go back with, where there is one."""
    match event:
        case d.PurchaseRewarded():
            return {"order_id": event.purchase.order_id}
        case d.PurchaseReturned():
            return {"order_id": event.returned.order_id}
        case _:
            return _of(event)


def _activated(event: d.AccountEvent) -> int:
    """Points that left `pending` for `available`: lots of which one moment took from the one and
    gave to the other."""
    if not isinstance(event, d.AccountSettled):
        return 0
    left: Counter[tuple[int, Instant]] = Counter()
    came: Counter[tuple[int, Instant]] = Counter()
    for posting in event.postings:
        place = (posting.lot, posting.effective_at)
        if posting.account == "pending" and posting.points < 0:
            left[place] -= posting.points
        elif posting.account == "available" and posting.points > 0:
            came[place] += posting.points
    return sum(min(points, came[place]) for place, points in left.items())
