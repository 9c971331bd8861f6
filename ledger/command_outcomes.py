"""How each command of the topic `commands` ended, kept until its sender can read it from Kafka.

A row for each record, written by the append that decided it: so nothing is told that did not
happen, and what happened is told also by a worker that comes later. Duplicates and dead letters,
of which the log knows nothing, are told as well; what could not be decoded without a key, for that
of its record may have any length and say anything. Rows are deleted once Kafka has the event: at
least once on the wire, under one id for each record. A voucher's code is not in the row; it is
looked up when it is told.
"""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ledger.batch import Batch
from ledger.core.calendar import format_instant
from ledger.lookups import Connection
from ledger.received import COMMANDS
from ledger.work import Work
from schemas.outcomes import BalanceAfter, CommandOutcome, CommandOutcomeData, CommandRecord

SOURCE = "points-ledger"
"""The CloudEvents source of outcomes."""

_ENDED = frozenset(("applied", "refused", "duplicate", "dead_lettered"))

_STORE = """
INSERT INTO ledger.command_outcomes (shard, key, outcome, of_shard, position)
SELECT * FROM unnest(%s::integer[], %s::bytea[], %s::bytea[], %s::integer[], %s::bigint[])
"""
_PENDING = """
SELECT o.shard, o.n, o.key, o.outcome, v.code
FROM ledger.command_outcomes o
LEFT JOIN ledger.voucher_codes v ON v.shard = o.of_shard AND v.position = o.position
WHERE o.shard = ANY(%s) ORDER BY o.shard, o.n LIMIT %s
"""
_FORGET = """
DELETE FROM ledger.command_outcomes o USING unnest(%s::integer[], %s::bigint[]) AS v (shard, n)
WHERE o.shard = v.shard AND o.n = v.n
"""


class Told(NamedTuple):
    """What to tell of one command. `shard`: whose worker tells it; `of_shard` and `position`: of
    the decision."""

    shard: int
    key: bytes | None
    outcome: bytes
    of_shard: int | None
    position: int | None


class Untold(NamedTuple):
    """An outcome that Kafka does not have yet: its place, the record's key, the event."""

    shard: int
    n: int
    key: bytes | None
    event: bytes


def of_batch(batch: Batch, *, retry: bool) -> list[Told]:
    """What to tell of the batch's commands, after its events were numbered. Of a dead letter that
    is retried, only that it ended otherwise."""
    if not batch.may_be_of(COMMANDS):
        return []
    return [
        _told(work, retry)
        for work in batch.works
        if work.source == COMMANDS
        and work.kind in _ENDED
        and not (retry and work.kind == "dead_lettered")
    ]


def _told(work: Work, retry: bool) -> Told:
    record, event, problem = work.item.record, work.item.event, work.problem
    assert record is not None
    assert work.kind is not None
    position = work.twin.position if work.twin is not None else work.position
    shard = work.shard if work.shard >= 0 else None
    if work.kind == "dead_lettered":
        position = None
    data = CommandOutcomeData(
        work.kind,  # type: ignore[arg-type]
        CommandRecord(record.partition, record.offset),
        None if event is None else work.type_name,
        None if event is None else event.source,
        None if event is None else event.id,
        None if problem is None else problem.code,
        None if problem is None else problem.message,
        shard if position is not None else None,
        position,
        None if work.balance is None else BalanceAfter(*work.balance),
    )
    told = CommandOutcome(
        specversion="1.0",
        id=f"{COMMANDS}:{record.partition}:{record.offset}" + (":retried" if retry else ""),
        source=SOURCE,
        subject=work.member_id or None,
        time=None if event is None else format_instant(work.item.occurred_at),
        data=data,
    )
    return Told(
        record.partition if shard is None else shard,
        work.member_id.encode() or None,
        msgspec.json.encode(told),
        shard,
        position,
    )


async def store(connection: Connection, told: Sequence[Told]) -> None:
    """Keep them, in the append's transaction."""
    if told:
        await connection.execute(_STORE, tuple(list(column) for column in zip(*told, strict=True)))


async def pending(connection: Connection, shards: Sequence[int], limit: int) -> list[Untold]:
    """The outcomes of these shards that Kafka may not have, in order, at most `limit`."""
    cursor = await connection.execute(_PENDING, (list(shards), limit))
    return [
        Untold(shard, n, key, bytes(outcome) if code is None else _with_code(outcome, code))
        for shard, n, key, outcome, code in await cursor.fetchall()
    ]


def _with_code(outcome: bytes, code: str) -> bytes:
    told = msgspec.json.decode(outcome)
    told["data"]["voucher_code"] = code
    return msgspec.json.encode(told)


async def forget(connection: Connection, told: Sequence[Untold]) -> None:
    """Kafka has them."""
    await connection.execute(_FORGET, ([one.shard for one in told], [one.n for one in told]))
