"""Deciding on a return: points taken back, limits and tiers lowered, spent points restored.

Per line and award what is due in all is floor(allocation × returned ÷ amount), and all of it once
the line is wholly returned: partial returns favour the member and the last one settles exactly. No
condition is judged again. A return of an order that has not arrived waits for it.
"""

from collections.abc import Iterable

from ledger.core.account import Account
from ledger.core.calendar import add
from ledger.core.clawback import Clawing
from ledger.core.context import Context, Refused
from ledger.core.fold_orders import redemptions_of
from ledger.core.postings import Draft
from ledger.core.program.timeline import Timeline
from ledger.core.promo_codes import counter_of
from ledger.core.records import Order, OrderAward, Referral, WaitingReturn
from ledger.core.referral_rewards import take_back_all, take_back_share
from ledger.core.referrals import terms_of
from ledger.core.restoring import Progress, restore
from ledger.core.tiers import Extra, requalify
from ledger.core.welcome import take_back
from schemas.decisions import (
    WHOLE_AWARD,
    AccountEvent,
    BudgetShare,
    CodeUse,
    Effect,
    Facts,
    LineReturned,
    ReturnWaiting,
    WelcomeTakenBack,
)
from schemas.decisions import PurchaseReturned as Returned
from schemas.inputs import PurchaseReturned, ReturnData

WAITING_MAX = 1_000
"""Most returns of one account that may wait for their purchase: far more than shopping leads to,
few enough to hold in memory."""


def decide_return(context: Context, event: PurchaseReturned) -> AccountEvent:
    """Apply a return, or let it wait for its purchase. Raises Refused."""
    account, data = context.account, event.data
    order = account.order(data.order_id)
    if order is not None:
        return _returned(context, data, order)
    if context.facts.order_known:
        raise _over(data.order_id)
    if sum(len(waiting) for waiting in account.waiting.values()) >= WAITING_MAX:
        raise Refused(
            "too_many_waiting", f"{WAITING_MAX} returns are waiting for purchases already"
        )
    return ReturnWaiting(
        **context.head(),
        returned=data,
        deadline=add(context.at, context.program.form.returns.window, context.program.zone),
    )


def release(account: Account, waiting: WaitingReturn, programs: Timeline) -> AccountEvent:
    """Decide on a return whose purchase has just been applied, or came by a merge; not earlier than
    that purchase."""
    order = account.order(waiting.returned.order_id)
    at = waiting.at if order is None else max(waiting.at, order.at)
    program = programs.at(at)
    context = Context.of(account, at, program, programs, waiting.cause, Facts(), waiting.addressed)
    try:
        if order is None:  # too old to be kept in the account that it came to
            raise _over(waiting.returned.order_id)
        return _returned(context, waiting.returned, order)
    except Refused as refusal:
        return context.refused(input_type_of_return(), refusal, waiting.returned)


def _over(order_id: str) -> Refused:
    return Refused("return_window_over", f"order {order_id} can no longer be returned")


def input_type_of_return() -> str:
    """The CloudEvents type of a return."""
    return str(PurchaseReturned.__struct_config__.tag)


def _named_lines(order: Order, data: ReturnData) -> list[LineReturned]:
    """The lines that come back, in the return's order. Raises Refused."""
    returned = order.returned or (0,) * len(order.amounts)
    whole = order.whole or (False,) * len(order.amounts)
    if data.lines is None:
        rest = [
            LineReturned(line, order.amounts[line] - returned[line])
            for line in range(len(order.amounts))
            if not whole[line]
        ]
        if not rest:
            raise Refused("returned_more_than_bought", f"all of order {order.order_id} is back")
        return rest
    named = []
    for entry in data.lines:
        if entry.line_id not in order.line_ids:
            raise Refused("unknown_line", f"order {order.order_id} has no line {entry.line_id!r}")
        line = order.line_ids.index(entry.line_id)
        left = order.amounts[line] - returned[line]
        if entry.amount > left or whole[line]:
            raise Refused(
                "returned_more_than_bought",
                f"of line {entry.line_id!r} {left} minor units are left to return",
            )
        named.append(LineReturned(line, entry.amount))
    return named


