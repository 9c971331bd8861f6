"""The read model `segments`: who is in which segment from when to when, and what it follows from.

A member is in a segment exactly while all its conditions hold, by the program version in force at
each moment (a segment is known by its id over all versions). Recency, frequency and monetary value
follow from purchases by `occurred_at`; monetary value is net of returns from the return on, a
return leaves the window with its purchase, and a returned purchase still counts for frequency. What
was bought counts for the member who was named, also when that account was merged since; what comes
back of it after the merge counts for nobody. Who never bought has no recency, so no condition on it
holds. `category_bought` means ever bought. Who was erased, closed or merged is in no segment from
then on. RFM scores are by the bounds with the latest `as_of`; without bounds nobody has scores.
"""

from itertools import accumulate

from ledger.core.program.compiled import Compiled
from projections.conditions import Condition, Version
from projections.history import Keep, purchase_amount, returned_amount
from projections.log import Entry
from projections.member import Member
from projections.sweep import Story, sweep
from projections.system import System
from projections.tables import Table, Writes, table
from schemas.decisions import (
    AccountEvent,
    PurchaseReturned,
    PurchaseRewarded,
    RfmBoundsSet,
    SystemEvent,
)
from schemas.fields import Instant

PURCHASES = table(
    "member_purchases",
    shard="int4",
    position="int8",
    member_id="text",
    kind="text",
    order_id="text",
    occurred_at="timestamptz",
    purchased_at="timestamptz",
    amount="int8",
)
INTERVALS = table(
    "segment_intervals",
    member_id="text",
    segment="text",
    entered_at="timestamptz",
    left_at="timestamptz",
)
BOUNDS = table(
    "rfm_bounds",
    position="int8",
    as_of="timestamptz",
    members="int8",
    recency_days="int8[]",
    frequency="int8[]",
    monetary="int8[]",
)


class Segments:
    """The read model; it remembers the segments of the timeline it saw last, ready to be asked."""

    name = "segments"
    tables: tuple[Table, ...] = (PURCHASES, INTERVALS, BOUNDS)

    def __init__(self) -> None:
        self._of: object = None
        self._versions: tuple[tuple[Instant, Version], ...] = ()

    def relevant(self, system: System) -> int:
        """Segments depend on the programs and on the bounds."""
        return max(system.programs_position, system.bounds_position)

    def note(self, entry: Entry, event: AccountEvent, member: Member, writes: Writes) -> None:
        """Append a purchase or a return with its money."""
        at = event.occurred_at
        match event:
            case PurchaseRewarded():
                order_id, kind = event.purchase.order_id, "purchase"
                bought_at, amount = at, purchase_amount(event)
            case PurchaseReturned() if event.returned.order_id in member.history.elsewhere:
                return
            case PurchaseReturned():
                order_id, kind = event.returned.order_id, "return"
                bought_at, amount = member.bought_at(event), -returned_amount(event)
            case _:
                return
        writes.append(
            PURCHASES,
            (
                entry.shard,
                entry.position,
                entry.member_id,
                kind,
                order_id,
                at,
                bought_at,
                amount,
            ),
        )

    def note_system(self, entry: Entry, event: SystemEvent, writes: Writes) -> None:
        """Append recorded bounds."""
        if isinstance(event, RfmBoundsSet):
            writes.append(
                BOUNDS,
                (
                    entry.position,
                    event.as_of,
                    event.members,
                    list(event.recency_days),
                    list(event.frequency),
                    list(event.monetary),
                ),
            )

    def show(self, member: Member, system: System, writes: Writes) -> None:
        """Replace the member's intervals."""
        versions = self._versions_of(system)
        intervals = sweep(_story(member, system), versions, system.bounds)
        rows = tuple(
            (
                member.member_id,
                interval.segment,
                interval.entered_at,
                interval.left_at,
            )
            for interval in intervals
        )
        member.show(INTERVALS, rows, writes)

    def _versions_of(self, system: System) -> tuple[tuple[Instant, Version], ...]:
        if self._of is not system.programs:
            self._versions = tuple(
                (start, version_of(program)) for start, program in system.programs.versions
            )
            self._of = system.programs
        return self._versions


def version_of(program: Compiled) -> Version:
    """The segments of a program version, ready to be asked."""
    segments = program.form.segments
    return Version(
        [Condition(s.id, s.when) for s in segments],
        [s.when for s in segments],
    )


def wanted_of(system: System) -> Keep:
    """What the segments of any version look at, beyond purchases and money."""
    whens = [s.when for _, program in system.programs.versions for s in program.form.segments]
    return Keep(
        balance=any(when.balance is not None for when in whens),
        categories=any(when.category_bought is not None for when in whens),
    )


def _story(member: Member, system: System) -> Story:
    history = member.history
    opened_at = history.opened_at
    assert opened_at is not None, "a member is shown after its first event"
    return Story(
        opened_at=opened_at,
        ended_at=history.ended_at,
        purchases=history.purchases,
        money=history.money,
        categories=history.categories,
        outcomes=history.outcomes,
        tiers=[(start, tier) for start, _, tier in member.tiers(system.programs)],
        balances=_balances(member, system),
    )


def _balances(member: Member, system: System) -> list[tuple[Instant, int]]:
    """Available from each moment on, the future included; empty when no segment asks for it."""
    if member.history.balance is None:
        return []
    ahead = member.ahead(system.programs)
    by_moment: dict[Instant, int] = {}
    for at, points in member.history.balance:
        by_moment[at] = by_moment.get(at, 0) + points
    before = member.account.balances().available
    for at, available in zip(ahead.moments, ahead.available, strict=True):
        by_moment[at] = by_moment.get(at, 0) + available - before
        before = available
    moments = sorted(by_moment)
    totals = accumulate([by_moment[at] for at in moments])
    return list(zip(moments, totals, strict=True))
