"""Points from one member to another: the giver's half, then the receiver's, of one transaction.

Points leave in draw order and arrive in new lots that activate and expire as theirs did: giving
makes no points younger. They belong to no order at the receiver, so no return takes them back
there; a return at the giver finds them gone, as if they were spent. What arrives pays debt first.
"""

from ledger.core.account import Account
from ledger.core.calendar import Period, period_key
from ledger.core.context import Context, Refused
from ledger.core.fold import evolve
from ledger.core.postings import Draft
from ledger.core.program.form import Transfers
from ledger.core.program.timeline import Timeline
from ledger.core.tick import decide_tick
from schemas.decisions import (
    AccountEvent,
    Facts,
    MovedLot,
    PointsReceived,
    PointsSent,
)
from schemas.inputs import PointsTransfer

NO_FACTS = Facts()

TAKES = frozenset(("open", "frozen"))
"""The standings of an account that points can be given to: a frozen one only cannot spend them."""


def check_receiver(facts: Facts) -> None:
    """Raises Refused when the second account takes nothing."""
    status = facts.other_status
    if status == "unknown":
        raise Refused("receiver_unknown", "the receiver has no account: they must take part first")
    if status not in TAKES:
        raise Refused(f"receiver_{status}", f"the receiver's account is {status}")


def decide_transfer(context: Context, event: PointsTransfer) -> PointsSent:
    """Give points away. Raises Refused."""
    account, data, form = context.account, event.data, context.program.form.transfers
    if form is None:
        raise Refused("transfers_off", "the program in force has no transfers")
    if data.to == account.member_id:
        raise Refused("transfer_to_self", "points cannot be given to oneself")
    check_receiver(context.facts)
    if data.points < form.minimum:
        raise Refused("below_minimum", f"at least {form.minimum} points are given at once")
    if form.at_most is not None and data.points > form.at_most:
        raise Refused("above_maximum", f"at most {form.at_most} points are given at once")
    counters = _counters(context, form, data.points)
    available = account.holdings.available - account.holdings.debt
    if data.points > available:
        raise Refused("not_enough_points", f"{available} points are available")
    draft = Draft(account.holdings)
    lots = tuple(
        MovedLot(lot.number, part, lot.granted_at, lot.activates_at, lot.expires_at)
        for lot, part in draft.send(data.points, context.at)
    )
    return PointsSent(
        **context.head(),
        postings=tuple(draft.postings),
        to=data.to,
        points=data.points,
        lots=lots,
        counters=counters,
        facts=context.facts,
    )


def _counters(context: Context, form: Transfers, points: int) -> tuple[str, ...]:
    """The limits that a transfer counts against. No rule id is empty, so none is a rule's. Raises
    Refused."""
    keys = []
    limits: tuple[tuple[Period, int | None], ...] = (
        ("day", form.per_day),
        ("month", form.per_month),
    )
    for period, most in limits:
        if most is None:
            continue
        key = f"/transfers/{period}/{period_key(context.at, period, context.program.zone)}"
        left = most - context.account.used.get(key, (0, 0))[0]
        if points > left:
            raise Refused("over_limit", f"of {most} points a {period} {max(left, 0)} are left")
        keys.append(key)
    return tuple(keys)


def receive(
    account: Account, sent: PointsSent, sender: str, programs: Timeline
) -> list[AccountEvent]:
    """The receiver's half of `sent`: it settles, then takes the lots. The account is a fork and
    afterwards has every returned event applied."""
    at = sent.occurred_at
    events = decide_tick(account, at, programs)
    context = Context.of(account, at, programs.at(at), programs, sent.cause, NO_FACTS)
    first = account.holdings.next_lot
    lots = tuple(
        MovedLot(number, lot.granted, at, lot.activates_at, lot.expires_at)
        for number, lot in enumerate(sent.lots, first)
    )
    draft = Draft(account.holdings)
    for lot in lots:
        draft.held.receive(lot)
        # A late giver may have given what activates only later than the receiver has come.
        target = "pending" if lot.activates_at > context.now else "available"
        draft.move("transferred", target, lot.granted, lot.lot, max(at, lot.activates_at))
    draft.catch_up(first, context.now)
    received = PointsReceived(
        **context.head(),
        postings=tuple(draft.postings),
        sender=sender,
        points=sent.points,
        lots=lots,
    )
    evolve(account, received)
    events.append(received)
    return events