def _returned(context: Context, data: ReturnData, order: Order) -> Returned:
    account, program = context.account, context.program
    if context.at > order.returnable_until:
        raise _over(order.order_id)
    lines = _named_lines(order, data)
    at = max(context.at, order.at)
    draft = Draft(account.holdings)
    clawing = Clawing(draft, account.expired_unspent, program.form.returns, at)
    progress = Progress(order)
    earned = [award for award in order.awards if not award.referee]
    same_order = list(dict.fromkeys(award.lot for award in earned))
    for line in lines:
        shares = [(award, _share(award, line.line)) for award in earned]
        before = [progress.due(line.line, share) for _, share in shares]
        progress.advance(line)
        for (award, share), had in zip(shares, before, strict=True):
            due = progress.due(line.line, share) - had
            if due:
                clawing.take(award.index, line.line, due, award.lot, same_order)
    amount = sum(line.amount for line in lines)
    referral, effects = _referral(context, order, order.amount_left - amount, progress, clawing)
    gone: dict[int, int] = {}
    let_go = {award.index: award.let_go for award in earned}
    for clawback in clawing.clawbacks:
        gone[clawback.award] = gone.get(clawback.award, 0) + clawback.points
        let_go[clawback.award] = let_go.get(clawback.award, 0) + clawback.let_go
    counting = sum(gone.get(award.index, 0) for award in earned if award.counts_for_tier)
    emptied = all(progress.whole) and not order.wholly_returned
    extra = Extra(order.month, (-amount, -counting, -int(emptied)))
    kept = any(let_go[award.index] for award in earned)
    codes = order.codes if emptied and not kept else ()
    changes = requalify(account, context.programs, at, extra)
    welcomes: tuple[WelcomeTakenBack, ...] = ()
    if changes and account.welcomes:
        ranks = context.programs.at(context.now)
        welcomes = take_back(account, ranks, changes, order, clawing)
    restored = restore(context, order, progress, redemptions_of(account, order), draft)
    draft.expire_due(context.now)
    return Returned(
        **context.head(),
        postings=tuple(draft.postings),
        tier_changes=changes,
        effects=tuple(effects),
        returned=data,
        lines=tuple(lines),
        clawbacks=tuple(clawing.clawbacks),
        counters=_counters(earned, gone) + tuple([(counter_of(c.series), 0, 1) for c in codes]),
        referral=referral,
        lot_expiries=draft.lot_expiries,
        budgets=_budgets(earned, gone, let_go, codes),
        codes=codes,
        welcomes=welcomes,
        restored=restored,
    )


def _share(award: OrderAward, line: int) -> int:
    for share in award.shares:
        if share.line == line:
            return share.points
    return 0


def _counters(
    awards: Iterable[OrderAward], gone: dict[int, int]
) -> tuple[tuple[str, int, int], ...]:
    """Limits given back: points as they are taken, `times` when the whole award is."""
    counters: dict[str, list[int]] = {}
    for award in awards:
        points = gone.get(award.index, 0)
        if points:
            for key in award.counters:
                given = counters.setdefault(key, [0, 0])
                given[0] += points
                given[1] += award.gone + points == award.points
    return tuple((key, points, times) for key, (points, times) in counters.items())


def _budgets(
    awards: Iterable[OrderAward],
    gone: dict[int, int],
    let_go: dict[int, int],
    codes: Iterable[CodeUse],
) -> tuple[BudgetShare, ...]:
    """Budgets given back: what an award used, once the whole award is back, but for the points that
    the policy let go (of `times` then nothing); and the uses of promo codes given back."""
    given = {code.budget: 1 for code in codes if code.budget}
    for award in awards:
        share, points = award.budget, gone.get(award.index, 0)
        if share is not None and points and award.gone + points == award.points:
            back = share.amount - let_go[award.index]
            if back > 0:
                given[share.budget] = given.get(share.budget, 0) + back
    return tuple([BudgetShare(*each) for each in given.items()])


def _referral(
    context: Context, order: Order, left: int, progress: Progress, clawing: Clawing
) -> tuple[str | None, list[Effect]]:
    """Take a referral's rewards back when what is left of the order no longer qualifies."""
    account, found = context.account, None
    effects: list[Effect] = []
    for one in (account.referral, *account.other_referrals):
        if one is not None and one.status == "qualified":
            ended, more = _of_referral(context, one, order, left, progress)
            found, effects = found or ended, effects + more
    if found:
        for award in order.awards:
            if award.referee:
                clawing.take(award.index, WHOLE_AWARD, award.points, award.lot, ())
    return found, effects


def _of_referral(
    context: Context, referral: Referral, order: Order, left: int, progress: Progress
) -> tuple[str | None, list[Effect]]:
    at = max(context.at, order.at)
    wholly = all(progress.whole)
    if referral.order_id == order.order_id:
        granted_by = context.programs.at(order.at)
        form = granted_by.form.referral
        if form is not None and (left < terms_of(form)[0].at_least or wholly):
            return "taken_back", take_back_all(context, referral, order.order_id, at, granted_by)
    if not referral.shared:
        return None, []
    returned = sum(progress.returned)
    return None, take_back_share(context, referral, order, returned, wholly=wholly, at=at)
