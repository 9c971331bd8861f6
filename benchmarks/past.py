"""A log of millions of events, made in minutes: valid in every row, and not through the door.

Every account has the same past: some purchases of two lines, decided once, and stored for each
account under its own id with positions, chain, dedupe rows, due row and head as the append would
have stored them. So the accounts can be loaded and appended to, and the chain verifies.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from itertools import islice

import psycopg
from msgspec import Struct
from psycopg.rows import TupleRow

from benchmarks.shoppers import DAY, program, record
from ledger.accounts import account_id_of
from ledger.core.account import Account
from ledger.core.calendar import from_instant, to_instant
from ledger.core.decide import decide
from ledger.core.program.compiled import compile_program
from ledger.core.program.timeline import Timeline
from ledger.core.settle import next_due
from ledger.dedupe import HASH_BYTES, purchase_key
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
from schemas.decode import decode_record, instant_of
from schemas.fields import Instant
from schemas.inputs import PurchaseCompleted
from schemas.log_events import encode_event

LINES = 2
"""Of a purchase."""

EVERY_DAYS = 6
"""Between two purchases."""

PROCESSES = 2
"""Filling at once, some shards each: as many as the benchmarks' machine has cores."""

ACCOUNTS_AT_ONCE = 5_000
"""Of one transaction: some ten megabytes of rows."""

_HEAD = "SELECT position, hash, recorded_at FROM ledger.heads WHERE shard = %s FOR UPDATE"
_MOVE = (
    "UPDATE ledger.heads SET position = %s, hash = %s, recorded_at = %s, decided_to = %s"
    " WHERE shard = %s"
)
_COPY_DUE = "COPY ledger.due (shard, account_id, member_id, due_at) FROM STDIN (FORMAT BINARY)"

Connection = psycopg.Connection[TupleRow]


class PastEvent(Struct, frozen=True):
    """An event of every account. `order_id`: the order that it decided on, if it did."""

    type_name: str
    occurred_at: Instant
    effects: int
    payload: bytes
    order_id: str | None


class Past(Struct, frozen=True):
    """What happened to every account. `due_at`: when to look at it again; `end`: of its last
    purchase."""

    events: tuple[PastEvent, ...]
    due_at: Instant | None
    end: Instant


def past(purchases: int) -> Past:
    """The past of an account that has bought so many times."""
    compiled = compile_program(program())
    programs = Timeline([(compiled.effective_from, compiled)])
    account = Account.new("past")
    events: list[PastEvent] = []
    at = compiled.effective_from
    for number in range(purchases):
        at = compiled.effective_from + number * EVERY_DAYS * DAY
        bought = decode_record(record("past", number, at, LINES))
        assert isinstance(bought, PurchaseCompleted)
        decided = decide(account, bought, instant_of(bought), programs)
        for event in decided:
            order_id = bought.data.order_id if event is decided[-1] else None
            events.append(
                PastEvent(
                    type(event).__name__,
                    event.occurred_at,
                    len(event.effects),
                    encode_event(event),
                    order_id,
                )
            )
    return Past(tuple(events), next_due(account, programs), at)


def fill_log(database_url: str, members: Sequence[str], of_each: Past) -> int:
    """Give each of these members, who are new, the past `of_each`; how many events that were."""
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT shards, program_id FROM ledger.ledger").fetchone()
        assert found is not None
        shards, program_id = found
    of_shard: list[list[str]] = [[] for _ in range(shards)]
    for member in members:
        of_shard[shard_of(member, shards)].append(member)
    with ProcessPoolExecutor(PROCESSES) as pool:
        filled = [
            pool.submit(_fill_shard, database_url, program_id, shard, own, of_each)
            for shard, own in enumerate(of_shard)
        ]
        events = sum(one.result() for one in filled)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE) ledger.events, ledger.inputs, ledger.due")
    return events


def _fill_shard(
    database_url: str, program_id: str, shard: int, members: Sequence[str], of_each: Past
) -> int:
    coming = iter(members)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        while some := list(islice(coming, ACCOUNTS_AT_ONCE)):
            with connection.transaction():
                _fill_accounts(connection, program_id, shard, some, of_each)
    return len(members) * len(of_each.events)


def _fill_accounts(
    connection: Connection, program_id: str, shard: int, members: Sequence[str], of_each: Past
) -> None:
    head = connection.execute(_HEAD, (shard,)).fetchone()
    assert head is not None
    position, last, recorded_at = head
    now = max(to_instant(recorded_at), time.time_ns() // 1_000)
    log = ShardLog(shard, position, last, now)
    owners = [(member, account_id_of(program_id, member)) for member in members]
    packed_owners = [(member, pack_owner(id_.bytes, member)) for member, id_ in owners]
    inputs: list[bytes] = []
    # All of one version, then all of the next: as if they had come on the same days.
    for version, event in enumerate(of_each.events, 1):
        content = sha256(event.payload).digest()[:HASH_BYTES]
        for member, owner in packed_owners:
            place = log.add(
                pack_event(
                    owner,
                    version,
                    event.type_name,
                    event.occurred_at,
                    event.effects,
                    event.payload,
                )
            )
            if event.order_id is not None:
                key = purchase_key(member, event.order_id)
                inputs.append(pack_input(shard, key, content, place))
    with connection.cursor() as cursor:
        for statement, rows in ((COPY_EVENTS, log.rows), (COPY_INPUTS, inputs)):
            with cursor.copy(statement) as copy:
                for part in _parts(rows):
                    copy.write(part)
        if of_each.due_at is not None:
            due_at = from_instant(of_each.due_at)
            with cursor.copy(_COPY_DUE) as copy:
                copy.set_types(("int4", "uuid", "text", "timestamptz"))
                for member, id_ in owners:
                    copy.write_row((shard, id_, member, due_at))
    moved = (log.position, log.hash, from_instant(now), from_instant(of_each.end), shard)
    connection.execute(_MOVE, moved)


def _parts(rows: list[bytes]) -> Iterator[bytes]:
    """What COPY sends, in parts of some megabytes."""
    stream = copy_stream(rows)
    size = 4_000_000
    for start in range(0, len(stream), size):
        yield stream[start : start + size]
