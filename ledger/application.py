"""The one door: every input becomes events here, with all that belongs to them, or changes nothing.

    read      heads, dedupe rows, cold accounts            no locks
    decide    on forks, in the order of the inputs         no I/O
    lock      stream rows, then heads in ascending order
    check     offsets; a head that moved: read and decide its inputs again; a budget's lease
              that was too small: draw on the budget and decide again, or give up, call back what
              other shards hold, and begin anew
    store     events, inputs, dead letters, counts, heads, offsets, COMMIT
    follow    only now the forks enter the cache

An exception anywhere before COMMIT has stored nothing; one during COMMIT leaves unknown whether it
did. In both cases the accounts touched leave the cache and the same call again finds the truth: in
the stored offsets and in the dedupe rows.
"""

import time
from collections.abc import Sequence, Set
from pathlib import Path

from psycopg.errors import UniqueViolation

from ledger import append, budgets, lookups, stock, stream_rows, system
from ledger.batch import Batch
from ledger.budgets import DRAW_ROUNDS_MAX, CallBack, LockBefore
from ledger.cache import AccountCache, Cached
from ledger.calling_back import CALL_BACKS_MAX, call_back
from ledger.code_files import Claim, Made, generate
from ledger.core.program.form import Program
from ledger.core.program.promo_codes import Series
from ledger.core.program.timeline import Timeline
from ledger.crash import crash_point
from ledger.database import open_pool, translated
from ledger.deciding import decide_all, log_failures
from ledger.errors import AppendFailed, LedgerError
from ledger.heads import Ends
from ledger.identity import Identity, check_database
from ledger.linked import with_linked
from ledger.locking import ShardLocks, lock_checked
from ledger.lookups import Connection
from ledger.notify import Notifier, Pool
from ledger.numbering import Rows, number
from ledger.preparing import check_call
from ledger.preview import Previewed, preview
from ledger.programs import Programs
from ledger.questions import Questions
from ledger.reading import Ahead, MoreShards, Reader
from ledger.received import (
    Outcome,
    Received,
    SourcePosition,
    Sources,
)
from ledger.recompute import append_outcomes
from ledger.settings import Settings
from ledger.sharding import SHARED_INPUTS, SYSTEM_SHARD
from ledger.stats import Stats
from ledger.work import check_internal_errors, outcome_of, unknown_redemptions
from schemas.decisions import RestoreDeclared, RfmBoundsSet

FOLLOWS_MAX = 10
"""How often a call begins again because an account it needs was merged, between its reading and its
locks, into one of a shard it had not locked: each time takes a merge within some milliseconds."""

CLASHES_MAX = 10
"""How often a call begins again because an idempotency key of an anonymous purchase, which no shard
guards, was taken between its reading and its writing: it is found the next time, so that each is
another key's."""

ROUNDS_MAX = 100
"""How often inputs are decided again under one lock: for draws on budgets, then for the stock of
rewards, of which each round locks more."""


