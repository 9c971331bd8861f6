"""Reading what a batch needs before it is decided, and keeping the cache honest while doing so.

Heads are read first. What is read after them is at least as new, so a head that has not moved when
it is locked proves that dedupe rows, cached accounts and loaded accounts all still hold.
"""

from collections.abc import Iterable, Mapping, Sequence

from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from ledger import budgets, lookups, promo_codes, stock
from ledger.accounts import (
    AccountKey,
    AskedAccounts,
    account_key_of,
    ask_accounts,
    load_accounts,
    told_accounts,
)
from ledger.append import Locked
from ledger.batch import Batch
from ledger.cache import AccountCache, Cached
from ledger.core.account import Account
from ledger.core.program.timeline import Timeline
from ledger.leases import Leases
from ledger.linked import followed, other_keys
from ledger.lookups import Connection
from ledger.member_facts import read_member_facts
from ledger.profiles import known_profiles
from ledger.programs import Programs
from ledger.promo_codes import Codes

UNDER_LOCK_MAX = 100
"""Inputs of a batch that is read and decided under its locks: for so few the round trips before
cost more than all of deciding, which keeps whoever waits for a head waiting some milliseconds."""


class MoreShards(Exception):
    """Under the locks it turned out that an account was merged meanwhile into one of a shard that
    is not locked. Locks are taken in ascending order: all are let go, and everything begins again.
    """


class Ahead:
    """What a batch surely needs, read in the round trip of its locks: its dedupe rows, and the
    accounts that are not in memory."""

    def __init__(
        self, program_id: str, keys: Mapping[int, Sequence[bytes]], cold: Sequence[AccountKey]
    ) -> None:
        self._program_id = program_id
        self._keys = keys
        self._cold = cold
        self._inputs: AsyncCursor[TupleRow] | None = None
        self._accounts: AskedAccounts | None = None

    async def ask(self, connection: Connection) -> None:
        """Send the statements, after those that lock: what they read is what is locked."""
        self._inputs = await lookups.ask_inputs(connection, self._keys)
        self._accounts = await ask_accounts(connection, self._program_id, self._cold)

    async def inputs(self) -> dict[lookups.InputKey, tuple[bytes, int]]:
        """The dedupe rows."""
        return await lookups.told_inputs(self._inputs)

    async def accounts(self) -> dict[AccountKey, Account]:
        """The accounts. Raises AccountDamaged."""
        return await told_accounts(self._accounts)


