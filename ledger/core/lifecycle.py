"""Deciding on an account's standing: frozen, open again, closed; and what each lets through.

A frozen account earns, and gets points from others, but spends nothing: it can neither reserve nor
redeem, donate, claim or give points away. Adjustments by hand are taken. What it had reserved
before can still be confirmed or cancelled: the till has promised that discount already. A closed
account takes no inputs; what it holds is forfeited when the notice of the program ends. An erasure
is taken whatever the standing.
"""

from ledger.core.account import Account
from ledger.core.calendar import add
from ledger.core.context import Context, Refused
from ledger.core.postings import Draft
from schemas.decisions import AccountClosed, AccountFrozen, AccountUnfrozen
from schemas.inputs import (
    AccountClose,
    AccountFreeze,
    AccountMerge,
    AccountUnfreeze,
    InputEvent,
    MemberEnrolled,
    MemberErased,
    MemberUpdated,
    PointsDonate,
    PointsRedeem,
    PointsReserve,
    PointsTransfer,
    PurchaseCompleted,
    RewardClaim,
)

SPENDING = (
    PointsReserve,
    PointsRedeem,
    PointsDonate,
    RewardClaim,
    PointsTransfer,
    AccountMerge,
)
"""What a frozen account refuses: whatever takes points out of it."""

NOT_FORWARDED = (
    MemberEnrolled,
    MemberUpdated,
    MemberErased,
    AccountFreeze,
    AccountUnfreeze,
    AccountClose,
    AccountMerge,
)
"""What a merged account does not pass on: each member has a profile of their own, and whoever
changes the standing of an account, or ends it, is to name the one that stays."""


def passes_on(account: Account, event: InputEvent) -> bool:
    """Whether the account passes an input that names it on to the one that it was merged into. Not
    if its own member was erased; an erased one on the way from another is no end of that way."""
    return account.status == "merged" and not isinstance(event, NOT_FORWARDED)


def check_standing(account: Account, event: InputEvent) -> None:
    """What an account that is not open refuses. Raises Refused."""
    status = account.status
    if status == "erased":
        raise Refused("account_erased", "the member was erased: the account takes no inputs")
    if isinstance(event, MemberErased):
        return
    if status == "closed":
        raise Refused("account_closed", "the account was closed: it takes no inputs")
    if status == "merged":
        raise Refused(
            "account_merged", f"the account was merged: this is sent to {account.merged_into}"
        )
    if status == "frozen" and isinstance(event, SPENDING):
        raise Refused("account_frozen", "the account is frozen: it earns and cannot spend")


def check_taken_before(account: Account, event: InputEvent) -> None:
    """What an account refuses because it, or one merged into it, has taken it under the other
    member's id, so that it is no duplicate. Raises Refused."""
    if isinstance(event, PurchaseCompleted) and event.data.order_id in account.orders:
        raise Refused(
            "order_taken_before",
            f"order {event.data.order_id} was taken under another id of {account.member_id}",
        )


def decide_freeze(context: Context, event: AccountFreeze) -> AccountFrozen:
    """Let the account earn and not spend. Raises Refused."""
    if context.account.status == "frozen":
        raise Refused("already_frozen", "the account is frozen already")
    return AccountFrozen(**context.head(), actor=event.data.actor, reason=event.data.reason)


def decide_unfreeze(context: Context, event: AccountUnfreeze) -> AccountUnfrozen:
    """Let the account spend again. Raises Refused."""
    if context.account.status != "frozen":
        raise Refused("not_frozen", "the account is not frozen")
    return AccountUnfrozen(**context.head(), actor=event.data.actor, reason=event.data.reason)


def decide_close(context: Context, event: AccountClose) -> AccountClosed:
    """End the account: at once, or with the program's notice before its points are forfeited."""
    account, program = context.account, context.program
    closing = program.form.closing
    forfeits_at = context.at
    if closing is not None:
        forfeits_at = add(context.at, closing.notice, program.zone)
    draft = Draft(account.holdings)
    over = forfeits_at <= context.now
    if over:
        draft.empty("revoked", forfeits_at)
    return AccountClosed(
        **context.head(),
        postings=tuple(draft.postings),
        actor=event.data.actor,
        reason=event.data.reason,
        forfeits_at=None if over else forfeits_at,
        refused_returns=tuple(one.name for each in account.waiting.values() for one in each),
    )