class Ledger(Questions):
    """The ledger of one database, opened by one process. Not safe across threads; any number of
    calls may run at once in one event loop."""

    def __init__(self, settings: Settings, identity: Identity, pool: Pool) -> None:
        super().__init__(pool, identity)
        self.settings = settings
        self.stats = Stats()
        self.cache = AccountCache(settings.cache_accounts, settings.cache_megabytes * 1_000_000)
        self._programs = Programs()
        self._reader = Reader(identity.program_id, self.cache, self._programs)
        self._notifier = Notifier(pool)
        self._ends = Ends(identity.ledger_id)
        self._locks = ShardLocks(identity.shards)
        self._skew = settings.max_clock_skew_seconds * 1_000_000

    @classmethod
    async def open(cls, settings: Settings) -> "Ledger":
        """Connect and check that this is the right database. Raises StartRefused, HeadDiffers."""
        identity = await check_database(settings)
        pool = await open_pool(settings)
        ledger = cls(settings, identity, pool)
        try:
            await ledger.check_heads()
            await ledger.reload_programs()
        except BaseException:
            await pool.close()
            raise
        return ledger

    async def close(self) -> None:
        """Send outstanding notifications and close the connections."""
        await self._notifier.close()
        await self._pool.close()

    @property
    def programs(self) -> Timeline:
        """The program versions, as of the last look at the system shard."""
        return self._programs.timeline

    async def check_heads(self) -> None:
        """Compare every head row with the log. Raises HeadDiffers, DatabaseUnavailable."""
        async with self._connection() as connection:
            await self._ends.check_all(connection, self.identity.shards)

    async def reload_programs(self) -> Timeline:
        """Look at the system shard now. Raises DatabaseUnavailable."""
        with translated():
            async with self._pool.connection() as connection:
                await self._programs.catch_up(connection, await lookups.system_position(connection))
        return self.programs

    async def handle(
        self,
        inputs: Sequence[Received],
        source: SourcePosition | Sources | None = None,
        retry_of: int | None = None,
        *,
        internal_errors_max: int | None = None,
    ) -> list[Outcome]:
        """Decide the inputs in their order and append, once; one outcome for each.

        `source`: the stretch of Kafka that they are, or the stretches of several partition numbers,
        whose offsets move in the same transaction.
        `retry_of`: the dead letter that the one input comes from. `internal_errors_max`: how many
        of the inputs may end in a dead letter because of a bug of ours (None: all). Raises
        BatchRefused, OffsetGap, LogWentBack, HeadDiffers, InternalErrors, DeadLetterUnavailable,
        AppendFailed, TakenBefore (nothing was stored) and DatabaseUnavailable (it is not known
        whether anything was: call again).
        """
        sources = (source,) if isinstance(source, SourcePosition) else tuple(source or ())
        check_call(inputs, sources, retry_of)
        call_backs, clashes, lock_budgets = 0, 0, False
        lock_leases, lock_codes = set[str](), set[bytes]()
        with translated():
            async with self._pool.connection() as connection:
                while True:
                    batch = Batch(
                        inputs,
                        self.identity.shards,
                        time.time_ns() // 1_000,
                        self._skew,
                        retry=retry_of is not None,
                        may_call_back=call_backs < CALL_BACKS_MAX,
                        lock_budgets=lock_budgets,
                    )
                    batch.lock_leases, batch.lock_codes = lock_leases, lock_codes
                    try:
                        await self._try(connection, batch, sources, retry_of, internal_errors_max)
                        break
                    except CallBack as wanted:
                        call_backs += 1
                        await connection.execute("ROLLBACK")
                        await call_back(connection, wanted, call_backs)
                    except LockBefore as before:  # then all of them are locked in order
                        lock_budgets = True
                        lock_leases |= before.leases
                        lock_codes |= before.codes
                        await connection.execute("ROLLBACK")
                    except UniqueViolation as clash:
                        clashes += 1
                        if clash.diag.table_name != SHARED_INPUTS or clashes > CLASHES_MAX:
                            raise
                        await connection.execute("ROLLBACK")
        self.stats.count(len(inputs))
        self.stats.unknown_redemptions += unknown_redemptions(batch.works)
        return [outcome_of(work) for work in batch.works]

    async def _try(
        self,
        connection: Connection,
        batch: Batch,
        sources: Sources,
        retry_of: int | None,
        internal_errors_max: int | None,
    ) -> None:
        """Read, decide and append. Raises CallBack when other shards hold what is needed."""
        for _ in range(FOLLOWS_MAX):
            ahead = self._reader.ahead(batch)
            if ahead is None:
                with self.stats.reading.timed():
                    await self._reader.read(connection, batch, batch.shards())
                with self.stats.deciding.timed():
                    decide_all(batch, set(batch.shards()), self.programs)
            programs, shards = self.programs, batch.shards()
            try:
                async with self._locks.hold(shards):
                    await self._append(
                        connection, batch, programs, sources, retry_of, internal_errors_max, ahead
                    )
                return
            except MoreShards:
                await connection.execute("ROLLBACK")
                batch.forget(shards)
        raise AppendFailed("Accounts are merged faster than inputs can follow them.")

    async def _append(
        self,
        connection: Connection,
        batch: Batch,
        decided_with: Timeline,
        sources: Sources,
        retry_of: int | None,
        internal_errors_max: int | None,
        ahead: Ahead | None,
    ) -> None:
        shards = batch.shards()
        crash_point("append.before_lock")
        try:
            with self.stats.locking.timed():
                locked = await self._lock(connection, sources, shards, ahead)
                crash_point("append.after_lock")
                if ahead is not None:
                    await self._decide_locked(connection, batch, sources, locked, ahead)
                    decided_with = self.programs
                await self._decide_again(connection, batch, sources, locked, decided_with)
            log_failures(batch)
            if internal_errors_max is not None:
                check_internal_errors(batch.works, internal_errors_max)
            with self.stats.numbering.timed():
                rows = number(batch, locked.heads, self.programs, retry=retry_of is not None)
            crash_point("append.after_numbering")
            if retry_of is not None:
                await append.take_dead_letter(connection, rows, batch, retry_of)
            if rows.released:
                await append.take_released(connection, rows)
            with self.stats.storing.timed():
                slots = [source.partition for source in sources]
                slot = min(slots or shards, default=0)
                await append.store(connection, rows, batch, sources, slot)
        except BaseException:
            for shard, member_id in batch.forks:
                self.cache.evict(shard, (member_id,))
            raise
        self._follow(batch, locked, rows)
        crash_point("append.after_cache")

    async def _lock(
        self,
        connection: Connection,
        sources: Sources,
        shards: Sequence[int],
        ahead: Ahead | None,
    ) -> append.Locked:
        return await lock_checked(
            connection, sources, shards, self.cache, self._programs, self._ends, ahead
        )

    async def _decide_locked(
        self,
        connection: Connection,
        batch: Batch,
        sources: Sources,
        locked: append.Locked,
        ahead: Ahead,
    ) -> None:
        """Decide a small batch for the first time, under the lock, on what was read with it."""
        stream_rows.check_offsets(batch, sources, locked.offsets)
        shards = sorted(locked.heads)
        with self.stats.reading.timed():
            await self._reader.read(connection, batch, shards, locked, ahead)
        with self.stats.deciding.timed():
            decide_all(batch, set(shards), self.programs)

    async def _decide_again(
        self,
        connection: Connection,
        batch: Batch,
        sources: Sources,
        locked: append.Locked,
        decided_with: Timeline,
    ) -> None:
        """What changed between reading and locking is read and decided again, under the lock."""
        moved = {
            shard for shard, head in locked.heads.items() if head.position != batch.based_on[shard]
        }
        if stream_rows.check_offsets(batch, sources, locked.offsets):
            moved = set(locked.heads)
        if locked.system > self._programs.position:
            await self._programs.catch_up(connection, locked.system)
        if self.programs is not decided_with:
            moved = set(locked.heads)
        moved |= await self._reader.hold(connection, batch)
        claiming = {work.shard for work in stock.claims(batch, locked.heads)}
        for rounds in range(ROUNDS_MAX):
            if moved:
                # Units are numbered over the whole batch: all its claims are decided, or none.
                await self._decide_anew(connection, batch, moved | claiming, locked)
            moved = await self._draw(connection, batch, rounds)
            if not moved and claiming:
                if batch.leases is not None:
                    batch.leases.sealed = True
                # The first time it locks all that the claims name: what is locked does not move.
                counted = self._programs.counted
                if await stock.lock(connection, batch, claiming, counted):
                    moved = claiming
            if not moved:
                _check_held(batch)
                return
        raise AppendFailed("Inputs were decided again too often under one lock.")

    async def _draw(self, connection: Connection, batch: Batch, rounds: int) -> set[int]:
        """Draw on budgets for what their leases lacked, after so many rounds; the shards that can
        be decided again."""
        if batch.leases is None or rounds >= DRAW_ROUNDS_MAX:
            return set()
        if batch.lock_budgets and not rounds:
            await budgets.lock_all(connection, batch.leases, batch.leases.budgets)
        shards, may_call_back = self.identity.shards, batch.may_call_back
        return await budgets.draw(connection, batch.leases, shards, call_back=may_call_back)

    async def _decide_anew(
        self, connection: Connection, batch: Batch, shards: set[int], locked: append.Locked
    ) -> None:
        """Read and decide again what belongs to these shards, which are locked."""
        self.stats.decided_again += 1
        shards = with_linked(batch, shards)
        batch.forget(shards)
        await self._reader.read(connection, batch, sorted(shards), locked)
        decide_all(batch, shards, self.programs)
        crash_point("append.after_decided_again")

    def _follow(self, batch: Batch, locked: append.Locked, rows: Rows) -> None:
        """COMMIT is confirmed: what was decided is now what the cache holds."""
        entries: dict[int, dict[str, Cached]] = {shard: {} for shard in locked.heads}
        for (shard, member_id), fork in batch.forks.items():
            entries[shard][member_id] = Cached(
                fork.account, fork.account_id, fork.due_at, fork.due_epoch
            )
        for shard, head in locked.heads.items():
            log = rows.logs.get(shard)
            self.cache.commit(shard, log.position if log else head.position, entries[shard])
            if log is not None:
                self._ends.moved(shard, log.position, log.hash)
        self._notifier.add(set(rows.logs))

    async def preview(self, inputs: Sequence[Received]) -> list[Previewed]:
        """What each of the inputs would lead to if it alone were handled now; nothing is stored.
        Raises BatchRefused, DatabaseUnavailable."""
        async with self._connection() as connection:
            shards = self.identity.shards
            return await preview(
                connection, inputs, self._reader, self.cache, self._programs, shards, self._skew
            )

    async def publish_program(self, program: Program) -> tuple[str, bool]:
        """Put a checked program into force; its version, and whether it is new to this ledger.
        What it asks of known profiles and no version did is answered before this returns.

        Raises ProgramRefused: other_program, other_currency, other_time_zone,
        not_after_last_version, already_decided.
        """
        async with self._connection() as connection:
            done = await system.publish(connection, self.identity, self._programs, program)
            await self._programs.catch_up(connection, await lookups.system_position(connection))
        self._notifier.add({SYSTEM_SHARD})
        await append_outcomes(self._pool, self.handle, self.programs, done[0])
        return done

    async def generate_codes(
        self,
        series_id: str,
        count: int,
        out: Path,
        members: Sequence[str] | None = None,
        claim: Claim | None = None,
    ) -> Made:
        """Generate promo codes of a series into a file, bound to `members` if they are given.

        Raises LedgerError: unknown_series, fixed_code, file_exists, other_codes; and what `claim`
        raises.
        """
        async with self._connection() as connection:
            return await generate(connection, self.series(series_id), count, out, members, claim)

    def series(self, series_id: str) -> Series:
        """A series of promo codes, as the version that takes effect last has it. Raises LedgerError
        (unknown_series)."""
        for _, program in reversed(self.programs.versions):
            if series_id in program.series:
                return program.series[series_id]
        raise LedgerError(
            f"No version of the program has a series {series_id} of promo codes: publish one that"
            " names it in promo_codes.",
            "unknown_series",
        )

    async def record_bounds(self, bounds: RfmBoundsSet) -> int:
        """Record RFM bounds in the system shard; their position."""
        return await self._record(bounds)

    async def declare_restore(self, restored: RestoreDeclared) -> int:
        """Record in the system shard that a backup was restored; the position."""
        return await self._record(restored)

    async def _record(self, event: RfmBoundsSet | RestoreDeclared) -> int:
        async with self._connection() as connection:
            position = await system.record(connection, self.identity, event)
        self._notifier.add({SYSTEM_SHARD})
        return position


def _check_held(batch: Batch) -> None:
    """Raises LockBefore when a decision made under the locks gives back what is not locked."""
    leases: Set[str] = frozenset()
    codes: Set[bytes] = frozenset()
    if batch.leases is not None:
        leases = batch.leases.of_all() - batch.leases.held
    if batch.codes is not None:
        codes = batch.codes.total().keys() - batch.codes.held
    if leases or codes:
        raise LockBefore(leases, codes)
