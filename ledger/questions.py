"""What others ask of the ledger beside appending: due accounts, effects, counts, dead letters.

Reading only, except for notes of what others have done: who feeds the ledger, how far effects were
published and topics read, which dead letters were given up or put away. Each question raises
DatabaseUnavailable when it cannot be asked.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime

from ledger import (
    budgets,
    chain,
    command_outcomes,
    dead_letters,
    feed,
    promo_codes,
    stock,
    stream_rows,
)
from ledger.accounts import load_accounts
from ledger.batch import Stock
from ledger.command_outcomes import Untold
from ledger.core.account import Account
from ledger.core.calendar import from_instant
from ledger.database import translated
from ledger.dead_letters import DeadLetter, Status
from ledger.identity import Identity
from ledger.lookups import Connection
from ledger.notify import Pool
from ledger.promo_codes import CodeRow, SeriesCount
from ledger.received import StoredPosition
from ledger.sharding import shard_of
from ledger.stock import Loaded
from ledger.taken import Taken, find_taken
from ledger.verify import verify_shard
from schemas.decisions import Effect
from schemas.fields import Instant
from schemas.inputs import InputEvent
from schemas.log_events import decode_event

DUE = (
    "SELECT member_id FROM ledger.due WHERE shard = ANY(%s) AND due_at <= %s"
    " ORDER BY due_at, shard, member_id LIMIT %s"
)
_EFFECTS = """
SELECT position, payload FROM ledger.events
WHERE shard = %s AND effects > 0
    AND position > coalesce((SELECT position FROM ledger.effects_cursors WHERE shard = %s), 0)
