"""Does each head row say what the log says? Asked when the ledger opens, and before an append that
builds on a head which this process did not write itself.

A head that was changed by hand would give positions twice, or leave a gap, or break the chain: each
only found out when rows collide or the log is audited. Nothing here changes or repairs anything.
"""

from collections.abc import Mapping, Sequence
from uuid import UUID

from psycopg.rows import TupleRow

from ledger.chain import genesis
from ledger.errors import HeadDiffers
from ledger.lookups import Connection, HeadRow
from ledger.sharding import SYSTEM_SHARD

_ENDS = """
SELECT h.shard, h.position, h.hash, e.position, e.hash
FROM ledger.heads h
LEFT JOIN LATERAL (
    SELECT position, hash FROM ledger.events WHERE shard = h.shard ORDER BY position DESC LIMIT 1
) e ON true
WHERE h.shard = ANY(%s)
"""
"""One statement, so that heads and events are of one moment."""

End = tuple[int, bytes]
"""Position and hash of a shard's last event."""


class Ends:
    """The ends of shards that this process knows to be true: it appended or checked them."""

    def __init__(self, ledger_id: UUID) -> None:
        self._ledger_id = ledger_id
        self._known: dict[int, End] = {}

    def moved(self, shard: int, position: int, last: bytes) -> None:
        """This process appended up to there, and COMMIT was confirmed."""
        self._known[shard] = (position, last)

    async def check(self, connection: Connection, heads: Mapping[int, HeadRow]) -> None:
        """Compare locked heads with the log; those that this process left there need no look.
        Raises HeadDiffers."""
        unknown = [
            shard
            for shard, head in heads.items()
            if self._known.get(shard) != (head.position, head.hash)
        ]
        if unknown:
            await self.check_shards(connection, unknown)

    async def check_all(self, connection: Connection, shards: int) -> None:
        """Compare every head of a ledger of so many shards with its log. Raises HeadDiffers."""
        await self.check_shards(connection, range(SYSTEM_SHARD, shards))

    async def check_shards(self, connection: Connection, shards: Sequence[int]) -> None:
        """Compare these heads with the log. Raises HeadDiffers."""
        cursor = await connection.execute(_ENDS, (list(shards),))
        rows = {row[0]: row for row in await cursor.fetchall()}
        for shard in shards:
            if shard not in rows:
                raise HeadDiffers(shard, -1, "there is no such row")
            self._known[shard] = self._compare(rows[shard])

    def _compare(self, row: TupleRow) -> End:
        shard, position, last, log_position, log_last = row
        if log_position is None:
            log_position, log_last = 0, genesis(self._ledger_id, shard)
        if position != log_position:
            raise HeadDiffers(shard, position, f"the log ends at {log_position}")
        if last != log_last:
            raise HeadDiffers(shard, position, "the event there has another hash")
        return position, last
