"""Reading what a batch needs before it is decided, and keeping the cache honest while doing so.

Heads are read first. What is read after them is at least as new, so a head that has not moved when
it is locked proves that dedupe rows, cached accounts and loaded accounts all still hold.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

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
from ledger.lookups import CATCH_UP_MAX, Connection
from ledger.member_facts import read_member_facts
from ledger.profiles import known_profiles
from ledger.programs import Programs
from ledger.promo_codes import Codes
from ledger.round_trip import round_trip

UNDER_LOCK_MAX = 100
"""Inputs of a batch that is read and decided under its locks: for so few the round trips before
cost more than all of deciding, which keeps whoever waits for a head waiting some milliseconds."""


class MoreShards(Exception):
    """Under the locks it turned out that an account was merged meanwhile into one of a shard that
    is not locked. Locks are taken in ascending order: all are let go, and everything begins again.
    """


class Ahead:
    """What a batch surely needs, read in the round trip of its locks: its dedupe rows, the accounts
    that are not in memory, and whose events came after what the cache has seen. `after`: up to
    where it has, of shards that others move."""

    def __init__(
        self,
        program_id: str,
        keys: Mapping[int, Sequence[bytes]],
        cold: Sequence[AccountKey],
        after: Mapping[int, int],
    ) -> None:
        self.after = after
        self._program_id = program_id
        self._keys = keys
        self._cold = cold
        self._inputs: AsyncCursor[TupleRow] | None = None
        self._accounts: AskedAccounts | None = None
        self._touched: dict[int, AsyncCursor[TupleRow]] = {}

    async def ask(self, connection: Connection) -> None:
        """Send the statements, after those that lock: what they read is what is locked."""
        self._inputs = await lookups.ask_inputs(connection, self._keys)
        self._accounts = await ask_accounts(connection, self._program_id, self._cold)
        self._touched = await lookups.ask_touched(connection, self.after)

    async def inputs(self) -> dict[lookups.InputKey, tuple[bytes, int]]:
        """The dedupe rows."""
        return await lookups.told_inputs(self._inputs)

    async def accounts(self) -> dict[AccountKey, Account]:
        """The accounts. Raises AccountDamaged."""
        return await told_accounts(self._accounts)

    async def touched(self) -> dict[int, list[str]]:
        """Whose events they are."""
        return await lookups.told_touched(self._touched)


class Reader:
    """Reads for one process, into its batches."""

    def __init__(self, program_id: str, cache: AccountCache, programs: Programs) -> None:
        self._program_id = program_id
        self._cache = cache
        self._programs = programs
        self._moving: set[int] = set()
        """Shards that other processes had moved when they were looked at last."""

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
        after: Mapping[int, int] = {}
        touched: dict[int, list[str]] = {}
        if locked is None:
            after = self._after(shards)
            found = await lookups.read_heads_and_inputs(connection, shards, keys, after)
            positions, system, stored = found.positions, found.system, found.stored
            touched = found.touched
        else:
            positions = {shard: locked.heads[shard].position for shard in shards}
            system = locked.system
            if ahead is not None:
                stored = await ahead.inputs()
                after, touched = ahead.after, await ahead.touched()
            else:
                stored = await lookups.stored_inputs(connection, keys)
        batch.stored.update(stored)
        if system > self._programs.position:
            await self._programs.catch_up(connection, system)
        await self._catch_up(connection, positions, after, touched)
        for shard, position in positions.items():
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
        return Ahead(self._program_id, batch.keys(shards), cold, self._after(shards))

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
                positions = await lookups.positions(connection, more)
                await self._catch_up(connection, positions)
                for shard, position in positions.items():
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

    def _after(self, shards: Iterable[int]) -> dict[int, int]:
        """Up to where the cache is right, of those shards that others seem to move."""
        found = {shard: self._cache.seen(shard) for shard in self._moving.intersection(shards)}
        return {shard: seen for shard, seen in found.items() if seen is not None}

    async def _catch_up(
        self,
        connection: Connection,
        positions: Mapping[int, int],
        after: Mapping[int, int] = MappingProxyType({}),
        touched: Mapping[int, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """Evict the accounts that changed between what the cache has seen and the positions.
        `touched`: whose events there are `after` positions that it had seen, where it was asked
        with the heads; the rest is asked now. What is evicted besides is only loaded again."""
        behind: dict[int, int] = {}
        for shard, position in positions.items():
            seen = self._cache.seen(shard)
            if seen is None:
                self._cache.advance(shard, position, ())
            elif seen >= position:
                self._moving.discard(shard)
            else:
                self._moving.add(shard)
                if shard in after:
                    self._advance(shard, position, after[shard], touched[shard])
                else:
                    behind[shard] = seen
        if behind:
            async with round_trip(connection):
                asked = await lookups.ask_touched(connection, behind)
            for shard, members in (await lookups.told_touched(asked)).items():
                self._advance(shard, positions[shard], behind[shard], members)

    def _advance(self, shard: int, position: int, after: int, touched: Sequence[str]) -> None:
        too_many = position - after > CATCH_UP_MAX
        self._cache.advance(shard, position, None if too_many else touched)

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
