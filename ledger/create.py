"""Create the ledger in a migrated database: its partitions, its heads, its first two events.

Runs once, in one transaction, as the owner of the tables (the application's role may not create
any). Running it again changes nothing; asking for another program or number of shards is refused.
What can never change is an event of the system shard, with its chain, and a row to look it up.
"""

import time
from uuid import uuid4

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from ledger.accounts import account_id_of
from ledger.budget_opening import OPEN, OPEN_LEASES
from ledger.chain import genesis
from ledger.core.calendar import from_instant
from ledger.core.program.canonical import version_of
from ledger.core.program.compiled import compile_program
from ledger.core.program.form import Program
from ledger.crash import crash_point
from ledger.database import CONNECT_SECONDS, unreachable
from ledger.errors import StartRefused
from ledger.identity import Identity, check_identity, revision_of
from ledger.migrate import check_schema
from ledger.programs import check_publishable, published
from ledger.recorder import COPY_EVENTS, ShardLog, copy_stream, pack_event, pack_owner
from ledger.sharding import SYSTEM_MEMBER, SYSTEM_SHARD
from schemas.decisions import LedgerCreated
from schemas.log_events import encode_event

_LOCK = 0x506F696E7474
"""Advisory lock: of two processes that create at once, the second finds what the first made."""


def create_ledger(
    database_url: str, program: Program, shards: int, *, insist: bool = True
) -> Identity:
    """Create the ledger of `program` with `shards` shards, or find that it is there (with another
    number of shards only if the caller does not `insist`).

    The program must have passed its check. Raises StartRefused: no_connection, no_ledger (no
    tables), older_schema, newer_schema, other_program, other_shards, not_published; ProgramRefused:
    other_currency, other_time_zone.
    """
    try:
        connection = psycopg.connect(database_url, connect_timeout=CONNECT_SECONDS)
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise unreachable(error) from error
    with connection:
        check_schema(revision_of(connection))
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        existing = _existing(connection)
        if existing is not None:
            check_identity(existing, program.program, shards if insist else None)
            check_publishable(compile_program(program), existing, (), None)
            _check_published(connection, version_of(program))
            return existing
        created = _create(connection, program, shards)
    crash_point("init.after_created")
    return created


def _existing(connection: psycopg.Connection[TupleRow]) -> Identity | None:
    row = connection.execute(
        "SELECT ledger_id, program_id, currency, time_zone, shards FROM ledger.ledger"
    ).fetchone()
    return None if row is None else Identity(*row)


def _check_published(connection: psycopg.Connection[TupleRow], version: str) -> None:
    known = connection.execute(
        "SELECT 1 FROM ledger.events WHERE shard = %s AND type = 'ProgramPublished'"
        " AND convert_from(payload, 'UTF8')::jsonb ->> 'version' = %s LIMIT 1",
        (SYSTEM_SHARD, version),
    ).fetchone()
    if known is None:
        raise StartRefused(
            "The ledger is there, but was never given this version of its program: publish it with"
            " `points program publish FILE`.",
            "not_published",
        )


def _create(connection: psycopg.Connection[TupleRow], program: Program, shards: int) -> Identity:
    identity = Identity(uuid4(), program.program, program.currency, program.time_zone, shards)
    now = time.time_ns() // 1_000
    created_at = from_instant(now)
    for shard in (SYSTEM_SHARD, *range(shards)):
        _create_partitions(connection, shard)
    crash_point("init.after_partitions")
    connection.execute(
        "INSERT INTO ledger.ledger (ledger_id, program_id, currency, time_zone, shards, created_at)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        (*identity, created_at),
    )
    compiled = compile_program(program)
    events = (
        LedgerCreated(
            occurred_at=now,
            ledger_id=str(identity.ledger_id),
            program_id=identity.program_id,
            currency=identity.currency,
            time_zone=identity.time_zone,
            shards=shards,
        ),
        published(program, compiled),
    )
    log = ShardLog(SYSTEM_SHARD, 0, genesis(identity.ledger_id, SYSTEM_SHARD), now)
    account_id = account_id_of(identity.program_id, SYSTEM_MEMBER)
    owner = pack_owner(account_id.bytes, SYSTEM_MEMBER)
    for version, event in enumerate(events, 1):
        log.add(
            pack_event(
                owner,
                version,
                type(event).__name__,
                event.occurred_at,
                0,
                encode_event(event),
            )
        )
    with connection.cursor() as cursor:
        with cursor.copy(COPY_EVENTS) as copy:
            copy.write(copy_stream(log.rows))
        cursor.executemany(
            "INSERT INTO ledger.heads (shard, position, hash, recorded_at) VALUES (%s, %s, %s, %s)",
            [
                (SYSTEM_SHARD, log.position, log.hash, created_at),
                *(
                    (shard, 0, genesis(identity.ledger_id, shard), created_at)
                    for shard in range(shards)
                ),
            ],
        )
        for budget in compiled.budgets.values():
            cursor.execute(OPEN, (budget.id, budget.unit, budget.total, budget.total))
            cursor.execute(OPEN_LEASES, (budget.id, shards))
    crash_point("init.before_created")
    return identity


def _create_partitions(connection: psycopg.Connection[TupleRow], shard: int) -> None:
    name = "system" if shard == SYSTEM_SHARD else str(shard)
    for table in ("events", "inputs"):
        connection.execute(
            sql.SQL("CREATE TABLE {} PARTITION OF {} FOR VALUES IN ({})").format(
                sql.Identifier("ledger", f"{table}_{name}"),
                sql.Identifier("ledger", table),
                sql.Literal(shard),
            )
        )