ORDER BY position LIMIT %s
"""
_EFFECTS_DONE = (
    "INSERT INTO ledger.effects_cursors AS c (shard, position) VALUES (%s, %s)"
    " ON CONFLICT (shard) DO UPDATE SET position = greatest(c.position, EXCLUDED.position)"
)
_COUNTS = (
    "SELECT source, type, outcome, sum(n)::bigint FROM ledger.outcome_counts"
    " GROUP BY source, type, outcome HAVING sum(n) <> 0 ORDER BY source, type, outcome"
)


class Questions:
    """The reading half of the ledger."""

    def __init__(self, pool: Pool, identity: Identity) -> None:
        self._pool = pool
        self.identity = identity

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        with translated():
            async with self._pool.connection() as connection:
                yield connection

    async def promo_code(self, text: str) -> CodeRow | None:
        """A generated promo code as it is stored; None when it is none."""
        async with self._connection() as connection:
            return await promo_codes.code_row(connection, text)

    async def promo_code_counts(self) -> dict[str, SeriesCount]:
        """The generated promo codes by series."""
        async with self._connection() as connection:
            return await promo_codes.counts(connection)

    async def budget_spent(self, budget: str) -> int:
        """What is spent of a budget; 0 when there is none of this id."""
        async with self._connection() as connection:
            return await budgets.spent(connection, budget)

    async def due_accounts(self, shards: Sequence[int], until: Instant, limit: int) -> list[str]:
        """Members whose account may have something to settle by `until`, soonest first; each is to
        be ticked (`received.tick`), which also puts its due row right."""
        async with self._connection() as connection:
            cursor = await connection.execute(DUE, (list(shards), from_instant(until), limit))
            return [row[0] for row in await cursor.fetchall()]

    async def pending_effects(self, shard: int, limit: int) -> list[tuple[int, int, int, Effect]]:
        """Effects not yet noted as published, as (shard, position, n, effect), in order; those of
        at most `limit` events. n counts from 1 within an event."""
        async with self._connection() as connection:
            cursor = await connection.execute(_EFFECTS, (shard, shard, limit))
            rows = await cursor.fetchall()
        return [
            (shard, position, n, effect)
            for position, payload in rows
            for n, effect in enumerate(decode_event(payload).effects, 1)
        ]

    async def mark_effects_published(self, shard: int, position: int) -> None:
        """Note that the effects of all events up to `position` were published."""
        async with self._connection() as connection:
            await connection.execute(_EFFECTS_DONE, (shard, position))

    async def pending_outcomes(self, shards: Sequence[int], limit: int) -> list[Untold]:
        """How commands ended that their senders were not told of yet, in order."""
        async with self._connection() as connection:
            return await command_outcomes.pending(connection, shards, limit)

    async def forget_outcomes(self, told: Sequence[Untold]) -> None:
        """Note that these were told."""
        async with self._connection() as connection:
            await command_outcomes.forget(connection, told)

    async def voucher_code(self, shard: int, position: int) -> str | None:
        """The code that the claim at a position was given; None if it was none of a voucher."""
        async with self._connection() as connection:
            return await stock.code_of(connection, shard, position)

    async def reward_stock(self, rewards: Sequence[str]) -> dict[str, Stock]:
        """What is loaded and given of these rewards; those that were never asked for have none."""
        async with self._connection() as connection:
            return await stock.stock(connection, rewards)

    async def load_codes(self, reward_id: str, codes: Sequence[str]) -> Loaded:
        """Add codes to a voucher reward; those that are there already stay as they are."""
        async with self._connection() as connection:
            return await stock.load_codes(connection, reward_id, codes)

    async def outcome_counts(self) -> dict[tuple[str, str], int]:
        """How many inputs ended how, by (source, outcome)."""
        totals: dict[tuple[str, str], int] = {}
        for (source, _, outcome), n in (await self.outcome_counts_by_type()).items():
            totals[source, outcome] = totals.get((source, outcome), 0) + n
        return totals

    async def outcome_counts_by_type(self) -> dict[tuple[str, str, str], int]:
        """How many inputs ended how, by (source, type, outcome)."""
        async with self._connection() as connection:
            cursor = await connection.execute(_COUNTS)
            return {(row[0], row[1], row[2]): row[3] for row in await cursor.fetchall()}

    async def account(self, member_id: str, shard: int | None = None) -> Account:
        """The member's account as the log has it now; version 0 if it has no events.

        `shard` only for accounts that each shard has (the anonymous one).
        """
        place = (shard_of(member_id, self.identity.shards) if shard is None else shard, member_id)
        async with self._connection() as connection:
            return (await load_accounts(connection, self.identity.program_id, [place]))[place]

    async def taken(self, events: Sequence[InputEvent]) -> dict[bytes, Taken]:
        """Which of these inputs were taken before, by `dedupe.key_of`."""
        async with self._connection() as connection:
            return await find_taken(
                connection, events, self.identity.program_id, self.identity.shards
            )

    async def verify_chain(self, shard: int) -> chain.Head:
        """Recompute the hash chain of a shard; its end. Raises ChainBroken."""
        async with self._connection() as connection:
            return await verify_shard(connection, self.identity.ledger_id, shard)

    async def dead_letters(
        self,
        status: Status = "open",
        *,
        code: str | None = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[DeadLetter]:
        """Dead letters with an id above `after`, oldest first."""
        async with self._connection() as connection:
            return await dead_letters.list_dead_letters(
                connection, status, code=code, after=after, limit=limit
            )

    async def count_dead_letters(self, status: Status = "open", *, code: str | None = None) -> int:
        """How many dead letters there are."""
        async with self._connection() as connection:
            return await dead_letters.count_dead_letters(connection, status, code=code)

    async def dead_letter(self, number: int) -> DeadLetter:
        """One dead letter. Raises DeadLetterUnavailable."""
        async with self._connection() as connection:
            return await dead_letters.show_dead_letter(connection, number)

    async def discard_dead_letter(self, number: int, reason: str, by: str) -> None:
        """Give an open dead letter up, for a reason. Raises DeadLetterUnavailable."""
        async with self._connection() as connection:
            await dead_letters.discard_dead_letter(connection, number, reason, by)

    async def purge_dead_letters(self, closed_before: datetime) -> int:
        """Delete the dead letters that were closed before a moment; how many."""
        async with self._connection() as connection:
            return await dead_letters.purge_dead_letters(connection, closed_before)

    async def claim_feed(self, cluster_id: str | None, group: str) -> None:
        """Record which Kafka feeds this ledger, or compare. Raises StartRefused (other_kafka,
        other_group)."""
        async with self._connection() as connection:
            await feed.claim(connection, feed.Feed(cluster_id, group))

    async def stream_positions(self, group: str) -> dict[tuple[str, int], StoredPosition]:
        """Up to where each (topic, partition) was handled."""
        async with self._connection() as connection:
            return await stream_rows.stream_positions(connection, group)

    async def note_read(self, group: str, reads: Mapping[tuple[str, int], tuple[int, int]]) -> None:
        """Note that no record lies between a stored offset and an offset read to."""
        async with self._connection() as connection:
            await stream_rows.note_read(connection, group, reads)
