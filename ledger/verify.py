"""Recompute the hash chain of a shard from what the database holds, row by row.

The rows are read by binary COPY, whose bytes are the chain's own encoding; memory does not grow
with the log. All of a shard is read from one snapshot, the head row included.
"""

from collections.abc import AsyncIterator
from uuid import UUID

from psycopg import sql

from ledger.chain import COLUMNS, Head, Link, genesis
from ledger.errors import ChainBroken
from ledger.lookups import Connection

_SIGNATURE_BYTES = 19
"""What a binary COPY begins with: signature, flags, length of the extension (none)."""

_HEAD = "SELECT position, hash FROM ledger.heads WHERE shard = %s"


async def verify_shard(connection: Connection, ledger_id: UUID, shard: int) -> Head:
    """The end of the shard's log, which is that of its head row. Raises ChainBroken."""
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        await connection.execute("SET LOCAL statement_timeout = 0")  # a long log takes its time
        found = await (await connection.execute(_HEAD, (shard,))).fetchone()
        if found is None:
            raise ChainBroken(shard, 0, "the shard has no head")
        link = Link(shard, Head(0, genesis(ledger_id, shard)))
        async for row in _rows(connection, shard):
            link.follow(row)
    if link.position != found[0]:
        raise ChainBroken(shard, link.position + 1, f"the log ends here, its head says {found[0]}")
    if link.hash != bytes(found[1]):
        raise ChainBroken(shard, link.position, "the head has another hash")
    return Head(link.position, link.hash)


async def _rows(connection: Connection, shard: int) -> AsyncIterator[bytes]:
    query = sql.SQL(
        "COPY (SELECT {columns}, hash FROM ledger.events WHERE shard = {shard} ORDER BY position)"
        " TO STDOUT (FORMAT BINARY)"
    ).format(columns=sql.SQL(", ").join(map(sql.Identifier, COLUMNS)), shard=sql.Literal(shard))
    async with connection.cursor() as cursor, cursor.copy(query) as copy:
        first = True
        async for data in copy:
            row = bytes(data)
            if first:
                row = row[_SIGNATURE_BYTES:]
                first = False
            if len(row) > 2:  # the trailer is a field count of -1
                yield row
