"""The append transaction's statements: everything that must be stored together, or not at all.

Order of locks, everywhere: stream rows, heads ascending, leases of budgets by (budget, shard),
promo codes, budgets by id, stock of rewards, then dead letters and counts. The caller opens the
transaction (`lock`), numbers the events, and ends it (`store`), whose last statement is COMMIT.
Whatever exception comes out of `store`: whether it happened is not known.
"""

from collections.abc import Sequence
from typing import Protocol

from ledger import command_outcomes, stock
from ledger.batch import Batch
from ledger.budgets import spend
from ledger.core import snapshot
from ledger.crash import crash_point
from ledger.errors import AppendFailed, DeadLetterUnavailable
from ledger.lookups import LOCK_HEADS, Connection, HeadRow, head_row
from ledger.numbering import RETURN_TYPE, CountKey, Rows, move_count
from ledger.packed_arrays import (
    bigint_array,
    bytea_array,
    columns_of,
    integer_array,
    moment_array,
    text_array,
    uuid_array,
)
from ledger.profiles import store_profiles
from ledger.promo_codes import use
from ledger.received import Sources
from ledger.recorder import (
    COPY_DEAD_LETTERS,
    COPY_EVENTS,
    COPY_INPUTS,
    DEAD_LETTER_TYPES,
    EVENT_TYPES,
    INPUT_TYPES,
    INSERT_DEAD_LETTERS,
    INSERT_EVENTS,
    INSERT_INPUTS,
    copy_stream,
)
from ledger.round_trip import round_trip
from ledger.sharding import SYSTEM_SHARD
from ledger.stream_rows import TopicPartition, lock_streams, move_streams, told_streams

# All of an append's statements look rows up by their keys: a plan that is made once is as good for
# any values. To plan for a few values anew takes longer than to look them up.
_PLAN_ONCE = "SET LOCAL plan_cache_mode = force_generic_plan"
# Publishing a program locks all heads: under the lock of any head this cannot be out of date.
_SYSTEM = "SELECT position FROM ledger.heads WHERE shard = %s"
_MOVE_HEADS = """
UPDATE ledger.heads h
SET position = v.position, hash = v.hash, recorded_at = v.recorded_at, decided_to = v.decided_to
FROM unnest(%s::integer[], %s::bigint[], %s::bytea[], %s::timestamptz[], %s::timestamptz[])
    AS v (shard, position, hash, recorded_at, decided_to)
WHERE h.shard = v.shard
"""
_MOVE_EPOCHS = "UPDATE ledger.heads SET due_epoch = due_epoch + 1 WHERE shard = ANY(%s)"
_COUNT = """
INSERT INTO ledger.outcome_counts AS c (source, slot, type, outcome, n)
SELECT v.source, %s, v.type, v.outcome, v.n
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[]) AS v (source, type, outcome, n)
ON CONFLICT (source, slot, type, outcome) DO UPDATE SET n = c.n + EXCLUDED.n
"""
_DUE = """
INSERT INTO ledger.due (shard, account_id, member_id, due_at)
SELECT * FROM unnest(%s::integer[], %s::uuid[], %s::text[], %s::timestamptz[])
ON CONFLICT (shard, account_id) DO UPDATE SET due_at = EXCLUDED.due_at
"""
_NOT_DUE = """
DELETE FROM ledger.due d USING unnest(%s::integer[], %s::uuid[]) AS v (shard, account_id)
WHERE d.shard = v.shard AND d.account_id = v.account_id
"""
_WAIT = """
INSERT INTO ledger.waiting (shard, key, source)
SELECT * FROM unnest(%s::integer[], %s::bytea[], %s::text[])
"""
_RELEASE = """
DELETE FROM ledger.waiting w USING unnest(%s::integer[], %s::bytea[]) AS v (shard, key)
WHERE w.shard = v.shard AND w.key = v.key RETURNING w.shard, w.key, w.source
"""
_SNAPSHOT = """
INSERT INTO ledger.snapshots (shard, account_id, version, schema_hash, state)
SELECT v.shard, v.account_id, v.version, %s, v.state
FROM unnest(%s::integer[], %s::uuid[], %s::integer[], %s::bytea[])
    AS v (shard, account_id, version, state)
ON CONFLICT (shard, account_id) DO UPDATE
SET version = EXCLUDED.version, schema_hash = EXCLUDED.schema_hash, state = EXCLUDED.state
"""
_LOCK_DEAD_LETTER = "SELECT source, type, status FROM ledger.dead_letters WHERE id = %s FOR UPDATE"
_RETRIED = "UPDATE ledger.dead_letters SET status = 'retried', closed_at = now() WHERE id = %s"
_RETRY_FAILED = (
    "UPDATE ledger.dead_letters SET attempts = attempts + 1, code = %s, path = %s, message = %s"
    " WHERE id = %s"
)


