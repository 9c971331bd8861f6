"""An event of a member's account in words: what happened, what it moved, and why so much.

For people: sentences, no program parses them. Only what the event itself records is told; no rule
is evaluated again. Where each point went in the end tells `audit.explain`.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from audit.explanation import CappedBy
from audit.texts import N_, SOURCE, Texts
from audit.words_refusals import refusal
from audit.words_rules import CODE_STATUS, capped, tier
from ledger.core.calendar import SECOND_US, from_instant
from ledger.core.program.duration import Duration, parse_duration
from projections.history import WITH_AWARDS, changes_of, purchase_amount, returned_amount
from schemas import decisions as d
from schemas.fields import Instant


class Told(NamedTuple):
    """`headline` is one line; `details` say what it follows from, a line each."""

    headline: str
    details: tuple[str, ...]


def explain(
    event: d.AccountEvent, currency: str, time_zone: str = "UTC", language: str = SOURCE
) -> Told:
    """The event in words; `language`: one of `audit.texts.LANGUAGES`."""
    return told(event, Texts(language, time_zone, currency))


def told(event: d.AccountEvent, texts: Texts) -> Told:
    """The same where many are told."""
    details = list(_details(event, texts))
    details.extend(
        texts.say(
            "tier {previous} → {to} at {when}",
            previous=tier(texts, change.previous),
            to=tier(texts, change.to),
            when=_when(texts, change.at),
        )
        for change in event.tier_changes
    )
    if event.addressed:
        details.append(
            texts.say(
                "it named member {member}, whose account went over into this one",
                member=event.addressed,
            )
        )
    if event.late_by:
        late = texts.length(Duration(seconds=event.late_by // SECOND_US))
        details.append(
            texts.say("arrived late (by {length}) and was decided by its own time", length=late)
        )
    return Told(_headline(event, texts), tuple(details))


def earlier_entries(texts: Texts, n: int) -> str:
    """What stands for entries that are not shown."""
    return texts.count(
        "… {n} earlier entry (see --limit)", "… {n} earlier entries (see --limit)", n
    )


def _when(texts: Texts, at: Instant) -> str:
    return texts.when(from_instant(at))


def _headline(event: d.AccountEvent, texts: Texts) -> str:
    match event:
        case d.PurchaseRewarded():
            return texts.say(
                "bought for {amount} in store {store} (order {order}), tier {tier}: {points}",
                amount=texts.money(purchase_amount(event)),
                store=event.purchase.store_id,
                order=event.purchase.order_id,
                tier=tier(texts, event.tier),
                points=_granted(texts, event.awards),
            )
        case d.PurchaseReturned():
            taken = sum(clawback.taken for clawback in event.clawbacks)
            taken += sum(welcome.taken for welcome in event.welcomes)
            return texts.say(
                "returned {amount} of order {order}: {points}",
                amount=texts.money(returned_amount(event)),
                order=event.returned.order_id,
                points=_signed(texts, -taken),
            )
        case d.ReturnWaiting():
            return texts.say(
                "return of unknown order {order} waits for it until {when}",
                order=event.returned.order_id,
                when=_when(texts, event.deadline),
            )
        case d.InputRefused():
            why = refusal(texts, event.code, event.message)
            return texts.say("refused {type}: {why}", type=event.input_type, why=why)
        case d.ReferralAccepted():
            said = texts.say("brought in by member {member}", member=event.referrer_id)
            return f"{said}: {_granted(texts, event.awards)}" if event.awards else said
        case d.SurveyRewarded():
            points = _granted(texts, event.awards)
            return texts.say(
                "completed survey {name}: {points}", name=event.survey_id, points=points
            )
        case d.ActivityRewarded():
            return _activity(event, texts)
        case d.RewardReceived():
            return texts.say(
                "brought in {member}, who bought: {points}",
                member=event.referee_id,
                points=_granted(texts, event.awards),
            )
        case d.RewardTakenBack():
            taken = sum(clawback.taken for clawback in event.clawbacks)
            return texts.say(
                "reward for bringing in {member} taken back: {points}",
                member=event.referee_id,
                points=_signed(texts, -taken),
            )
        case d.AccountSettled():
            return texts.say("time passed: {what}", what=_settled(event, texts))
        case _:
            return _by_command(event, texts)


def _activity(event: d.ActivityRewarded, texts: Texts) -> str:
    done, held = event.activity, tier(texts, event.tier)
    points = _granted(texts, event.awards)
    if done.store_id is None:
        return texts.say(
            "{name} of {reference}, tier {tier}: {points}",
            name=done.activity,
            reference=done.reference,
            tier=held,
            points=points,
        )
    return texts.say(
        "{name} of {reference} in store {store}, tier {tier}: {points}",
        name=done.activity,
        reference=done.reference,
        store=done.store_id,
        tier=held,
        points=points,
    )


def _by_command(event: d.AccountEvent, texts: Texts) -> str:
    """What members and agents do with points and accounts."""
    match event:
        case d.PointsReserved():
            return texts.say(
                "held until {when} for {redemption}: {points}",
                when=_when(texts, event.lapses_at),
                redemption=event.reservation_id,
                points=texts.points(event.points),
            )
        case d.ReservationConfirmed():
            points = texts.points(event.points)
            return texts.say("spent (reservation {redemption}): {points}",
                             redemption=event.reservation_id, points=points)  # fmt: skip
        case d.ReservationCancelled():
            return texts.say("cancelled reservation {redemption}: its points are back",
                             redemption=event.reservation_id)  # fmt: skip
        case d.PointsRedeemed():
            points = texts.points(event.points)
            return texts.say("spent (redemption {redemption}): {points}",
                             redemption=event.redemption_id, points=points)  # fmt: skip
        case d.PointsAdjusted():
            return texts.say(
                "adjusted by {actor}, {reason}: {points}",
                actor=event.actor,
                reason=event.reason,
                points=_signed(texts, event.points),
            )
        case d.PointsDonated():
            points = texts.points(event.points)
            return texts.say(
                "given to charity {name}: {points}", name=event.charity_id, points=points
            )
        case d.RewardClaimed():
            return _claimed(event, texts)
        case d.TierOverridden():
            return texts.say(
                "tier {tier} by hand until {when}, by {actor}: {reason}",
                tier=tier(texts, event.tier),
                when=_when(texts, event.until),
                actor=event.actor,
                reason=event.reason,
            )
        case d.PointsSent():
            points = texts.points(event.points)
            return texts.say("given to member {member}: {points}", member=event.to, points=points)
        case d.PointsReceived():
            points = texts.points(event.points)
            return texts.say("got from member {member}: {points}", member=event.sender,
                             points=points)  # fmt: skip
        case _:
            return _of_account(event, texts)


def _claimed(event: d.RewardClaimed, texts: Texts) -> str:
    points = texts.points(event.points)
    if event.number is None:
        return texts.say("took {kind} {name}: {points}", kind=texts.say(REWARDS[event.kind]),
                         name=event.reward_id, points=points)  # fmt: skip
    return texts.say(
        "took {kind} {name} number {number}: {points}",
        kind=texts.say(REWARDS[event.kind]),
        name=event.reward_id,
        number=event.number,
        points=points,
    )


REWARDS = {"gift": N_("gift"), "voucher": N_("voucher")}

PROFILES = {
    "enrolled": N_("profile enrolled"),
    "updated": N_("profile updated"),
    "recomputed": N_("profile looked at again"),
}


def _of_account(event: d.AccountEvent, texts: Texts) -> str:
    match event:
        case d.MemberProfiled():
            return texts.say(PROFILES[event.kind])
        case d.MemberErased():
            return texts.say("erased: the profile is gone and the balance forfeited")
        case d.AccountFrozen():
            return texts.say(
                "frozen by {actor}: earns and cannot spend ({reason})",
                actor=event.actor,
                reason=event.reason,
            )
        case d.AccountUnfrozen():
            return texts.say(
                "open again, by {actor} ({reason})", actor=event.actor, reason=event.reason
            )
        case d.AccountClosed() if event.forfeits_at is None:
            return texts.say(
                "closed by {actor}: the balance is forfeited at once ({reason})",
                actor=event.actor,
                reason=event.reason,
            )
        case d.AccountClosed():
            return texts.say(
                "closed by {actor}: the balance is forfeited {when} ({reason})",
                actor=event.actor,
                when=_when(texts, event.forfeits_at or 0),
                reason=event.reason,
            )
        case d.AccountMerged():
            return texts.say(
                "merged into the account of member {member}, by {actor} ({reason})",
                member=event.into,
                actor=event.actor,
                reason=event.reason,
            )
        case d.AccountAbsorbed():
            points = -sum(p.points for p in event.postings if p.account == "transferred")
            return texts.say(
                "the account of {member} went over into this one, by {actor} ({reason}): {points}",
                member=event.merged,
                actor=event.actor,
                reason=event.reason,
                points=_signed(texts, points),
            )
        case d.InputForwarded():
            return texts.say(
                "{type} was passed on to {member}", type=event.input_type, member=event.to
            )
        case d.AnonymousPurchaseRecorded():
            order = event.purchase.order_id
            return texts.say("anonymous order {order}, counted only", order=order)
        case _:
            raise AssertionError(f"no words for a {type(event).__name__}")


# --- details ----------------------------------------------------------------------------------


def _details(event: d.AccountEvent, texts: Texts) -> Iterator[str]:
    if isinstance(event, WITH_AWARDS):
        yield from (_award(award, texts) for award in event.awards)
        yield from _lots(event.awards, texts)
    if isinstance(event, d.PurchaseRewarded | d.ActivityRewarded) and event.facts is not None:
        yield from _known(event.facts, texts)
    if isinstance(event, d.PurchaseRewarded) and event.facts is not None:
        used = {use.series for use in event.codes}
        yield from (_code(event, fact, used, texts) for fact in event.facts.codes)
    match event:
        case d.PurchaseRewarded() | d.ReferralAccepted() if event.referral is not None:
            yield texts.say(REFERRALS[event.referral])
        case d.PurchaseReturned():
            yield from (_clawback(clawback, texts) for clawback in event.clawbacks)
            for use in event.codes:
                yield texts.say("promo code of {series} given back", series=use.series)
            for one in event.welcomes:
                yield texts.say(
                    "welcome of {tier} taken back: {due} due, {taken} taken",
                    tier=one.level,
                    due=texts.number(one.points),
                    taken=texts.number(one.taken),
                )
            yield from _restored(event, texts)
        case d.ReservationConfirmed() | d.PointsRedeemed():
            yield from _restored(event, texts)
        case d.PointsReceived() | d.AccountAbsorbed():
            yield from (_moved(lot, texts) for lot in event.lots)
        case d.AccountSettled():
            yield from _moments(event, texts)
        case d.MemberProfiled():
            for key, holds in event.outcomes.items():
                answer = texts.say("yes") if holds else texts.say("no")
                yield f"{key}: {answer}"
        case _:
            pass


REFERRALS = {
    "qualified": N_("referral qualified"),
    "closed": N_("referral closed"),
    "open": N_("referral open"),
}


def _restored(event: d.AccountEvent, texts: Texts) -> Iterator[str]:
    """What is back of points spent on an order that came back."""
    back = -sum([p.points for p in event.postings if p.account == "redeemed" and p.points < 0])
    if back:
        yield texts.say("spent points are back in their lots: {points}", points=texts.points(back))


def _award(award: d.Award, texts: Texts) -> str:
    points, kind = _signed(texts, award.points), texts.say(KINDS[award.kind])
    if award.matched_amount:
        said = texts.say(
            "{rule} ({kind}) on {amount}: {points}",
            rule=award.rule,
            kind=kind,
            amount=texts.money(award.matched_amount),
            points=points,
        )
    else:
        said = texts.say("{rule} ({kind}): {points}", rule=award.rule, kind=kind, points=points)
    if not award.capped:
        return said
    caps = "; ".join(capped(texts, CappedBy(cap.by, cap.left)) for cap in award.capped)
    value = texts.number(award.value)
    return texts.say("{award} of {value}, {caps}", award=said, value=value, caps=caps)


KINDS = {
    "rate": N_("rate"),
    "fixed": N_("fixed"),
    "table": N_("table"),
    "multiplier": N_("multiplier"),
    "survey": N_("survey"),
    "referrer": N_("referrer"),
    "share": N_("share"),
    "referee": N_("referee"),
    "welcome": N_("welcome"),
    "adjustment": N_("adjustment"),
}
"""The kinds of award."""


def _known(facts: d.Facts, texts: Texts) -> Iterator[str]:
    """What was known of the member, of that which rules ask for."""
    for said, held in (
        (N_("tags that rules ask for: {held}"), facts.tags),
        (N_("segments that rules ask for: {held}"), facts.segments),
        (N_("birthday windows that rules ask for: {held}"), facts.birthdays),
    ):
        if held is not None:
            yield texts.say(said, held=", ".join(held) or texts.say("none held"))


def _code(event: d.PurchaseRewarded, fact: d.CodeFact, used: set[str], texts: Texts) -> str:
    code = event.purchase.promo_codes[fact.place]
    of = fact.series
    if fact.status != "ok":
        why = texts.say(CODE_STATUS[fact.status])
        if not of:
            return texts.say("promo code {code}: {why}", code=code, why=why)
        return texts.say(
            "promo code {code} (series {series}): {why}", code=code, series=of, why=why
        )
    if fact.series in used:
        return texts.say("promo code {code} (series {series}): used", code=code, series=of)
    # It is still good: whoever reads this must not learn it.
    return texts.say(
        "promo code {code} (series {series}): not used, no award asked for it",
        code=f"{code[:2]}…",
        series=of,
    )


def _lots(awards: Iterable[d.Award], texts: Texts) -> Iterator[str]:
    totals: dict[tuple[int, int, int | None, int, d.Terms | None], int] = {}
    for award in awards:
        if award.points:
            key = (award.lot, award.activates_at, award.expires_at, award.granted_at, award.terms)
            totals[key] = totals.get(key, 0) + award.points
    for (lot, activates_at, expires_at, granted_at, terms), n in totals.items():
        points = texts.points(n)
        if terms is not None and terms.event:
            yield texts.say(
                "lot {lot}: {points}, revoked unless {event} happens by {when}",
                lot=lot,
                points=points,
                event=terms.event,
                when=_when(texts, terms.until),
            )
            continue
        if activates_at <= granted_at:
            spendable = texts.say("spendable at once")
        else:
            spendable = texts.say("spendable from {when}", when=_when(texts, activates_at))
        if expires_at is None:
            ends = texts.say("never expire")
        else:
            ends = texts.say("expire {when}", when=_when(texts, expires_at))
        if terms is not None:
            ends = texts.say(
                "{ends}, {length} after the last purchase",
                ends=ends,
                length=texts.length(parse_duration(terms.idle)),
            )
        yield texts.say("lot {lot}: {points}, {spendable}, {ends}", lot=lot, points=points,
                        spendable=spendable, ends=ends)  # fmt: skip


def _moved(lot: d.MovedLot, texts: Texts) -> str:
    if lot.expires_at is None:
        ends = texts.say("never expire")
    else:
        ends = texts.say("expire {when}", when=_when(texts, lot.expires_at))
    points = texts.points(lot.granted)
    return texts.say("lot {lot}, at most: {points}, {ends}", lot=lot.lot, points=points, ends=ends)


def _clawback(clawback: d.Clawback, texts: Texts) -> str:
    parts = [texts.say("{n} taken", n=texts.number(clawback.taken))]
    if clawback.expired:
        parts.append(texts.say("{n} had expired already", n=texts.number(clawback.expired)))
    if clawback.let_go:
        parts.append(texts.say("{n} let go", n=texts.number(clawback.let_go)))
    award, due, taken = clawback.award + 1, texts.number(clawback.points), ", ".join(parts)
    if clawback.line < 0:
        return texts.say("award {award}, the whole order: {due} due, {taken}", award=award, due=due,
                         taken=taken)  # fmt: skip
    return texts.say("award {award}, line {line}: {due} due, {taken}", award=award,
                     line=clawback.line + 1, due=due, taken=taken)  # fmt: skip


# --- what time did ----------------------------------------------------------------------------


def _settled(event: d.AccountSettled, texts: Texts) -> str:
    expired = sum(p.points for p in event.postings if p.account == "expired")
    revoked = sum(p.points for p in event.postings if p.account == "revoked")
    pending = sum(p.points for p in event.postings if p.account == "pending" and p.points > 0)
    activated = -sum(p.points for p in event.postings if p.account == "pending") - revoked + pending
    parts = []
    if activated:
        parts.append(texts.say("became spendable: {points}", points=texts.points(activated)))
    if revoked:
        points = texts.points(revoked)
        parts.append(texts.say("revoked, what they waited for did not happen: {points}",
                               points=points))  # fmt: skip
    if expired:
        parts.append(texts.say("expired: {points}", points=texts.points(expired)))
    if event.lapsed:
        parts.append(texts.say("reservations lapsed: {n}", n=texts.number(len(event.lapsed))))
    if event.refused_returns:
        n = texts.number(len(event.refused_returns))
        parts.append(texts.say("waiting returns refused: {n}", n=n))
    if event.forfeited:
        parts.append(texts.say("the notice ended, what was left is forfeited"))
    if event.tier_changes:
        parts.append(texts.say("tier {tier}", tier=tier(texts, event.tier_changes[-1].to)))
    if event.awards:
        points = _granted(texts, event.awards)
        parts.append(texts.say("welcomed with {points}", points=points))
    return ", ".join(parts) or texts.say("nothing moved")


def _moments(event: d.AccountSettled, texts: Texts) -> Iterator[str]:
    revoked_at: dict[int, int] = {}
    for posting in event.postings:
        if posting.account == "revoked":
            at = posting.effective_at
            revoked_at[at] = revoked_at.get(at, 0) + posting.points
    for moment, change in sorted(changes_of(event).items(), key=lambda item: item[0]):
        revoked = revoked_at.get(moment, 0)
        parts = []
        for said, n in (
            (N_("{n} became spendable"), -change.pending - revoked),
            (N_("{n} revoked"), revoked),
            (N_("{n} reserved points came back"), -change.reserved),
            (N_("{n} paid the debt"), -change.debt),
            (N_("{n} expired"), change.expired),
        ):
            if n > 0:
                parts.append(texts.say(said, n=texts.number(n)))
        if parts:
            yield f"{_when(texts, moment)}: {', '.join(parts)}"


def _granted(texts: Texts, awards: tuple[d.Award, ...]) -> str:
    return _signed(texts, sum(award.points for award in awards))


def _signed(texts: Texts, points: int) -> str:
    """`+5 points`, `-5 points`, or none."""
    if not points:
        return texts.say("no points")
    return f"+{texts.points(points)}" if points > 0 else texts.points(points)
