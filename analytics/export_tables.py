"""What is exported: each data set with its columns in Arrow's types and the query of its rows.

Points and money are int64 (money in minor units), moments are timestamps of microseconds in UTC.
"""

from typing import NamedTuple

import msgspec
import pyarrow as arrow

MOMENT = arrow.timestamp("us", tz="UTC")
_WHOLE, _TEXT = arrow.int64(), arrow.string()


class DataSet(NamedTuple):
    """`query`: the rows of a state; of what only grows, those after a position up to another.
    `projection`: the read model that it is of; None is the log."""

    name: str
    schema: arrow.Schema
    query: str
    projection: str | None


def _schema(**columns: arrow.DataType) -> arrow.Schema:
    return arrow.schema(list(columns.items()))


LOG = DataSet(
    "log",
    _schema(
        shard=_WHOLE, position=_WHOLE, account_id=_TEXT, member_id=_TEXT, version=_WHOLE,
        type=_TEXT, occurred_at=MOMENT, recorded_at=MOMENT, program=_TEXT, cause_source=_TEXT,
        cause_id=_TEXT, late_by=_WHOLE, hash=_TEXT, payload=_TEXT,
    ),
    "SELECT shard, position, account_id::text, member_id, version, type, occurred_at, recorded_at,"
    " encode(hash, 'hex'), payload FROM ledger.events"
    " WHERE shard = %s AND position > %s AND position <= %s ORDER BY position LIMIT %s",
    None,
)  # fmt: skip

POSTINGS = DataSet(
    "postings",
    _schema(
        shard=_WHOLE, position=_WHOLE, n=_WHOLE, member_id=_TEXT, account=_TEXT, points=_WHOLE,
        lot=_WHOLE, effective_at=MOMENT, recorded_at=MOMENT,
    ),
    "",  # from the log's rows
    None,
)  # fmt: skip

BALANCE_CHANGES = DataSet(
    "balance_changes",
    _schema(
        shard=_WHOLE, position=_WHOLE, member_id=_TEXT, effective_at=MOMENT, recorded_at=MOMENT,
        available=_WHOLE, pending=_WHOLE, reserved=_WHOLE, expired=_WHOLE, granted=_WHOLE,
        debt=_WHOLE,
    ),
    "SELECT e.shard, e.position, c.member_id, c.effective_at, e.recorded_at, c.available,"
    " c.pending, c.reserved, c.expired, c.granted, c.debt"
    " FROM read.balance_changes c JOIN ledger.events e USING (shard, position)"
    " WHERE c.shard = %s AND c.position > %s AND c.position <= %s"
    " ORDER BY e.position, c.effective_at",
    "balances",
)  # fmt: skip

PURCHASES = DataSet(
    "purchases",
    _schema(
        shard=_WHOLE, position=_WHOLE, member_id=_TEXT, kind=_TEXT, order_id=_TEXT,
        occurred_at=MOMENT, purchased_at=MOMENT, recorded_at=MOMENT, amount=_WHOLE,
    ),
    "SELECT e.shard, e.position, p.member_id, p.kind, p.order_id, p.occurred_at, p.purchased_at,"
    " e.recorded_at, p.amount"
    " FROM read.member_purchases p JOIN ledger.events e USING (shard, position)"
    " WHERE p.shard = %s AND p.position > %s AND p.position <= %s ORDER BY e.position",
    "segments",
)  # fmt: skip

BALANCES = DataSet(
    "balances",
    _schema(
        member_id=_TEXT, available=_WHOLE, pending=_WHOLE, reserved=_WHOLE, expired=_WHOLE,
        granted=_WHOLE, debt=_WHOLE, tier=_TEXT,
    ),
    "SELECT member_id, available, pending, reserved, expired, granted, debt, tier"
    " FROM read.balances_now",
    "balances",
)  # fmt: skip

TIERS = DataSet(
    "tiers",
    _schema(member_id=_TEXT, tier=_TEXT, since=MOMENT, until=MOMENT),
    "SELECT member_id, tier, valid_from, valid_to FROM read.tier_intervals",
    "tiers",
)

SEGMENTS = DataSet(
    "segments",
    _schema(member_id=_TEXT, segment=_TEXT, entered_at=MOMENT, left_at=MOMENT),
    "SELECT member_id, segment, entered_at, left_at FROM read.segment_intervals",
    "segments",
)

LOTS = DataSet(
    "lots",
    _schema(
        member_id=_TEXT, lot=_WHOLE, source=_TEXT, granted=_WHOLE, pending=_WHOLE,
        available=_WHOLE, reserved=_WHOLE, granted_at=MOMENT, activates_at=MOMENT,
        expires_at=MOMENT, as_of=MOMENT,
    ),
    "SELECT member_id, lot, source, granted, pending, available, reserved, granted_at,"
    " activates_at, expires_at, as_of FROM read.lots",
    "balances",
)  # fmt: skip

GROWING: tuple[DataSet, ...] = (LOG, BALANCE_CHANGES, PURCHASES)
"""Exported by position; `postings` goes with `log`."""

STATES: tuple[DataSet, ...] = (BALANCES, TIERS, SEGMENTS, LOTS)
"""Exported whole when their read model has moved."""

NAMES: tuple[str, ...] = ("log", *(one.name for one in (*GROWING[1:], *STATES)))


class _Head(msgspec.Struct):
    """Of an event, what has columns of its own."""

    program: str = ""
    cause: tuple[str, str] | None = None
    late_by: int = 0
    postings: tuple[tuple[str, int, int, int], ...] = ()


head_of = msgspec.json.Decoder(_Head).decode
