"""Explaining a member's points: from every input to every point's end, as data.

For each lot the chain from the input through rule, program version, computed value, caps and
allocation to where each point went; for each purchase and activity what every rule came to, and why
those gave nothing that did not. The account is folded event by event, so that each is explained by
the state it met; no rule is evaluated again. Pure: the log's events in, an `Explanation` out.
"""

from collections.abc import Sequence

from msgspec.structs import replace

from audit.explanation import Explanation, Happened, Judged, RefusedInput
from audit.happened import happened
from audit.lot_stories import Tracing, orders_paid
from audit.member_log import LedgerFacts, Recorded
from audit.unfired import outcomes
from ledger.core.account import Account
from ledger.core.calendar import from_instant
from ledger.core.fold import evolve
from ledger.core.names import known_name
from ledger.core.program.compiled import Compiled
from ledger.core.program.timeline import Timeline
from ledger.core.settle import settle
from ledger.errors import LedgerError
from schemas.decisions import AccountEvent, ActivityRewarded, InputRefused, PurchaseRewarded
from schemas.fields import Instant


def explain(
    member_id: str,
    log: Sequence[Recorded],
    programs: Timeline,
    ledger: LedgerFacts,
    at: Instant,
) -> Explanation | None:
    """The member's points as of `at` by `occurred_at`; None before the account opened. `log`: all
    of the member's events, in order.

    Raises InvariantBroken for an account whose events do not add up.
    """
    account = Account.new(member_id)
    tracing, orders = Tracing(at), dict[str, str]()
    judged: list[tuple[int, AccountEvent, Judged]] = []
    opened = False
    for number, recorded in enumerate(log):
        event = recorded.event
        opened |= event.occurred_at <= at
        tracing.follow(number, event, account)
        if event.occurred_at <= at and isinstance(event, PurchaseRewarded | ActivityRewarded):
            judged.append((number, event, _judge(event, account, programs)))
        if isinstance(event, PurchaseRewarded) and event.purchase.redemption_id is not None:
            name = known_name(account, event.purchase.redemption_id, event.addressed)
            orders[name] = event.purchase.order_id
        evolve(account, event)
        orders = orders_paid(orders, account)
    if not opened:
        return None
    due = settle(account, at, programs) if at > account.settled_to else None
    if due is not None:
        tracing.follow(len(log), due, account)

    told: dict[int, Happened] = {}

    def tell(number: int) -> Happened:
        found = told.get(number)
        if found is None:
            if number == len(log):
                assert due is not None, "there is no event of that number"
                found = happened(due, None, orders)
            else:
                shard, position, recorded_at, event = log[number]
                found = happened(event, (shard, position, recorded_at), orders)
            told[number] = found
        return found

    lots, owed = tracing.stories(tell), tracing.owed(tell)
    debt = sum(each.left for each in owed)
    return Explanation(
        member_id=member_id,
        currency=ledger.currency,
        time_zone=ledger.time_zone,
        as_of=from_instant(at),
        status=account.status,
        merged_into=account.merged_into,
        tier=account.tier_at(at, programs),
        available=sum(lot.available for lot in lots) - debt,
        pending=sum(lot.pending for lot in lots),
        reserved=sum(lot.reserved for lot in lots),
        debt=debt,
        lots=lots,
        owed=owed,
        judged=tuple(replace(one, by=tell(number)) for number, _, one in judged),
        refused=tuple(
            RefusedInput(tell(number), each.event.code, each.event.message)
            for number, each in enumerate(log)
            if isinstance(each.event, InputRefused) and each.event.occurred_at <= at
        ),
    )


_NOBODY = Happened(event="", occurred_at=from_instant(0))
"""Stands until the events are told."""


def _judge(event: PurchaseRewarded | ActivityRewarded, before: Account, by: Timeline) -> Judged:
    rules = outcomes(_version(event, by), event, before)
    amount = None
    if isinstance(event, PurchaseRewarded):
        amount = sum(line.amount for line in event.purchase.lines)
    return Judged(
        by=_NOBODY,
        tier=event.tier,
        amount=amount,
        points=sum(award.points for award in event.awards),
        rules=rules,
    )


def _version(event: AccountEvent, programs: Timeline) -> Compiled:
    """The program version that judged an event."""
    for _, program in programs.versions:
        if program.version == event.program:
            return program
    return programs.at(event.occurred_at)


def only(
    explanation: Explanation, *, lot: int | None = None, order_id: str | None = None
) -> Explanation:
    """The same as `part`. Raises LedgerError (unknown_lot, unknown_order) when the member has no
    such lot or order at the moment."""
    told = part(explanation, lot=lot, order_id=order_id)
    member = told.member_id
    if lot is not None and not told.lots:
        raise LedgerError(
            f"Member {member} has no lot {lot} then: `points explain {member}` lists them.",
            "unknown_lot",
        )
    if order_id is not None and not (told.lots or told.judged or told.refused):
        raise LedgerError(
            f"Member {member} has no order {order_id} then: check the id (`points history {member}`"
            " lists the purchases).",
            "unknown_order",
        )
    return told


def part(
    explanation: Explanation, *, lot: int | None = None, order_id: str | None = None
) -> Explanation:
    """Only what concerns a lot: it, and the input that it came with. Or an order: the lots that it
    granted, that paid for it, or from which its return took; its judgement and refusals."""
    lots, judged, owed = explanation.lots, explanation.judged, explanation.owed
    refused = explanation.refused
    if lot is not None:
        lots = tuple(one for one in lots if one.lot == lot)
        inputs = {(one.by.shard, one.by.position) for one in lots}
        judged = tuple(one for one in judged if (one.by.shard, one.by.position) in inputs)
        owed = tuple(one for one in owed if any(each.lot == lot for each in one.payments))
        refused = ()
    if order_id is not None:
        lots = tuple(
            one
            for one in lots
            if one.by.order_id == order_id
            or any(each.by.order_id == order_id for each in one.movements)
        )
        judged = tuple(one for one in judged if one.by.order_id == order_id)
        owed = tuple(one for one in owed if one.by.order_id == order_id)
        refused = tuple(one for one in refused if one.by.order_id == order_id)
    return replace(explanation, lots=lots, judged=judged, owed=owed, refused=refused)
