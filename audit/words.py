"""An explanation in words that a service agent can read to a customer, in the reader's language.

A list of lines, each with its depth. Amounts stand after a colon, so that no sentence has to be
inflected by a number.
"""

from collections.abc import Iterator
from typing import NamedTuple

from audit.explanation import (
    Explanation,
    Granted,
    Happened,
    Judged,
    LotStory,
    Movement,
    Owed,
    RefusedInput,
)
from audit.texts import N_, Texts
from audit.words_refusals import refusal
from audit.words_rules import capped, reason, tier

VERSION_SHOWN = 12
"""Characters of a program version that tell it from the others."""


class Line(NamedTuple):
    """`depth` 0 is a headline."""

    depth: int
    text: str


def words(explanation: Explanation, texts: Texts, *, rules: bool = True) -> list[Line]:
    """The explanation in words. `rules`: also why rules gave nothing."""
    lines = list(_head(explanation, texts))
    for lot in explanation.lots:
        lines += _lot(lot, texts)
    for owed in explanation.owed:
        lines += _owed(owed, texts)
    for refused in explanation.refused:
        lines += _refused(refused, texts)
    if rules:
        for judged in explanation.judged:
            lines += _judged(judged, texts)
    return lines


STATUS = {
    "frozen": N_("The account is frozen: it earns and cannot spend."),
    "closed": N_("The account is closed."),
    "erased": N_("The account is erased."),
}


def _head(told: Explanation, texts: Texts) -> Iterator[Line]:
    yield Line(
        0,
        texts.say(
            "Member {member} on {when}: {points}",
            member=told.member_id,
            when=texts.when(told.as_of),
            points=texts.points(told.available),
        ),
    )
    if told.debt:
        yield Line(1, texts.say("owed: {points}", points=texts.points(told.debt)))
    if told.pending:
        yield Line(1, texts.say("not yet spendable: {points}", points=texts.points(told.pending)))
    if told.reserved:
        yield Line(1, texts.say("held: {points}", points=texts.points(told.reserved)))
    if told.tier != "none":
        yield Line(1, texts.say("tier: {tier}", tier=tier(texts, told.tier)))
    if told.status in STATUS:
        yield Line(1, texts.say(STATUS[told.status]))
    if told.merged_into is not None:
        into = texts.say("The account went over into that of {member}.", member=told.merged_into)
        yield Line(1, into)
    yield Line(1, texts.say("times are those of {zone}", zone=told.time_zone))


# --- lots -------------------------------------------------------------------------------------

ORIGINS = {
    "PurchaseRewarded": N_("for a purchase, order {order} in store {store}"),
    "SurveyRewarded": N_("for survey {name}"),
    "ActivityRewarded": N_("for activity {name} ({reason})"),
    "RewardReceived": N_("for bringing in member {member}, who bought (order {order})"),
    "ReferralAccepted": N_("for having been brought in by member {member}"),
    "PointsAdjusted": N_("given by hand, by {actor}: {reason}"),
    "PointsReceived": N_("a gift of member {member}"),
    "AccountAbsorbed": N_("with the account of member {member}, which went over into this one"),
    "AccountSettled": N_("as a welcome to a tier"),
    "TierOverridden": N_("as a welcome to a tier"),
}
"""Where a lot came from, by the kind of event."""


def _filled(by: Happened) -> dict[str, str]:
    return {
        "order": by.order_id,
        "store": by.store_id,
        "name": by.name,
        "member": by.member,
        "actor": by.actor,
        "reason": by.reason,
        "return_id": by.return_id,
        "redemption": by.redemption_id,
    }


def _lot(lot: LotStory, texts: Texts) -> Iterator[Line]:
    origin = ORIGINS.get(lot.by.event)
    where = "" if origin is None else texts.say(origin, **_filled(lot.by))
    yield Line(
        0,
        texts.say(
            "Lot {lot}: {points}, {when}, {origin}",
            lot=lot.lot,
            points=texts.points(lot.came),
            when=texts.when(lot.by.occurred_at),
            origin=where or texts.say("by {event}", event=lot.by.event),
        ),
    )
    yield from _input(lot.by, texts)
    for award in lot.awards:
        yield from _award(award, texts)
    if lot.from_lot is not None:
        yield Line(1, texts.say("there it was lot {lot}", lot=lot.from_lot))
    yield from _dates(lot, texts)
    for move in lot.movements:
        yield Line(1, f"{texts.when(move.at)}: {_movement(move, texts)}")
    yield Line(1, _left(lot, texts))


