"""What the questions about a member answer: types, and how they are made of what is known.

Points are whole numbers of the program's smallest unit, money is in minor units.
"""

from datetime import datetime
from typing import Any

from msgspec import Struct
from psycopg import Connection

from audit.as_of import AsOf
from audit.explanation import Explanation
from audit.member_history import HistoryEntry
from audit.member_ties import BroughtIn, BroughtInBy, CodeUsed
from ledger.core.account import Account
from ledger.core.calendar import from_instant
from ledger.core.program.timeline import Timeline
from projections import queries
from projections.lots import LotView
from schemas.fields import Instant


class BalanceAnswer(Struct, frozen=True, kw_only=True):
    """A member's points. `available` is net of `debt`; `granted` and `expired`: in all; `in_lots`:
    what the lots hold, `liability` its worth in minor units, debt apart. `status`: open, frozen,
    closed, merged or erased, as it is now. `as_of` and `by` null: now, as the ledger decides."""

    member_id: str
    as_of: datetime | None
    by: str | None
    status: str
    merged_into: str | None
    tier: str
    available: int
    pending: int
    reserved: int
    debt: int
    granted: int
    expired: int
    in_lots: int
    point_value: int
    liability: int


class LotAnswer(Struct, frozen=True):
    """Points granted together. `expires_at` null: never. What is left, by state."""

    lot: int
    rules: tuple[str, ...]
    granted: int
    available: int
    pending: int
    reserved: int
    granted_at: datetime
    activates_at: datetime
    expires_at: datetime | None


class LotsAnswer(Struct, frozen=True):
    """Lots with something left, in the order in which they are drawn."""

    items: list[LotAnswer]
    next: str | None


class TierInterval(Struct, frozen=True):
    """The tier from `since` to `until` (exclusive); null: for good, if nothing more happens."""

    tier: str
    since: datetime
    until: datetime | None


class ProgressAnswer(Struct, frozen=True):
    """On the way to the next level, as of `as_of`: `reached` of `measure` in [`period_from`,
    `period_to`), `missing` to `next_at_least`. Nulls: there is no next level, or no period."""

    measure: str | None
    period_from: datetime | None
    period_to: datetime | None
    reached: int
    next_tier: str | None
    next_at_least: int | None
    missing: int | None
    as_of: datetime


class TierAnswer(Struct, frozen=True):
    """The tier now. `progress` null, `intervals` empty: the read models do not know the member
    yet."""

    member_id: str
    tier: str
    progress: ProgressAnswer | None
    intervals: list[TierInterval]


class SegmentInterval(Struct, frozen=True):
    """In the segment from `entered_at` to `left_at` (exclusive; null: for good, so far)."""

    segment: str
    entered_at: datetime
    left_at: datetime | None


class ValuesAnswer(Struct, frozen=True):
    """What segments look at. Scores are 1 to 5, 5 is best; null without recorded bounds."""

    recency_days: int
    frequency: int
    monetary: int
    recency_score: int | None
    frequency_score: int | None
    monetary_score: int | None


class SegmentsAnswer(Struct, frozen=True):
    """The segments that a member is in, and was and will be in. `values` null: never bought."""

    member_id: str
    as_of: datetime | None
    segments: list[str]
    values: ValuesAnswer | None
    intervals: list[SegmentInterval]


class CardAnswer(Struct, frozen=True):
    """A member at a glance, now. `opened_at` and `progress` null: the read models do not know the
    member yet."""

    member_id: str
    opened_at: datetime | None
    balance: BalanceAnswer
    progress: ProgressAnswer | None
    segments: list[str]


class HistoryAnswer(Struct, frozen=True):
    """Entries, newest first, in words of `language`; times in words are those of `time_zone`."""

    language: str
    time_zone: str
    items: list[HistoryEntry]
    next: str | None


class WordsLine(Struct, frozen=True):
    """`depth` 0 is a headline."""

    depth: int
    text: str


