"""What the change feeds tell: the topics `balances`, `tiers`, `segments` and `ledger_events`.

CloudEvents of the ledger's own, keyed by their subject. The first three are states: the newest of a
key replaces the earlier ones. Of one key `data.version` rises; whoever reads drops an event whose
version is not above the last one, for it came twice. Meaning of each field: docs/feeds.md.
"""

from datetime import datetime
from typing import Literal

from msgspec import Raw, Struct

BALANCES, TIERS, SEGMENTS, LEDGER_EVENTS = "balances", "tiers", "segments", "ledger_events"

STATES: tuple[str, ...] = (BALANCES, TIERS, SEGMENTS)
"""Topics that hold a state by member, and so are compacted."""

FEEDS: tuple[str, ...] = (*STATES, LEDGER_EVENTS)


class BalanceStep(Struct, frozen=True):
    """What holds from `at` on if nothing more happens."""

    at: datetime
    available: int
    pending: int
    reserved: int
    expired: int
    granted: int
    debt: int


class BalanceState(Struct, frozen=True):
    """What a member has, and will have."""

    version: int
    opened_at: datetime
    as_of: datetime
    status: str
    merged_into: str | None
    available: int
    pending: int
    reserved: int
    expired: int
    granted: int
    debt: int
    ahead: tuple[BalanceStep, ...]


class TierSpan(Struct, frozen=True):
    """A tier from `since` (inclusive) to `until` (exclusive; null: for good)."""

    tier: str
    since: datetime
    until: datetime | None


class TierState(Struct, frozen=True):
    """Which tier a member has and will have, and the progress to the next."""

    version: int
    as_of: datetime
    spans: tuple[TierSpan, ...]
    level: int
    measure: str | None
    period_from: datetime | None
    period_to: datetime | None
    reached: int
    next_tier: str | None
    next_at_least: int | None
    missing: int | None


class SegmentSpan(Struct, frozen=True):
    """In a segment from `entered_at` (inclusive) to `left_at` (exclusive; null: for good)."""

    segment: str
    entered_at: datetime
    left_at: datetime | None


class SegmentsState(Struct, frozen=True):
    """In which segments a member is, was and will be."""

    version: int
    spans: tuple[SegmentSpan, ...]


class LoggedEvent(Struct, frozen=True):
    """An event of the log and its place in it."""

    version: int
    shard: int
    position: int
    recorded_at: datetime
    hash: str
    event: Raw


class _Told(Struct, frozen=True, kw_only=True, tag_field="type"):
    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str
    subject: str
    time: datetime


class BalanceChanged(_Told, frozen=True, kw_only=True, tag="feed.balance.v1"):
    """Topic `balances`: a member's balances have changed."""

    data: BalanceState


class TierChanged(_Told, frozen=True, kw_only=True, tag="feed.tier.v1"):
    """Topic `tiers`: a member's tier or progress has changed."""

    data: TierState


class SegmentsChanged(_Told, frozen=True, kw_only=True, tag="feed.segments.v1"):
    """Topic `segments`: a member's segments have changed."""

    data: SegmentsState


class LedgerEventRecorded(_Told, frozen=True, kw_only=True, tag="feed.ledger_event.v1"):
    """Topic `ledger_events`: the log has grown."""

    data: LoggedEvent


FeedEvent = BalanceChanged | TierChanged | SegmentsChanged | LedgerEventRecorded

FEED_STRUCTS: dict[str, type[FeedEvent]] = {
    BALANCES: BalanceChanged,
    TIERS: TierChanged,
    SEGMENTS: SegmentsChanged,
    LEDGER_EVENTS: LedgerEventRecorded,
}
"""What goes over each topic."""


def feed_type(topic: str) -> str:
    """The CloudEvents type of a topic."""
    return str(FEED_STRUCTS[topic].__struct_config__.tag)
