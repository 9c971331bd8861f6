"""Referrals: who brought a member in, and which purchase earns the rewards.

`occurred_at` decides, not arrival: a referral that arrives after the purchase that it occurred
before qualifies at once on it. The referee's reward is part of the decision here; the referrer's
account is another aggregate and gets an effect, with the moment of the purchase that qualified.
"""

from collections.abc import Sequence

from msgspec import Struct

from ledger.core.calendar import add, to_instant
from ledger.core.context import Context, Refused
from ledger.core.postings import Draft
from ledger.core.program.form import Qualifies, Validity
from ledger.core.program.form import Referral as ReferralForm
from ledger.core.records import unpack
from ledger.core.referral_rewards import Shared, reward, share, shares_left
from ledger.core.rules import grant
from schemas.decisions import Award, Effect, ReferralAccepted
from schemas.fields import Instant
from schemas.inputs import ReferralRegistered

RULE = "referral"
"""The rule that a referral's awards name."""


class Verdict(Struct, frozen=True):
    """What a purchase does to a referral: None, `qualified` or `closed`. `shared`: the orders of
    which the referrer gets a share."""

    referral: str | None = None
    awards: tuple[Award, ...] = ()
    effects: tuple[Effect, ...] = ()
    shared: Shared = ()


NO_VERDICT = Verdict()


def terms_of(form: ReferralForm) -> tuple[Qualifies, bool]:
    """What qualifies, and whether only the first purchase can."""
    if form.qualifies.first_purchase is not None:
        return form.qualifies.first_purchase, True
    assert form.qualifies.purchase is not None
    return form.qualifies.purchase, False


def within(validity: Validity | None, at: Instant) -> bool:
    """Whether `at` lies in [from, to)."""
    if validity is None:
        return True
    return (validity.start is None or at >= to_instant(validity.start)) and (
        validity.end is None or at < to_instant(validity.end)
    )


def judge(context: Context, order_id: str, at: Instant, amount: int, next_lot: int) -> Verdict:
    """What a purchase now decided does to the member's referral."""
    referral = context.account.referral
    if referral is None:
        return NO_VERDICT
    if referral.status != "open":
        program = context.programs.at(at)
        if at < referral.at or not shares_left(context.account, program):
            return NO_VERDICT
        order = (order_id, at, amount, 0)
        return Verdict(None, (), *share(context, referral.referrer_id, program, order))
    return _judge(context, referral.referrer_id, referral.at, order_id, at, amount, next_lot)


def _judge(
    context: Context,
    referrer_id: str,
    referred_at: Instant,
    order_id: str,
    at: Instant,
    amount: int,
    next_lot: int,
    returned: int = 0,
) -> Verdict:
    program = context.programs.at(at)
    form = program.form.referral
    if form is None:
        return NO_VERDICT
    terms, first_only = terms_of(form)
    if (
        at < referred_at
        or amount < terms.at_least
        or (terms.within is not None and at > add(referred_at, terms.within, program.zone))
    ):
        return Verdict("closed") if first_only else NO_VERDICT
    awards: tuple[Award, ...] = ()
    if form.referee is not None and form.referee.fixed:
        awards = (
            grant(
                program,
                rule=RULE,
                kind="referee",
                points=form.referee.fixed,
                at=at,
                activation=form.referee.activation,
                expiry=form.referee.expiry,
                lot=next_lot,
            ),
        )
    order = (order_id, at, amount + returned, returned)
    effects, shared = reward(context, referrer_id, program, order)
    return Verdict("qualified", awards, effects, shared)


def decide_referral(context: Context, event: ReferralRegistered) -> ReferralAccepted:
    """Accept a referral, and judge the purchases that it occurred before. Raises Refused."""
    account, data = context.account, event.data
    _check(context, data.referrer_id)
    first = account.first_purchase
    verdict, order_id = NO_VERDICT, None
    if first is not None:
        orders = sorted(map(unpack, account.orders.values()), key=lambda order: order.at)
        found = [(o.order_id, o.at, o.amount_left, sum(o.returned)) for o in orders]
        if not found or found[0][1] > first.at:  # the first one can no longer be returned
            found.insert(0, (first.order_id, first.at, first.amount, 0))
        for place, (order_id, at, amount, returned) in enumerate(found):
            verdict = _judge(
                context,
                data.referrer_id,
                context.at,
                order_id,
                at,
                amount,
                account.holdings.next_lot,
                returned,
            )
            if verdict.shared:
                verdict = _with_later(context, data.referrer_id, verdict, found[place + 1 :])
            if verdict.referral is not None:
                break
    draft = Draft(account.holdings)
    draft.grant(verdict.awards, order_id or "")
    draft.catch_up(account.holdings.next_lot, context.now)
    return ReferralAccepted(
        **context.head(),
        postings=tuple(draft.postings),
        effects=verdict.effects,
        referrer_id=data.referrer_id,
        code=data.code,
        facts=context.facts,
        referral=verdict.referral,
        order_id=order_id if verdict.referral is not None else None,
        awards=verdict.awards,
        shared=verdict.shared,
    )


def _with_later(
    context: Context,
    referrer_id: str,
    verdict: Verdict,
    later: Sequence[tuple[str, Instant, int, int]],
) -> Verdict:
    """The same with the shares of the orders that followed the one that qualified."""
    effects, shared = verdict.effects, verdict.shared
    for order_id, at, left, returned in later:
        program = context.programs.at(at)
        form = program.form.referral
        part = None if form is None or form.referrer is None else form.referrer.share
        if part is not None and len(shared) < part.orders:
            order = (order_id, at, left + returned, returned)
            more, one = share(context, referrer_id, program, order)
            effects, shared = effects + more, shared + one
    return Verdict(verdict.referral, verdict.awards, effects, shared)


def _check(context: Context, referrer_id: str) -> None:
    """Raises Refused when the referral cannot be accepted."""
    account, facts = context.account, context.facts
    form = context.program.form.referral
    if form is None:
        raise Refused("no_referral", "the program in force has no referral")
    if not within(form.valid, context.at):
        raise Refused("outside_window", "referrals are not taken at this moment")
    if referrer_id == account.member_id or referrer_id in account.merged_from:
        raise Refused("self_referral", "a member cannot refer themselves")
    if account.referral is not None:
        raise Refused("already_referred", "a referral is registered once per member")
    if facts.referrer_status in ("closed", "erased"):
        raise Refused(
            f"referrer_{facts.referrer_status}",
            f"the referrer's account is {facts.referrer_status}",
        )
    if facts.referrer_referred_by in (account.member_id, *account.merged_from):
        raise Refused("cycle", "the referrer was referred by this member")
    first = account.first_purchase
    if first is not None and first.at < context.at:
        raise Refused("existing_buyer", "the member had bought before the referral")