INSERTED_MAX = 200
"""Events that an append inserts, in the round trip that ends it; more are copied, which takes less
for each but two round trips of their own for each table."""


class Asked(Protocol):
    """What is read under the locks, in their round trip."""

    async def ask(self, connection: Connection) -> None:
        """Send the statements; the answers are read after the round trip."""


class Locked:
    """What the locks found. `offsets`: stored offset by topic and partition; those that are missing
    have no row yet. `topic_ids`: Kafka's id of the same topics, None where it is not known."""

    def __init__(
        self,
        offsets: dict[TopicPartition, int],
        topic_ids: dict[TopicPartition, bytes | None],
        heads: dict[int, HeadRow],
        system: int,
    ) -> None:
        self.offsets = offsets
        self.topic_ids = topic_ids
        self.heads = heads
        self.system = system


async def lock(
    connection: Connection,
    sources: Sources,
    shards: Sequence[int],
    asked: Asked | None = None,
) -> Locked:
    """Begin the transaction, take its locks and ask what is to be read under them, in one round
    trip."""
    async with round_trip(connection):
        await connection.execute("BEGIN")
        if asked is not None:
            await connection.execute(_PLAN_ONCE)
        streams = await lock_streams(connection, sources) if sources else None
        heads = await connection.execute(LOCK_HEADS, (list(shards),))
        system = await connection.execute(_SYSTEM, (SYSTEM_SHARD,))
        if asked is not None:
            await asked.ask(connection)
    found_streams = {} if streams is None else await told_streams(streams)
    offsets = {place: offset for place, (offset, _) in found_streams.items()}
    topic_ids = {place: topic_id for place, (_, topic_id) in found_streams.items()}
    rows = {row[0]: head_row(row) for row in await heads.fetchall()}
    found = await system.fetchone()
    if found is None or len(rows) != len(shards):
        raise AppendFailed("A head row is missing: the ledger in this database is damaged.")
    return Locked(offsets, topic_ids, rows, found[0])


async def take_dead_letter(connection: Connection, rows: Rows, batch: Batch, number: int) -> None:
    """Lock the dead letter that is retried and move its count. Raises DeadLetterUnavailable."""
    found = await (await connection.execute(_LOCK_DEAD_LETTER, (number,))).fetchone()
    if found is None:
        raise DeadLetterUnavailable(f"There is no dead letter {number}.", "no_dead_letter")
    source, type_name, status = found
    if status != "open":
        raise DeadLetterUnavailable(f"Dead letter {number} was {status} before.", "closed")
    work = batch.works[0]
    assert work.kind is not None
    if work.kind == "dead_lettered":
        assert work.problem is not None
        problem = work.problem
        await connection.execute(
            _RETRY_FAILED, (problem.code, problem.path, problem.message, number)
        )
        return
    await connection.execute(_RETRIED, (number,))
    crash_point("append.after_retry_taken")
    rows.counts[CountKey(source, type_name, "dead_lettered")] -= 1
    rows.counts[CountKey(source, work.type_name, work.kind)] += 1
    for place in rows.waiting:
        rows.waiting[place] = source  # that count is the one to move later