class Reader:
    """Reads for one process, into its batches."""

    def __init__(self, program_id: str, cache: AccountCache, programs: Programs) -> None:
        self._program_id = program_id
        self._cache = cache
        self._programs = programs

    async def read(
        self,
        connection: Connection,
        batch: Batch,
        shards: Sequence[int],
        locked: Locked | None = None,
        ahead: Ahead | None = None,
    ) -> None:
        """Read what deciding needs for these shards: before the lock, or under it; `ahead` was
        asked with the locks."""
        wanted = set(shards)
        keys = batch.keys(wanted)
        if locked is None:
            positions, system, stored = await lookups.read_heads_and_inputs(
                connection, shards, keys
            )
        else:
            positions = {shard: locked.heads[shard].position for shard in shards}
            system = locked.system
            if ahead is not None:
                stored = await ahead.inputs()
            else:
                stored = await lookups.stored_inputs(connection, keys)
        batch.stored.update(stored)
        if system > self._programs.position:
            await self._programs.catch_up(connection, system)
        for shard, position in positions.items():
            await self._catch_up(connection, shard, position)
            batch.base_on(shard, position)
        if ahead is not None:
            self._take(batch, await ahead.accounts())
        members = batch.profile_members(wanted)
        for member_id in members:
            batch.member_keys.pop(member_id, None)
            batch.fresh_keys.discard(member_id)
        batch.member_keys.update(await lookups.member_keys(connection, members))
        tasks = batch.profile_tasks(wanted)
        for member_id in tasks:
            batch.profiles.pop(member_id, None)
        batch.profiles.update(await known_profiles(connection, tasks))
        await stock.read(connection, batch, wanted)
        await self._find_accounts(connection, batch, batch.accounts(wanted))
        if batch.linked:
            await self._follow(connection, batch, wanted, locked)
        if locked is None:
            await self._read_shared(connection, batch)
        await self._ask_about_members(connection, batch, wanted)  # last: see there

    def ahead(self, batch: Batch) -> Ahead | None:
        """What to read in the round trip of the locks, when the batch is to be decided under them:
        it is small, and nothing is known that asks for more locks than its heads. None: it is read
        and decided before."""
        if len(batch.works) > UNDER_LOCK_MAX or batch.linked:
            return None
        if self._programs.has_budgets or self._programs.has_codes:
            return None
        shards = set(batch.shards())
        cold = [place for place in batch.accounts(shards) if place not in self._cache]
        self._cache.misses += len(cold)
        return Ahead(self._program_id, batch.keys(shards), cold)

    async def _read_shared(self, connection: Connection, batch: Batch) -> None:
        """What the batch's shards hold of budgets, and the promo codes that it names."""
        if not (self._programs.has_budgets or self._programs.has_codes) or not batch.pays():
            return
        if self._programs.has_budgets:
            batch.leases = Leases(self._asked(batch))
            await budgets.read(connection, batch.leases, batch.shards())
        if self._programs.has_codes:
            batch.codes = Codes(batch.codes_named())
            await promo_codes.read(connection, batch.codes)

    def _asked(self, batch: Batch) -> tuple[str, ...]:
        """The budgets that the batch may use."""
        return self._programs.budgets_asked(code for _, code in batch.promo_codes())

    async def _follow(
        self, connection: Connection, batch: Batch, shards: set[int], locked: Locked | None
    ) -> None:
        """Read the accounts that merged ones pass their inputs on to, each after its shard's head;
        and whether returned orders were bought under the id of a merged one. Raises MoreShards."""
        while found := followed(batch):
            more = sorted({shard for shard, _ in found} - batch.based_on.keys())
            if more:
                if locked is not None:
                    raise MoreShards
                for shard, position in (await lookups.positions(connection, more)).items():
                    await self._catch_up(connection, shard, position)
                    found += batch.base_on(shard, position)
            await self._find_accounts(connection, batch, dict.fromkeys(found))
        keys = other_keys(batch, shards)
        if keys:
            batch.stored.update(await lookups.stored_inputs(connection, keys))

    async def hold(self, connection: Connection, batch: Batch) -> set[int]:
        """Lock, under the heads, what the batch's shards hold of budgets, and the promo codes that
        it names; the shards for which they are not as was read."""
        changed: set[int] = set()
        if not (self._programs.has_budgets or self._programs.has_codes) or not batch.pays():
            return changed
        if self._programs.has_budgets:
            known = self._asked(batch)
            if batch.leases is None or batch.leases.budgets != known:
                batch.leases = Leases(known)
            shards = batch.shards()
            changed |= await budgets.hold(connection, batch.leases, shards, batch.lock_leases)
        if self._programs.has_codes:
            if batch.codes is None:
                batch.codes = Codes(batch.codes_named())
            changed |= await promo_codes.hold(connection, batch.codes, batch.lock_codes)
        return changed

    async def _catch_up(self, connection: Connection, shard: int, position: int) -> None:
        """Evict the accounts that changed between what the cache has seen and `position`."""
        seen = self._cache.seen(shard)
        if seen is None or seen >= position:
            if seen is None:
                self._cache.advance(shard, position, ())
            return
        touched = await lookups.touched_members(connection, shard, seen, position)
        self._cache.advance(shard, position, touched)

    async def _ask_about_members(
        self, connection: Connection, batch: Batch, shards: set[int]
    ) -> None:
        """What rules ask beyond the account, by the versions that deciding will go by: another task
        may read a newer one while this one waits for the answers, and then they are asked anew."""
        known: Timeline | None = None
        while known is not self._programs.timeline:
            known = self._programs.timeline
            if known.asks_outside:
                await read_member_facts(connection, batch, shards, known)

    async def _find_accounts(
        self, connection: Connection, batch: Batch, places: Iterable[AccountKey]
    ) -> None:
        cold = []
        own = set(batch.based_on)
        for place in places:
            if place in batch.bases:
                continue
            # A shard that this batch does not lock may have moved unseen: ask the database.
            cached = self._cache.get(*place) if place[0] in own else None
            if cached is not None:
                batch.bases[place] = cached
                if cached.account.merged_into or cached.account.merged_from:
                    batch.linked = True
            else:
                cold.append(place)
        if not cold:
            return
        self._take(batch, await load_accounts(connection, self._program_id, cold))

    def _take(self, batch: Batch, accounts: Mapping[AccountKey, Account]) -> None:
        for place, account in accounts.items():
            batch.bases[place] = Cached(account, account_key_of(self._program_id, place[1]))
            if account.merged_into or account.merged_from:
                batch.linked = True
