"""The read model `kpis`: sales and movements of points, for the figures of docs/kpi.md.

Everything is appended as it is noted and never changed: purchases and returns with their place and
what they earned, points that came or went otherwise, the steps of referrals, and the point value of
each program version. The figures themselves are SQL over these rows (`read.kpi_sales` and so on),
so they are as fresh as the fold, and a figure that is defined anew needs no fold. Purchases of
nobody are noted too: they are what participation is measured against.
"""

from ledger.core.program.canonical import from_canonical
from projections.history import returned_amount
from projections.kpi_points import movements
from projections.log import Entry
from projections.member import Member
from projections.system import System
from projections.tables import Table, Writes, table
from schemas.decisions import (
    AccountEvent,
    AnonymousPurchaseRecorded,
    InputRefused,
    ProgramPublished,
    PurchaseReturned,
    PurchaseRewarded,
    ReferralAccepted,
    RewardReceived,
    SystemEvent,
)
from schemas.inputs import PurchaseData

SALES = table(
    "sale_notes",
    shard="int4",
    position="int8",
    member_id="text",
    kind="text",
    order_id="text",
    occurred_at="timestamptz",
    store_id="text",
    region="text",
    channel="text",
    amount="int8",
    rules="text[]",
    points="int8[]",
)
POINTS = table(
    "point_notes",
    shard="int4",
    position="int8",
    n="int4",
    member_id="text",
    effective_at="timestamptz",
    flow="text",
    detail="text",
    order_id="text",
    award="int4",
    points="int8",
)
REFERRALS = table(
    "referral_steps",
    shard="int4",
    position="int8",
    step="text",
    referee_id="text",
    occurred_at="timestamptz",
)
VALUES = table(
    "point_values",
    position="int8",
    effective_from="timestamptz",
    point_value="int8",
)

_REFERRING = frozenset(
    (ReferralAccepted, PurchaseRewarded, PurchaseReturned, RewardReceived, InputRefused)
)
"""The events that can be a step of a referral."""

_REGISTERED = "referral.registered.v1"
"""The input that a refused referral came by."""


class Kpis:
    """The read model. It keeps nothing between events."""

    name = "kpis"
    tables: tuple[Table, ...] = (SALES, POINTS, REFERRALS, VALUES)

    def relevant(self, _system: System) -> int:
        """No row depends on the programs: point values are rows of their own."""
        return 0

    def note(self, entry: Entry, event: AccountEvent, member: Member, writes: Writes) -> None:
        """Append the sale, the movements of points and the referral's steps of the event."""
        kind = type(event)
        if kind is PurchaseRewarded:
            assert isinstance(event, PurchaseRewarded)
            writes.append(SALES, _sale(entry, entry.member_id, event, event.purchase))
        elif kind is PurchaseReturned:
            assert isinstance(event, PurchaseReturned)
            writes.append(SALES, _returned(entry, event))
        moved = movements(event)
        if moved:
            for n, movement in enumerate(moved, 1):
                place = (entry.shard, entry.position, n, entry.member_id)
                writes.append(POINTS, (*place, *movement))
        if kind in _REFERRING:
            for step, referee in _steps(entry, event, member):
                at = event.occurred_at
                writes.append(REFERRALS, (entry.shard, entry.position, step, referee, at))

    def note_anonymous(self, entry: Entry, event: AccountEvent, writes: Writes) -> None:
        """Append a purchase of nobody."""
        if isinstance(event, AnonymousPurchaseRecorded):
            writes.append(SALES, _sale(entry, None, event, event.purchase))

    def note_system(self, entry: Entry, event: SystemEvent, writes: Writes) -> None:
        """Append the point value of a program version."""
        if isinstance(event, ProgramPublished):
            row = (entry.position, event.effective_from, point_value_of(event))
            writes.append(VALUES, row)

    def show(self, member: Member, system: System, writes: Writes) -> None:
        """Nothing is shown of a member: what time alone will change stands in `balances`."""


def point_value_of(event: ProgramPublished) -> int:
    """What a point is worth by that version, minor units."""
    return from_canonical(bytes(event.content)).point_value


def _sale(
    entry: Entry,
    member_id: str | None,
    event: PurchaseRewarded | AnonymousPurchaseRecorded,
    purchase: PurchaseData,
) -> tuple[object, ...]:
    """All awards are told, also those of 0 points: a clawback names one by its place."""
    awards = event.awards if isinstance(event, PurchaseRewarded) else ()
    return (
        entry.shard,
        entry.position,
        member_id,
        "purchase",
        purchase.order_id,
        event.occurred_at,
        purchase.store_id,
        purchase.region,
        purchase.channel,
        sum([line.amount for line in purchase.lines]),
        [award.rule for award in awards],
        [award.points for award in awards],
    )


def _returned(entry: Entry, event: PurchaseReturned) -> tuple[object, ...]:
    """Where it was bought and what it had earned is told by its purchase's row."""
    return (
        entry.shard,
        entry.position,
        entry.member_id,
        "return",
        event.returned.order_id,
        event.occurred_at,
        None,
        None,
        None,
        -returned_amount(event),
        (),
        (),
    )


def _steps(entry: Entry, event: AccountEvent, member: Member) -> list[tuple[str, str]]:
    """The steps that the event takes, each with the member who was brought in."""
    match event:
        case PurchaseRewarded() | PurchaseReturned() if event.referral is None:
            return []
        case RewardReceived():
            return [("rewarded", event.referee_id)]
        case InputRefused():
            refused = event.input_type == _REGISTERED
            return [("refused", entry.member_id)] if refused else []
        case ReferralAccepted():
            steps = [("registered", entry.member_id)]
            if event.referral is not None:
                steps.append((event.referral, entry.member_id))
            if any(award.points for award in event.awards):
                steps.append(("rewarded", entry.member_id))
            return steps
        case PurchaseRewarded() | PurchaseReturned():
            assert event.referral is not None
            mine = member.account.referral
            referee = (None if mine is None else mine.referee_id) or entry.member_id
            steps = [(event.referral, referee)]
            if isinstance(event, PurchaseRewarded) and any(
                award.kind == "referee" and award.points for award in event.awards
            ):
                steps.append(("rewarded", referee))
            return steps
        case _:
            return []
