"""The log in which what happened to some members happened to many: rows by COPY, not by the door.

The decisions are those of `histories`; whose they are, positions, versions, dedupe rows and the
chain are new, made by the ledger's own functions. `points audit verify` finds nothing wrong with
it, and `points audit redecide` gets the same bytes again. Members come in cohorts: of each size of
the log the new members' events lie behind those of the members before, in the order of time. Each
shard's part of a cohort is one transaction, and its head says whether it is there.
"""

import gc
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from hashlib import sha256
from multiprocessing import get_context
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from benchmarks.scale import histories
from benchmarks.scale.histories import MARK_LENGTH, Histories, mark, member_of
from ledger.accounts import account_id_of
from ledger.core.calendar import from_instant, to_instant
from ledger.dedupe import HASH_BYTES
from ledger.errors import LedgerError
from ledger.recorder import (
    COPY_EVENTS,
    COPY_INPUTS,
    ShardLog,
    copy_stream,
    pack_event,
    pack_input,
    pack_owner,
)
from ledger.sharding import shard_of

PROCESSES = 2
"""Writing at once, a shard each: as many as the machine that the bound of time is of has cores."""

ROWS_AT_ONCE = 10_000
"""Of one COPY: some ten megabytes."""

_HEAD = "SELECT position, hash, recorded_at FROM ledger.heads WHERE shard = %s FOR UPDATE"
_MOVE = (
    "UPDATE ledger.heads SET position = %s, hash = %s, recorded_at = %s,"
    " decided_to = greatest(decided_to, %s) WHERE shard = %s"
)

Told = Callable[[int, int], None]
"""Is told of the events that are written and of how many there will be."""

Connection = psycopg.Connection[TupleRow]


def number(index: int) -> str:
    """What stands in the ids of member `index`."""
    return f"{index:0{MARK_LENGTH}}"


def history_of(index: int, count: int) -> int:
    """Which of `count` histories the member lives through."""
    return index % count


def events_of(lengths: Sequence[int], members: int) -> int:
    """How many events so many members have."""
    whole, rest = divmod(members, len(lengths))
    return whole * sum(lengths) + sum(lengths[:rest])


def write(url: str, file: str, before: int, members: int, told: Told) -> int:
    """Bring the log of `before` members to `members`; how many events were written. `file`: the
    histories. What an earlier call wrote is left as it is."""
    with open(file, "rb") as source:
        known = histories.decode(source.read())
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT shards, program_id FROM ledger.ledger").fetchone()
        assert found is not None
        shards, program_id = found
    total = events_of(known.lengths, members) - events_of(known.lengths, before)
    done = written = 0
    told(0, total)
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
        waiting = [
            pool.submit(_write_shard, url, file, program_id, shards, shard, before, members)
            for shard in range(shards)
        ]
        for one in as_completed(waiting):
            there, now = one.result()
            done, written = done + there, written + now
            told(done, total)
    with psycopg.connect(url, autocommit=True) as connection:
        # As rows of years are: seen, and counted for the planner.
        connection.execute("VACUUM (ANALYZE) ledger.events, ledger.inputs")
    return written


def _write_shard(
    url: str, file: str, program_id: str, shards: int, shard: int, before: int, members: int
) -> tuple[int, int]:
    """Add the shard's part of the members from `before` on; how many events that is, and how many
    of them were not there."""
    gc.set_threshold(1_000_000)  # rows are bytes: there is nothing in a cycle
    with open(file, "rb") as source:
        known = histories.decode(source.read())
    count = len(known.lengths)
    own = [i for i in range(members) if shard_of(member_of(number(i)), shards) == shard]
    old = sum(known.lengths[history_of(i, count)] for i in own if i < before)
    fresh = [i for i in own if i >= before]
    new = sum(known.lengths[history_of(i, count)] for i in fresh)
    with psycopg.connect(url, autocommit=True) as connection, connection.transaction():
        head = connection.execute(_HEAD, (shard,)).fetchone()
        assert head is not None
        position, last, recorded_at = head
        if position == old + new:
            return new, 0
        if position != old:
            raise LedgerError(
                f"shard {shard} has {position} events, not {old}: the log was not written by this"
                " command; begin anew with --fresh.",
                "other_log",
            )
        log = ShardLog(shard, old, last, max(to_instant(recorded_at), time.time_ns() // 1_000))
        latest = max(event.occurred_at for event in known.events)
        for inputs in _rows(known, program_id, log, fresh):
            _copy(connection, shard, "events", COPY_EVENTS, log.rows)
            _copy(connection, shard, "inputs", COPY_INPUTS, inputs)
            log.rows.clear()
        if fresh:
            moment = from_instant(log.recorded_at)
            moved = (log.position, log.hash, moment, from_instant(latest), shard)
            connection.execute(_MOVE, moved)
    return new, new


def _rows(
    known: Histories, program_id: str, log: ShardLog, members: Sequence[int]
) -> Iterator[list[bytes]]:
    """Number the events of the members into `log`; now and then the dedupe rows of those that it
    holds."""
    living: list[list[tuple[bytes, bytes]]] = [[] for _ in known.lengths]
    for index in members:
        digits = number(index)
        member = member_of(digits)
        account_id: UUID = account_id_of(program_id, member)
        owner = pack_owner(account_id.bytes, member)
        living[history_of(index, len(known.lengths))].append((digits.encode(), owner))
    add, shard = log.add, log.shard
    inputs: list[bytes] = []
    for event in known.events:
        marked = mark(event.history).encode()
        before, after = pack_event(
            b"", event.version, event.type_name, event.occurred_at, event.effects, event.payload
        )
        payload, key = after.split(marked), event.key.split(marked)
        content = event.content.split(marked)
        answers = bool(event.key)
        for name, owner in living[event.history]:
            place = add((owner + before, name.join(payload)))
            if answers:
                keyed = sha256(name.join(key)).digest()[:HASH_BYTES]
                said = sha256(name.join(content)).digest()[:HASH_BYTES]
                inputs.append(pack_input(shard, keyed, said, place))
        if len(log.rows) >= ROWS_AT_ONCE:
            yield inputs
            inputs = []
    yield inputs


def _copy(
    connection: Connection, shard: int, table: str, statement: str, rows: list[bytes]
) -> None:
    """Straight into the shard's partition: finding it anew for each row costs a tenth."""
    into = statement.replace(f"ledger.{table} ", f"ledger.{table}_{shard} ")
    with connection.cursor() as cursor, cursor.copy(sql.SQL(into)) as copy:
        copy.write(copy_stream(rows))