def _input(by: Happened, texts: Texts) -> Iterator[Line]:
    if by.position is None or by.recorded_at is None:
        return
    if by.id:
        yield Line(
            1,
            texts.say(
                "input {id} from {source}, recorded {when} (shard {shard}, position {position})",
                id=by.id,
                source=by.source,
                when=texts.when(by.recorded_at),
                shard=by.shard,
                position=by.position,
            ),
        )
    if by.late_by_seconds:
        yield Line(1, texts.say("it arrived late and was decided by its own time"))
    if by.addressed:
        yield Line(
            1,
            texts.say(
                "it named member {member}, whose account went over into this one",
                member=by.addressed,
            ),
        )


KINDS = {
    "survey": N_("reward of survey {rule}: {points}"),
    "referrer": N_("reward for bringing in a member: {points}"),
    "share": N_("share of the purchases of a member brought in: {points}"),
    "referee": N_("reward for having been brought in: {points}"),
    "welcome": N_("welcome to tier {rule}: {points}"),
    "adjustment": N_("given by hand: {points}"),
}
"""How awards are told that no earn rule gives."""


def _award(award: Granted, texts: Texts) -> Iterator[Line]:
    points, value = texts.points(award.points), texts.points(award.value)
    if award.kind in KINDS:
        yield Line(1, texts.say(KINDS[award.kind], rule=award.rule, points=points))
    else:
        if award.kind == "multiplier":
            said = texts.say(
                "rule {rule} multiplies, and adds: {points}", rule=award.rule, points=value
            )
        elif award.matched_amount:
            amount = texts.money(award.matched_amount)
            said = texts.say(
                "rule {rule} gives for {amount}: {points}",
                rule=award.rule,
                amount=amount,
                points=value,
            )
        else:
            said = texts.say("rule {rule} gives: {points}", rule=award.rule, points=value)
        version = texts.say("program version {version}", version=award.program[:VERSION_SHOWN])
        yield Line(1, f"{said} ({version})")
    if award.points != award.value:
        why = texts.both(capped(texts, cap) for cap in award.capped)
        yield Line(2, texts.say("of these were granted: {points} ({why})", points=points, why=why))
    if len(award.lines) > 1:
        shares = texts.both(
            texts.say(
                "line {line}: {points}", line=share.line_id, points=texts.number(share.points)
            )
            for share in award.lines
        )
        yield Line(2, texts.say("shared among the lines: {shares}", shares=shares))


def _dates(lot: LotStory, texts: Texts) -> Iterator[Line]:
    if lot.waits_for:
        yield Line(
            1,
            texts.say(
                "the points are taken away unless {event} happens by {when}",
                event=lot.waits_for,
                when=texts.when(lot.activates_at),
            ),
        )
        return
    if lot.activates_at <= lot.granted_at:
        yield Line(1, texts.say("spendable at once"))
    else:
        yield Line(1, texts.say("spendable from {when}", when=texts.when(lot.activates_at)))
    if lot.expires_at is None:
        yield Line(1, texts.say("they never expire"))
    elif lot.idle:
        yield Line(
            1,
            texts.say(
                "they expire {when}, unless a purchase moves this on",
                when=texts.when(lot.expires_at),
            ),
        )
    else:
        yield Line(1, texts.say("they expire {when}", when=texts.when(lot.expires_at)))


MOVES = {
    "activated": N_("became spendable: {points}"),
    "reserved": N_("held for redemption {redemption}: {points}"),
    "released": N_("no longer held, back: {points}"),
    "spent": N_("spent (redemption {redemption}): {points}"),
    "donated": N_("given to charity {name}: {points}"),
    "claimed": N_("spent on reward {name}: {points}"),
    "expired": N_("expired unspent: {points}"),
    "taken_back": N_("taken back, because order {order} came back (return {return_id}): {points}"),
    "not_activated": N_("taken away, because what they waited for did not happen: {points}"),
    "forfeited": N_("forfeited with the end of the account: {points}"),
    "sent": N_("given to member {member}: {points}"),
    "merged": N_("went over to the account of member {member}: {points}"),
    "paid_debt": N_("paid what was owed: {points}"),
    "adjusted": N_("taken by hand, by {actor} ({reason}): {points}"),
    "restored": N_("back, because order {order} came back: {points}"),
}
"""What happened to points of a lot, by kind of movement."""


