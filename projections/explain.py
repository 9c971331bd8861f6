"""An event of a member's account in words: what happened, what it moved, and why so much.

For people: sentences, no program parses them. Only what the event itself records is told; no rule
is evaluated again.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ledger.core.calendar import format_instant
from projections.history import WITH_AWARDS, changes_of, purchase_amount, returned_amount
from schemas.decisions import (
    AccountAbsorbed,
    AccountClosed,
    AccountEvent,
    AccountFrozen,
    AccountMerged,
    AccountSettled,
    AccountUnfrozen,
    ActivityRewarded,
    AnonymousPurchaseRecorded,
    Award,
    Cap,
    Clawback,
    CodeFact,
    Facts,
    InputForwarded,
    InputRefused,
    MemberErased,
    MemberProfiled,
    MovedLot,
    PointsAdjusted,
    PointsDonated,
    PointsReceived,
    PointsRedeemed,
    PointsReserved,
    PointsSent,
    PurchaseReturned,
    PurchaseRewarded,
    ReferralAccepted,
    ReservationCancelled,
    ReservationConfirmed,
    ReturnWaiting,
    RewardClaimed,
    RewardReceived,
    RewardTakenBack,
    SurveyRewarded,
    Terms,
    TierOverridden,
)

MINOR_DIGITS = {"BHD": 3, "JOD": 3, "KWD": 3, "OMR": 3, "TND": 3,
                "CLP": 0, "ISK": 0, "JPY": 0, "KRW": 0, "VND": 0, "XAF": 0, "XOF": 0}  # fmt: skip
"""Digits of the minor unit (ISO 4217) where they are not two."""

HOUR_US = 3_600_000_000


class Told(NamedTuple):
    """`headline` is one line; `details` say what it follows from, a line each."""

    headline: str
    details: tuple[str, ...]


def money(amount_minor: int, currency: str) -> str:
    """`12990, RUB` as `129.90 RUB`."""
    digits = MINOR_DIGITS.get(currency, 2)
    sign, text = "-" if amount_minor < 0 else "", str(abs(amount_minor)).rjust(digits + 1, "0")
    whole = text if not digits else f"{text[:-digits]}.{text[-digits:]}"
    return f"{sign}{whole} {currency}"


def explain(event: AccountEvent, currency: str) -> Told:
    """The event in words."""
    details = list(_details(event, currency))
    details.extend(f"tier {c.previous} → {c.to} at {format_instant(c.at)}"
                   for c in event.tier_changes)  # fmt: skip
    if event.addressed:
        details.append(f"it named {event.addressed}, whose account went over into this one")
    if event.late_by:
        details.append(f"arrived late, by {_hours(event.late_by)}, and was decided by its own time")
    return Told(_headline(event, currency), tuple(details))


def _headline(event: AccountEvent, currency: str) -> str:
    match event:
        case PurchaseRewarded():
            paid = money(purchase_amount(event), currency)
            return (
                f"bought for {paid} in store {event.purchase.store_id} "
                f"(order {event.purchase.order_id}), tier {event.tier}: {_granted(event.awards)}"
            )
        case PurchaseReturned():
            back = money(returned_amount(event), currency)
            taken = sum(clawback.taken for clawback in event.clawbacks)
            taken += sum(welcome.taken for welcome in event.welcomes)
            return f"returned {back} of order {event.returned.order_id}: {_count(-taken)}"
        case ReturnWaiting():
            until = format_instant(event.deadline)
            return f"return of unknown order {event.returned.order_id} waits for it until {until}"
        case InputRefused():
            return f"refused {event.input_type}: {event.message} [{event.code}]"
        case ReferralAccepted():
            return f"brought in by {event.referrer_id}{_if_any(event.awards)}"
        case SurveyRewarded():
            return f"completed survey {event.survey_id}: {_granted(event.awards)}"
        case ActivityRewarded():
            done = event.activity
            where = "" if done.store_id is None else f" in store {done.store_id}"
            return (
                f"{done.activity} of {done.reference}{where}, tier {event.tier}: "
                f"{_granted(event.awards)}"
            )
        case RewardReceived():
            return f"brought in {event.referee_id}, who bought: {_granted(event.awards)}"
        case RewardTakenBack():
            taken = sum(clawback.taken for clawback in event.clawbacks)
            return f"reward for bringing in {event.referee_id} taken back: {_count(-taken)}"
        case PointsReserved():
            until = format_instant(event.lapses_at)
            return f"reserved {event.points} points until {until} ({event.reservation_id})"
        case ReservationConfirmed():
            return f"spent {event.points} points (reservation {event.reservation_id})"
        case ReservationCancelled():
            return f"cancelled reservation {event.reservation_id}: its points are back"
        case PointsRedeemed():
            return f"spent {event.points} points ({event.redemption_id})"
        case PointsAdjusted():
            return f"adjusted by {event.actor}, {event.reason}: {_count(event.points)}"
        case PointsDonated():
            return f"gave {event.points} points to {event.charity_id}"
        case RewardClaimed():
            number = "" if event.number is None else f" number {event.number}"
            return f"took {event.kind} {event.reward_id}{number} for {event.points} points"
        case TierOverridden():
            until = format_instant(event.until)
            return f"tier {event.tier} by hand until {until}, by {event.actor}: {event.reason}"
        case MemberProfiled():
            return f"profile {event.kind}"
        case MemberErased():
            return "erased: the profile is gone and the balance forfeited"
        case AccountFrozen():
            return f"frozen by {event.actor}: earns and cannot spend ({event.reason})"
        case AccountUnfrozen():
            return f"open again, by {event.actor} ({event.reason})"
        case AccountClosed():
            ends = "at once"
            if event.forfeits_at is not None:
                ends = f"at {format_instant(event.forfeits_at)}"
            return f"closed by {event.actor}: the balance is forfeited {ends} ({event.reason})"
        case PointsSent():
            return f"gave {event.points} points to {event.to}"
        case PointsReceived():
            return f"got {event.points} points from {event.sender}"
        case AccountMerged():
            return f"merged into {event.into} by {event.actor} ({event.reason})"
        case AccountAbsorbed():
            points = -sum(p.points for p in event.postings if p.account == "transferred")
            return (
                f"the account of {event.merged} went over into this one, by {event.actor}"
                f" ({event.reason}): {_count(points)}"
            )
        case InputForwarded():
            return f"{event.input_type} was passed on to {event.to}"
        case AnonymousPurchaseRecorded():
            return f"anonymous order {event.purchase.order_id}, counted only"
        case AccountSettled():
            return f"time passed: {_settled(event)}"


def _details(event: AccountEvent, currency: str) -> Iterator[str]:
    if isinstance(event, WITH_AWARDS):
        yield from (_award(award, currency) for award in event.awards)
        yield from _lots(event.awards)
    if isinstance(event, PurchaseRewarded | ActivityRewarded) and event.facts is not None:
        yield from _known(event.facts)
    if isinstance(event, PurchaseRewarded) and event.facts is not None:
        used = {use.series for use in event.codes}
        yield from (_code(event, fact, used) for fact in event.facts.codes)
    match event:
        case PurchaseRewarded() | ReferralAccepted() if event.referral is not None:
            yield f"referral {event.referral}"
        case PurchaseReturned():
            yield from (_clawback(clawback) for clawback in event.clawbacks)
            yield from (f"promo code of {use.series} given back" for use in event.codes)
            yield from (
                f"welcome of {one.level} taken back: {one.points} due, {one.taken} taken"
                for one in event.welcomes
            )
            yield from _restored(event)
        case ReservationConfirmed() | PointsRedeemed():
            yield from _restored(event)
        case PointsReceived() | AccountAbsorbed():
            yield from (_moved(lot) for lot in event.lots)
        case AccountSettled():
            yield from _moments(event)
        case MemberProfiled():
            yield from (f"{key}: {'yes' if v else 'no'}" for key, v in event.outcomes.items())
        case _:
            pass


def _restored(event: AccountEvent) -> Iterator[str]:
    """What is back of points spent on an order that came back."""
    back = -sum([p.points for p in event.postings if p.account == "redeemed" and p.points < 0])
    if back:
        yield f"{back} spent points are back in their lots"


def _award(award: Award, currency: str) -> str:
    of = f" on {money(award.matched_amount, currency)}" if award.matched_amount else ""
    if not award.capped:
        return f"{award.rule} ({award.kind}){of}: {_count(award.points)}"
    caps = "; ".join(_cap(cap) for cap in award.capped)
    return f"{award.rule} ({award.kind}){of}: {_count(award.points)} of {award.value}, {caps}"


def _known(facts: Facts) -> Iterator[str]:
    """What was known of the member, of that which rules ask for."""
    for what, held in (
        ("tags", facts.tags),
        ("segments", facts.segments),
        ("birthday windows", facts.birthdays),
    ):
        if held is not None:
            yield f"{what} that rules ask for: {', '.join(held) or 'none held'}"


CODE_TOLD = {
    "unknown": "no series has it",
    "spent": "spent",
    "expired": "its time is over",
    "not_yet": "its time has not come",
    "not_yours": "bound to another member",
    "used_by_member": "the member has used the series as often as anyone may",
}
"""What a promo code that is no good came to."""


def _code(event: PurchaseRewarded, fact: CodeFact, used: set[str]) -> str:
    code = event.purchase.promo_codes[fact.place]
    of = f" of {fact.series}" if fact.series else ""
    if fact.status != "ok":
        return f"promo code {code}{of}: {CODE_TOLD[fact.status]}"
    if fact.series in used:
        return f"promo code {code}{of}: used"
    # It is still good: whoever reads this must not learn it.
    return f"promo code {code[:2]}…{of}: not used, no award asked for it"


def _cap(cap: Cap) -> str:
    kind, _, rest = cap.by.partition("/")
    if kind in {"times", "points"} and rest:
        return f"limit of {kind} per {rest} left {cap.left}"
    name, _, of = cap.by.partition(":")
    if name == "best_of_group":
        return f"another award of group {of} is larger"
    if name == "exclusive":
        return f"rule {of} is exclusive"
    if name == "budget":
        return f"budget {of} had {cap.left} left"
    return f"capped by {cap.by}"


def _lots(awards: Iterable[Award]) -> Iterator[str]:
    totals: dict[tuple[int, int, int | None, int, Terms | None], int] = {}
    for award in awards:
        if award.points:
            key = (award.lot, award.activates_at, award.expires_at, award.granted_at, award.terms)
            totals[key] = totals.get(key, 0) + award.points
    for (lot, activates_at, expires_at, granted_at, terms), points in totals.items():
        if terms is not None and terms.event:
            until = format_instant(terms.until)
            yield f"lot {lot}: {points} points, revoked unless {terms.event} happens by {until}"
            continue
        spendable = (
            "spendable at once"
            if activates_at <= granted_at
            else f"spendable from {format_instant(activates_at)}"
        )
        ends = "never expire" if expires_at is None else f"expire {format_instant(expires_at)}"
        if terms is not None:
            ends += f", {terms.idle} after the last purchase"
        yield f"lot {lot}: {points} points, {spendable}, {ends}"


def _moved(lot: MovedLot) -> str:
    ends = (
        "never expires" if lot.expires_at is None else f"expires {format_instant(lot.expires_at)}"
    )
    return f"lot {lot.lot}: up to {lot.granted} points, {ends}"


def _clawback(clawback: Clawback) -> str:
    parts = [f"{clawback.taken} taken"]
    if clawback.expired:
        parts.append(f"{clawback.expired} had expired already")
    if clawback.let_go:
        parts.append(f"{clawback.let_go} let go")
    where = f"line {clawback.line + 1}" if clawback.line >= 0 else "the whole order"
    return f"award {clawback.award + 1}, {where}: {clawback.points} due, {', '.join(parts)}"


def _settled(event: AccountSettled) -> str:
    expired = sum(p.points for p in event.postings if p.account == "expired")
    revoked = sum(p.points for p in event.postings if p.account == "revoked")
    pending = sum(p.points for p in event.postings if p.account == "pending" and p.points > 0)
    activated = -sum(p.points for p in event.postings if p.account == "pending") - revoked + pending
    parts = []
    if activated:
        parts.append(f"{activated} points became spendable")
    if revoked:
        parts.append(f"{revoked} were revoked: what they waited for did not happen")
    if expired:
        parts.append(f"{expired} expired")
    if event.lapsed:
        parts.append(f"{len(event.lapsed)} reservations lapsed")
    if event.refused_returns:
        parts.append(f"{len(event.refused_returns)} waiting returns refused")
    if event.forfeited:
        parts.append("the notice ended, what was left is forfeited")
    if event.tier_changes:
        parts.append(f"tier {event.tier_changes[-1].to}")
    if event.awards:
        parts.append(f"welcomed with {_granted(event.awards)}")
    return ", ".join(parts) or "nothing moved"


def _moments(event: AccountSettled) -> Iterator[str]:
    revoked_at: dict[int, int] = {}
    for posting in event.postings:
        if posting.account == "revoked":
            at = posting.effective_at
            revoked_at[at] = revoked_at.get(at, 0) + posting.points
    for moment, change in sorted(changes_of(event).items(), key=lambda item: item[0]):
        parts = []
        revoked = revoked_at.get(moment, 0)
        if change.pending + revoked < 0:
            parts.append(f"{-change.pending - revoked} became spendable")
        if revoked:
            parts.append(f"{revoked} revoked")
        if change.reserved < 0:
            parts.append(f"{-change.reserved} reserved points came back")
        if change.debt < 0:
            parts.append(f"{-change.debt} paid the debt")
        if change.expired:
            parts.append(f"{change.expired} expired")
        if parts:
            yield f"{format_instant(moment)}: {', '.join(parts)}"


def _granted(awards: tuple[Award, ...]) -> str:
    return _count(sum(award.points for award in awards))


def _if_any(awards: tuple[Award, ...]) -> str:
    return f": {_granted(awards)}" if awards else ""


def _count(points: int) -> str:
    return f"{points:+d} points" if points else "no points"


def _hours(microseconds: int) -> str:
    hours = microseconds // HOUR_US
    return f"{hours // 24} days {hours % 24} hours" if hours >= 24 else f"{hours} hours"
