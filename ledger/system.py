"""Append to the system shard: program versions, RFM bounds. Same chain, same positions, same rules.

Publishing a program locks every head: an append that holds any head therefore sees each version
that was published before it, and no purchase is decided with a list that is out of date. Other
system events lock the system head alone.
"""

from collections.abc import Sequence

from ledger.accounts import account_id_of
from ledger.budget_opening import open_budgets
from ledger.core.calendar import from_instant
from ledger.core.program.compiled import compile_program
from ledger.core.program.form import Program
from ledger.crash import crash_point
from ledger.identity import Identity
from ledger.lookups import Connection, HeadRow, lock_heads
from ledger.programs import Programs, check_publishable, published
from ledger.recorder import COPY_EVENTS, ShardLog, copy_stream, pack_event, pack_owner
from ledger.sharding import SYSTEM_MEMBER, SYSTEM_SHARD
from schemas.decisions import RestoreDeclared, RfmBoundsSet, SystemEvent
from schemas.log_events import encode_event

_MOVE_HEAD = "UPDATE ledger.heads SET position = %s, hash = %s, recorded_at = %s WHERE shard = %s"


async def publish(
    connection: Connection, identity: Identity, programs: Programs, program: Program
) -> tuple[str, bool]:
    """Put a checked program into force; its version, and whether it was new.

    Publishing the same content again changes nothing. Raises ProgramRefused.
    """
    compiled = compile_program(program)
    async with connection.transaction():
        heads = await lock_heads(connection, list(range(SYSTEM_SHARD, identity.shards)))
        crash_point("publish.after_lock")
        await programs.catch_up(connection, heads[SYSTEM_SHARD].position)
        versions = programs.versions
        if any(known.version == compiled.version for _, known in versions):
            return compiled.version, False
        decided = [
            head.decided_to
            for shard, head in heads.items()
            if shard != SYSTEM_SHARD and head.position > 0
        ]
        check_publishable(compiled, identity, versions, max(decided, default=None))
        await open_budgets(connection, list(compiled.budgets.values()), identity.shards)
        await _append(connection, identity, heads[SYSTEM_SHARD], [published(program, compiled)])
    crash_point("publish.after_commit")
    return compiled.version, True


async def record(
    connection: Connection, identity: Identity, event: RfmBoundsSet | RestoreDeclared
) -> int:
    """Record bounds, or that a backup was restored, in the system shard; their position."""
    async with connection.transaction():
        heads = await lock_heads(connection, [SYSTEM_SHARD])
        return await _append(connection, identity, heads[SYSTEM_SHARD], [event])


async def _append(
    connection: Connection, identity: Identity, head: HeadRow, events: Sequence[SystemEvent]
) -> int:
    log = ShardLog(SYSTEM_SHARD, head.position, head.hash, max(head.now, head.recorded_at))
    account_id = account_id_of(identity.program_id, SYSTEM_MEMBER)
    owner = pack_owner(account_id.bytes, SYSTEM_MEMBER)
    for event in events:
        log.add(
            pack_event(
                owner,
                log.position + 1,  # the only account of its shard: version and position agree
                type(event).__name__,
                event.occurred_at,
                0,
                encode_event(event),
            )
        )
    async with connection.cursor() as cursor, cursor.copy(COPY_EVENTS) as copy:
        await copy.write(copy_stream(log.rows))
    crash_point("publish.after_copy")
    await connection.execute(
        _MOVE_HEAD, (log.position, log.hash, from_instant(log.recorded_at), SYSTEM_SHARD)
    )
    crash_point("publish.before_commit")
    return log.position
