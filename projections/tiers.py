"""The read model `tiers`: which tier a member has from when to when, and the progress to the next.

The intervals are the account's own tier changes and those that time alone will bring if nothing
more arrives; a late input that changes the past rewrites them. Progress is as of the moment to
which the account was settled: what counts within the period so far, and what the next level asks.
"""

from typing import Literal, NamedTuple

from ledger.core.account import Account
from ledger.core.calendar import period_bounds
from ledger.core.program.compiled import Compiled
from ledger.core.program.form import QualifyBy, QualifyWindow
from projections.log import Entry
from projections.member import Member, TierInterval
from projections.system import System
from projections.tables import Table, Writes, table
from schemas.decisions import AccountEvent, SystemEvent
from schemas.fields import Instant

INTERVALS = table(
    "tier_intervals",
    member_id="text",
    valid_from="timestamptz",
    valid_to="timestamptz",
    tier="text",
)
TIERS = table(
    "tiers",
    member_id="text",
    shard="int4",
    settled_to="timestamptz",
    tier="text",
    level="int4",
    since="timestamptz",
    measure="text",
    period_from="timestamptz",
    period_to="timestamptz",
    reached="int8",
    next_tier="text",
    next_at_least="int8",
    missing="int8",
)

_PERIODS: dict[str | None, Literal["month", "quarter", "year"]] = {
    "calendar_month": "month",
    "calendar_quarter": "quarter",
    "calendar_year": "year",
}


class Progress(NamedTuple):
    """Of `measure`, `reached` so far in [start, end) (None: over the lifetime); a rolling window
    has a start, its first day, and no end."""

    measure: str
    start: Instant | None
    end: Instant | None
    reached: int


def progress(account: Account, program: Compiled, at: Instant) -> Progress | None:
    """What counts for tiers in the period of `at`; None when the program has no tiers."""
    tiers = program.form.tiers
    if tiers is None:
        return None
    measure, window, of = _measure(tiers.qualify_by)
    rolling = None if program.measure is None else program.measure.rolling
    if rolling is not None:
        first = rolling.counted_from(at)
        reached = sum(counted[of] for day, counted in account.months.items() if first <= day <= at)
        return Progress(measure, first, None, reached)
    per = _PERIODS.get(window.window)
    if per is None:
        return Progress(measure, None, None, account.lifetime[of])
    start, end = period_bounds(at, per, program.zone)
    reached = sum(counted[of] for month, counted in account.months.items() if start <= month < end)
    return Progress(measure, start, end, reached)


def _measure(by: QualifyBy) -> tuple[str, QualifyWindow, int]:
    """The measure, its window, and its place in what the account counts per month."""
    if by.amount_spent is not None:
        return "amount_spent", by.amount_spent, 0
    if by.points_earned is not None:
        return "points_earned", by.points_earned, 1
    assert by.purchases is not None, "a checked program names one measure"
    return "purchases", by.purchases, 2


class Tiers:
    """The read model. It keeps nothing between members."""

    name = "tiers"
    tables: tuple[Table, ...] = (INTERVALS, TIERS)

    def relevant(self, system: System) -> int:
        """Tiers depend on the programs."""
        return system.programs_position

    def note(self, entry: Entry, event: AccountEvent, member: Member, writes: Writes) -> None:
        """Nothing is kept per event: intervals follow from the account."""

    def note_system(self, entry: Entry, event: SystemEvent, writes: Writes) -> None:
        """Nothing of the system shard is shown."""

    def show(self, member: Member, system: System, writes: Writes) -> None:
        """Replace the member's intervals and progress."""
        intervals = member.tiers(system.programs)
        rows = tuple(
            (
                member.member_id,
                interval.start,
                interval.end,
                interval.tier,
            )
            for interval in intervals
        )
        member.show(INTERVALS, rows, writes)
        row = _row(member, system, intervals)
        writes.replace(TIERS, member.member_id, (row,), new=member.new)


def _row(member: Member, system: System, intervals: list[TierInterval]) -> tuple[object, ...]:
    at = member.settled_to
    current = next(i for i in reversed(intervals) if i.start <= at)
    program = system.programs.at(at)
    level = program.ranks.get(current.tier, 0)
    so_far = progress(member.account, program, at)
    above = program.levels[level] if level < len(program.levels) else None
    reached = 0 if so_far is None else so_far.reached
    return (
        member.member_id,
        member.shard,
        at,
        current.tier,
        level,
        current.start,
        None if so_far is None else so_far.measure,
        None if so_far is None else so_far.start,
        None if so_far is None else so_far.end,
        reached,
        None if above is None else above[1],
        None if above is None else above[0],
        None if above is None else max(0, above[0] - reached),
    )