def _movement(move: Movement, texts: Texts) -> str:
    by, points = move.by, texts.points(move.points)
    if move.kind == "spent" and by.order_id:
        return texts.say(
            "spent on order {order} (redemption {redemption}): {points}",
            order=by.order_id,
            redemption=by.redemption_id,
            points=points,
        )
    if move.kind == "taken_back" and by.event == "RewardTakenBack":
        return texts.say(
            "taken back, because order {order} of member {member} came back: {points}",
            order=by.order_id,
            member=by.member,
            points=points,
        )
    return texts.say(MOVES[move.kind], points=points, **_filled(by))


def _left(lot: LotStory, texts: Texts) -> str:
    if not lot.left:
        return texts.say("nothing of it is left")
    return texts.say("left of it: {points}", points=texts.points(lot.left))


# --- debt, refusals, rules --------------------------------------------------------------------


def _owed(owed: Owed, texts: Texts) -> Iterator[Line]:
    points, by = texts.points(owed.points), owed.by
    if by.event == "AccountAbsorbed":
        why = texts.say("with the account of member {member}", member=by.member)
    elif by.event == "PointsAdjusted":
        why = texts.say("taken by hand, by {actor} ({reason})", actor=by.actor, reason=by.reason)
    else:
        why = texts.say("order {order} came back, and its points were spent", order=by.order_id)
    yield Line(
        0,
        texts.say("Owed since {when}: {points}, {why}", when=texts.when(owed.at), points=points,
                  why=why),
    )  # fmt: skip
    for paid in owed.payments:
        amount, when = texts.points(paid.points), texts.when(paid.at)
        if paid.lot is not None:
            said = texts.say("paid from lot {lot}: {points}", lot=paid.lot, points=amount)
        elif paid.by.event == "AccountMerged":
            said = texts.say(
                "went over to the account of member {member}: {points}",
                member=paid.by.member,
                points=amount,
            )
        else:
            said = texts.say("let go with the end of the account: {points}", points=amount)
        yield Line(1, f"{when}: {said}")
    if owed.left:
        yield Line(1, texts.say("still owed: {points}", points=texts.points(owed.left)))
    else:
        yield Line(1, texts.say("nothing of it is owed any more"))


def _refused(refused: RefusedInput, texts: Texts) -> Iterator[Line]:
    by = refused.by
    what = by.order_id or by.redemption_id or by.id
    yield Line(
        0,
        texts.say(
            "Refused, {when}: {what} ({type}): {why}",
            when=texts.when(by.occurred_at),
            what=what,
            type=by.input_type,
            why=refusal(texts, refused.code, refused.message),
        ),
    )


def _judged(judged: Judged, texts: Texts) -> Iterator[Line]:
    by, points = judged.by, texts.points(judged.points)
    when, held = texts.when(by.occurred_at), tier(texts, judged.tier)
    if judged.amount is None:
        head = texts.say(
            "Activity {name} ({reason}), {when}, tier {tier}: {points}",
            name=by.name,
            reason=by.reason,
            when=when,
            tier=held,
            points=points,
        )
    else:
        head = texts.say(
            "Order {order}, {when}, {amount}, tier {tier}: {points}",
            order=by.order_id,
            when=when,
            amount=texts.money(judged.amount),
            tier=held,
            points=points,
        )
    yield Line(0, head)
    for rule in judged.rules:
        if rule.reason is None:
            said = texts.say(
                "rule {rule}: {points}", rule=rule.rule, points=texts.points(rule.points)
            )
        else:
            said = texts.say(
                "rule {rule} gave nothing: {why}",
                rule=rule.rule,
                why=reason(texts, rule.reason),
            )
        yield Line(1, said)