async def take_released(connection: Connection, rows: Rows) -> None:
    """Returns that wait no longer: move their counts, under the source they were counted in."""
    outcomes = dict(rows.released)
    cursor = await connection.execute(
        _RELEASE, ([shard for shard, _ in outcomes], [key for _, key in outcomes])
    )
    found = {(row[0], bytes(row[1])): row[2] for row in await cursor.fetchall()}
    if found.keys() != outcomes.keys():
        raise AppendFailed("A waiting return has no row in ledger.waiting: its count is lost.")
    crash_point("append.after_released")
    for place, source in found.items():
        move_count(rows, source, RETURN_TYPE, "waiting", outcomes[place])


async def store(
    connection: Connection, rows: Rows, batch: Batch, sources: Sources, slot: int
) -> None:
    """Write everything and commit."""
    events = [row for log in rows.logs.values() for row in log.rows]
    into = [
        (COPY_EVENTS, INSERT_EVENTS, EVENT_TYPES, events, "append.after_copy_events"),
        (COPY_INPUTS, INSERT_INPUTS, INPUT_TYPES, rows.inputs, "append.after_copy_inputs"),
        (
            COPY_DEAD_LETTERS,
            INSERT_DEAD_LETTERS,
            DEAD_LETTER_TYPES,
            rows.dead_letters,
            "append.after_copy_dead_letters",
        ),
    ]
    few = len(events) <= INSERTED_MAX
    if not few:
        cursor = connection.cursor()
        for statement, _, _, packed, copied in into:
            if packed:
                async with cursor.copy(statement) as copy:
                    await copy.write(copy_stream(packed))
                crash_point(copied)
    async with round_trip(connection) as trip:
        for _, statement, types, packed, copied in into:
            if packed and few:
                await connection.execute(statement, columns_of(packed, types))
                await trip.reached(copied)
        await store_profiles(connection, batch)
        await _small_rows(connection, rows, batch)
        if rows.logs:
            logs = rows.logs.values()
            await connection.execute(
                _MOVE_HEADS,
                (
                    integer_array([log.shard for log in logs]),
                    bigint_array([log.position for log in logs]),
                    bytea_array([log.hash for log in logs]),
                    moment_array([log.recorded_at for log in logs]),
                    moment_array([rows.decided_to[log.shard] for log in logs]),
                ),
            )
        counts = sorted((key, n) for key, n in rows.counts.items() if n)
        if counts:
            await connection.execute(
                _COUNT,
                (
                    slot,
                    text_array([key.source for key, _ in counts]),
                    text_array([key.type_name for key, _ in counts]),
                    text_array([key.outcome for key, _ in counts]),
                    bigint_array([n for _, n in counts]),
                ),
            )
        if sources:
            await move_streams(connection, sources)
        await trip.reached("append.before_commit")
        await connection.execute("COMMIT")
        await trip.reached("append.commit_sent")
    crash_point("append.after_commit")


async def _small_rows(connection: Connection, rows: Rows, batch: Batch) -> None:
    due = [row for row in rows.due if row.due_at is not None]
    if due:
        await connection.execute(
            _DUE,
            (
                integer_array([row.shard for row in due]),
                uuid_array([row.account_id for row in due]),
                text_array([row.member_id for row in due]),
                moment_array([row.due_at for row in due if row.due_at is not None]),
            ),
        )
    not_due = [row for row in rows.due if row.due_at is None]
    if not_due:
        await connection.execute(
            _NOT_DUE,
            ([row.shard for row in not_due], uuid_array([row.account_id for row in not_due])),
        )
    if rows.due_moved:
        await connection.execute(_MOVE_EPOCHS, (sorted(rows.due_moved),))
    if rows.waiting:
        places = rows.waiting
        await connection.execute(
            _WAIT,
            (
                [shard for shard, _ in places],
                [key for _, key in places],
                list(places.values()),
            ),
        )
    await stock.give(connection, batch)
    await command_outcomes.store(connection, rows.told)
    if rows.budgets:
        await spend(connection, rows.budgets)
    if rows.codes:
        await use(connection, rows.codes)
    if rows.snapshots:
        await connection.execute(
            _SNAPSHOT,
            (
                snapshot.SCHEMA_HASH,
                [row[0] for row in rows.snapshots],
                uuid_array([row[1] for row in rows.snapshots]),
                [row[2] for row in rows.snapshots],
                [row[3] for row in rows.snapshots],
            ),
        )
