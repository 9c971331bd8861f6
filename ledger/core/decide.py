"""Deciding: what one input does to one account, as events; each of them already folded.

First the account settles to the input's moment, then the input is judged by the program version in
force then, then the returns that waited for it are decided. A business refusal is an event too. An
impossible input raises Undecidable and leaves the account as it was. No I/O, no clock: the only
facts from outside are those handed in, and they are copied onto the event (invariant 9).
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

from ledger.core import inputs_check
from ledger.core.account import ANONYMOUS, Account
from ledger.core.activation import names_of
from ledger.core.activities import decide_activity
from ledger.core.adjustments import decide_adjust
from ledger.core.catalogue import decide_claim, decide_donate
from ledger.core.context import NO_FACTS, Context, Refused, input_type
from ledger.core.errors import Undecidable
from ledger.core.fold import evolve
from ledger.core.lifecycle import (
    check_standing,
    check_taken_before,
    decide_close,
    decide_freeze,
    decide_unfreeze,
)
from ledger.core.members import decide_erasure, decide_profile, decide_recomputed
from ledger.core.merging import decide_merge
from ledger.core.program.compiled import Compiled
from ledger.core.program.timeline import NoProgram, Timeline
from ledger.core.purchases import decide_anonymous, decide_purchase
from ledger.core.records import WaitingReturn
from ledger.core.referrals import decide_referral
from ledger.core.returns import decide_return, release
from ledger.core.rewards import decide_revocation, decide_reward
from ledger.core.settle import settle
from ledger.core.spending import (
    decide_cancel,
    decide_confirm,
    decide_redeem,
    decide_reserve,
)
from ledger.core.surveys import decide_survey
from ledger.core.tier_command import decide_override
from ledger.core.transfers import decide_transfer
from schemas import inputs
from schemas.decisions import (
    AccountEvent,
    AccountSettled,
    Cause,
    Facts,
    InputRefused,
    ReturnWaiting,
)
from schemas.fields import Instant
from schemas.inputs import InputEvent

_HANDLERS: dict[type, Callable[[Context, Any], AccountEvent]] = {
    inputs.PurchaseCompleted: decide_purchase,
    inputs.PurchaseReturned: decide_return,
    inputs.ReferralRegistered: decide_referral,
    inputs.SurveyCompleted: decide_survey,
    inputs.ActivityCompleted: decide_activity,
    inputs.MemberEnrolled: decide_profile,
    inputs.MemberUpdated: decide_profile,
    inputs.MemberErased: decide_erasure,
    inputs.RewardGranted: decide_reward,
    inputs.RewardRevoked: decide_revocation,
    inputs.PointsReserve: decide_reserve,
    inputs.ReservationConfirm: decide_confirm,
    inputs.ReservationCancel: decide_cancel,
    inputs.AccountFreeze: decide_freeze,
    inputs.AccountUnfreeze: decide_unfreeze,
    inputs.AccountClose: decide_close,
    inputs.PointsTransfer: decide_transfer,
    inputs.AccountMerge: decide_merge,
    inputs.PointsRedeem: decide_redeem,
    inputs.PointsAdjust: decide_adjust,
    inputs.PointsDonate: decide_donate,
    inputs.RewardClaim: decide_claim,
    inputs.TierOverride: decide_override,
}


def decide(
    account: Account,
    event: InputEvent,
    occurred_at: Instant,
    programs: Timeline,
    facts: Facts = NO_FACTS,
    addressed: str = "",
) -> list[AccountEvent]:
    """Decide on `event`; `account` is a fork and afterwards has every returned event applied.
    `addressed`: the member whom the event names, where that account was merged into this one.

    At most one AccountSettled, then the decision, then one event for each return that had waited
    for this purchase. Raises Undecidable, before anything was applied; InvariantBroken when the
    account is in an impossible state (the fork is then of no use).
    """
    handler = _HANDLERS[type(event)]
    try:
        program = programs.at(occurred_at)
    except NoProgram as none:
        raise Undecidable(NoProgram.code, "time", str(none)) from None
    inputs_check.check(event, program)
    cause = Cause(event.source, event.id)
    if account.member_id == ANONYMOUS and isinstance(event, inputs.PurchaseCompleted):
        decision: AccountEvent = decide_anonymous(
            Context.of(account, occurred_at, program, programs, cause, facts), event
        )
        evolve(account, decision)
        return [decision]

    events: list[AccountEvent] = []
    before = None
    names = names_of(event) if account.holdings.awaits else ()
    settled = settle(account, occurred_at, programs, names)
    if settled is not None:
        if program.expressions and _may_fail(program, event):
            before = account.fork()
        evolve(account, settled)
        events.append(settled)
    context = Context.of(account, occurred_at, program, programs, cause, facts, addressed)
    waiting: Sequence[WaitingReturn] = ()
    try:
        if account.status != "open":
            check_standing(account, event)
        if account.merged_from:
            check_taken_before(account, event)
        decision = handler(context, event)
        if isinstance(event, inputs.PurchaseCompleted):
            waiting = account.waiting.get(event.data.order_id, ())
    except Refused as refusal:
        decision = context.refused(input_type(event), refusal, event.data)
    except Undecidable:
        if settled is not None:
            assert before is not None, "only an expression fails, and it was expected that it may"
            account.become(before)
        raise
    evolve(account, decision)
    events.append(decision)
    for one in waiting:
        released = release(account, one, programs)
        evolve(account, released)
        events.append(released)
    return events


def _may_fail(program: Compiled, event: InputEvent) -> bool:
    """Whether deciding may raise Undecidable: an expression is asked about this purchase."""
    if not isinstance(event, inputs.PurchaseCompleted):
        return False
    return program.may_fail(sum([line.amount for line in event.data.lines]))


def decide_profile_again(
    account: Account, profile: inputs.Profile, at: Instant, programs: Timeline
) -> list[AccountEvent]:
    """The outcomes of conditions that a new program version asks of a profile known since `at`: one
    MemberProfiled, applied, or nothing. Raises NoProgram."""
    profiled = decide_recomputed(account, profile, at, programs)
    if profiled is None:
        return []
    evolve(account, profiled)
    return [profiled]


def outcome_of(events: Sequence[AccountEvent]) -> Literal["applied", "refused", "waiting"]:
    """The outcome of the input that led to `events` (not of the returns that it released)."""
    for event in events:
        if isinstance(event, InputRefused):
            return "refused"
        if isinstance(event, ReturnWaiting):
            return "waiting"
        if not isinstance(event, AccountSettled):
            break
    return "applied"


def refusal_of(events: Sequence[AccountEvent]) -> InputRefused | None:
    """The refusal among `events` that answers the input itself, if it was refused."""
    for event in events:
        if isinstance(event, InputRefused):
            return event
        if not isinstance(event, AccountSettled):
            break
    return None


def unknown_order(account: Account, event: InputEvent) -> str | None:
    """The order of a return that the account does not hold: whether it was ever recorded is then a
    fact from outside (`Facts.order_known`). None when there is nothing to look up."""
    if isinstance(event, inputs.PurchaseReturned) and event.data.order_id not in account.orders:
        return event.data.order_id
    return None
