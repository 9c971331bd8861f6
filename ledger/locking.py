"""The locks of an append: the shards within this process, then the rows in the database; and what
is compared before anything is built on what the locked rows say.

Both kinds are taken in ascending order of the shards, so that no two appends wait for each other.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

from ledger import append, stream_rows
from ledger.cache import AccountCache
from ledger.crash import crash_point
from ledger.errors import LogWentBack
from ledger.heads import Ends
from ledger.lookups import Connection
from ledger.programs import Programs
from ledger.received import Sources
from ledger.sharding import SYSTEM_SHARD


class ShardLocks:
    """One lock per shard: a commit and what it does to the cache are one step for other tasks."""

    def __init__(self, shards: int) -> None:
        self._locks = [asyncio.Lock() for _ in range(shards)]

    @asynccontextmanager
    async def hold(self, shards: Iterable[int]) -> AsyncIterator[None]:
        """The locks of these shards, which come in ascending order."""
        held = []
        try:
            for shard in shards:
                await self._locks[shard].acquire()
                held.append(shard)
            yield
        finally:
            for shard in held:
                self._locks[shard].release()


async def lock_checked(
    connection: Connection,
    sources: Sources,
    shards: Sequence[int],
    cache: AccountCache,
    programs: Programs,
    ends: Ends,
    asked: append.Asked | None = None,
) -> append.Locked:
    """The rows of an append, locked, none of them behind what this process remembers; `asked` was
    asked under the locks. Raises: OffsetGap, LogWentBack, HeadDiffers."""
    programs_known = programs.position
    locked = await append.lock(connection, sources, shards, asked)
    if len(locked.offsets) != sum(len(source.moves) for source in sources):
        stream_rows.check_rows(sources, locked.topic_ids)
        await connection.execute("ROLLBACK")
        await stream_rows.begin_streams(connection, sources)
        crash_point("append.after_streams_begun")
        locked = await append.lock(connection, sources, shards, asked)
    stream_rows.check_rows(sources, locked.topic_ids)
    # Else what is remembered here may hold what no longer happened.
    for shard, head in locked.heads.items():
        known = cache.seen(shard)
        if known is not None and head.position < known:
            raise LogWentBack(shard, known, head.position)
    if locked.system < programs_known:
        raise LogWentBack(SYSTEM_SHARD, programs_known, locked.system)
    await ends.check(connection, locked.heads)
    return locked