class ExplainAnswer(Struct, frozen=True):
    """Where each point came from and where it went, as data and in words. `next`: the cursor of the
    page after it, null at the end."""

    language: str
    explanation: Explanation
    words: list[WordsLine]
    next: str | None


class ReferralsAnswer(Struct, frozen=True):
    """Who brought the member in (null: nobody), and the rewards for whom the member brought in."""

    member_id: str
    brought_in_by: BroughtInBy | None
    items: list[BroughtIn]
    next: str | None


class BoundCodes(Struct, frozen=True):
    """Generated promo codes of a series that only this member may use; the codes themselves are
    known to the file alone that they were generated into."""

    series: str
    codes: int
    uses_left: int


class PromoCodesAnswer(Struct, frozen=True):
    """`bound`: to the member; `items`: named by the member's purchases, newest first."""

    member_id: str
    bound: list[BoundCodes]
    items: list[CodeUsed]
    next: str | None


class MemberRow(Struct, frozen=True):
    """A member of a listing, now, by the read models."""

    member_id: str
    status: str
    opened_at: datetime
    tier: str
    available: int
    pending: int
    reserved: int


class MembersAnswer(Struct, frozen=True):
    """Members by id."""

    items: list[MemberRow]
    next: str | None


def balance_now(account: Account, programs: Timeline, now: Instant) -> BalanceAnswer:
    """Of an account that was settled to now."""
    held = account.holdings
    in_lots = held.available + held.pending + held.reserved
    value = programs.at(now).form.point_value
    return BalanceAnswer(
        member_id=account.member_id,
        as_of=None,
        by=None,
        status=account.status,
        merged_into=account.merged_into,
        tier=account.tier_at(now, programs),
        available=held.available - held.debt,
        pending=held.pending,
        reserved=held.reserved,
        debt=held.debt,
        granted=held.granted,
        expired=held.expired,
        in_lots=in_lots,
        point_value=value,
        liability=in_lots * value,
    )


def balance_then(found: AsOf, at: Instant, by: str) -> BalanceAnswer:
    """Of what the log tells."""
    return BalanceAnswer(
        member_id=found.member_id,
        as_of=from_instant(at),
        by=by,
        status=found.status,
        merged_into=found.merged_into,
        tier=found.tier,
        available=found.available,
        pending=found.pending,
        reserved=found.reserved,
        debt=found.debt,
        granted=found.granted,
        expired=found.expired,
        in_lots=found.in_lots,
        point_value=found.point_value,
        liability=found.liability,
    )


def lot_of(lot: LotView) -> LotAnswer:
    """A lot as it is told."""
    return LotAnswer(
        lot.lot,
        lot.rules,
        lot.granted,
        lot.available,
        lot.pending,
        lot.reserved,
        from_instant(lot.granted_at),
        from_instant(lot.activates_at),
        None if lot.expires_at is None else from_instant(lot.expires_at),
    )


def progress(connection: Connection[Any], member_id: str) -> ProgressAnswer | None:
    """The progress to the next tier."""
    found = queries.progress_of(connection, member_id)
    if found is None:
        return None
    return ProgressAnswer(*(getattr(found, name) for name in ProgressAnswer.__struct_fields__))


def intervals(connection: Connection[Any], member_id: str) -> list[TierInterval]:
    """The tiers of a member, the future ones too."""
    return [TierInterval(*row) for row in queries.tiers_of(connection, member_id)]


def segments(
    connection: Connection[Any], member_id: str, at: Instant, as_of: Instant | None
) -> SegmentsAnswer:
    """The segments at a moment."""
    moment = from_instant(at)
    found = queries.memberships(connection, member_id)
    scores = queries.scores_of(connection, member_id, moment)
    return SegmentsAnswer(
        member_id,
        None if as_of is None else moment,
        queries.segments_in(found, moment),
        None if scores is None else ValuesAnswer(*scores),
        [SegmentInterval(*each) for each in found],
    )
