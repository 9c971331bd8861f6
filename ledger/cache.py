"""Accounts kept in memory, bounded in number and in bytes, never ahead of what is committed.

Decisions are made on forks; a fork enters here only after its COMMIT was confirmed. For each shard
the cache knows up to which position it is right (`seen`): whoever finds a head further on first
evicts the accounts that the events in between name. An account that is not here is simply loaded.
"""

from collections import OrderedDict
from collections.abc import Iterable

from msgspec import Struct

from ledger.core.account import Account
from ledger.weight import weight_of
from schemas.fields import Instant

NOT_KNOWN = -1
"""A `due_epoch` that no head has: nothing is known of the account's due row."""


class Cached(Struct, gc=False):
    """An account as of its shard's `seen`. `due_at`: its due row, if `due_epoch` is still the
    head's. `weight`: its bytes by estimate, once it is in the cache."""

    account: Account
    account_id: bytes
    due_at: Instant | None = None
    due_epoch: int = NOT_KNOWN
    weight: int = 0


class AccountCache:
    """The least recently used accounts leave first. `weight`: the bytes of all, by estimate."""

    def __init__(self, accounts_max: int, bytes_max: int) -> None:
        self.accounts_max = accounts_max
        self.bytes_max = bytes_max
        self.weight = 0
        self.hits = 0
        self.misses = 0
        self._seen: dict[int, int] = {}
        self._entries: OrderedDict[tuple[int, str], Cached] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, place: tuple[int, str]) -> bool:
        """Whether the account is here; it is not used by that."""
        return place in self._entries

    def get(self, shard: int, member_id: str) -> Cached | None:
        """The account, as committed; it must not be changed, only forked."""
        entry = self._entries.get((shard, member_id))
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        self._entries.move_to_end((shard, member_id))
        return entry

    def seen(self, shard: int) -> int | None:
        """Up to which position the shard's accounts here are right; None: none is here."""
        return self._seen.get(shard)

    def advance(self, shard: int, position: int, touched: Iterable[str] | None) -> None:
        """The accounts `touched` up to `position` are out of date; None: the whole shard is."""
        if touched is None:
            self.evict_shard(shard)
        else:
            self.evict(shard, touched)
        self._seen[shard] = max(position, self._seen.get(shard, 0))

    def commit(self, shard: int, position: int, entries: dict[str, Cached]) -> None:
        """What a confirmed COMMIT made of accounts, as of `position`.

        If the cache has already moved past it, an account may have changed again: it is evicted.
        """
        if self._seen.get(shard, 0) > position:
            self.evict(shard, entries)
            return
        self._seen[shard] = position
        known, weight = self._entries, self.weight
        for member_id, entry in entries.items():
            key = (shard, member_id)
            before = known.pop(key, None)
            if before is not None:
                weight -= before.weight
            entry.weight = weight_of(entry.account)
            weight += entry.weight
            known[key] = entry
        self.weight = weight
        while len(self._entries) > self.accounts_max or self.weight > self.bytes_max:
            _, oldest = self._entries.popitem(last=False)
            self.weight -= oldest.weight

    def evict(self, shard: int, members: Iterable[str]) -> None:
        """Forget these accounts."""
        for member_id in members:
            self._remove((shard, member_id))

    def evict_shard(self, shard: int) -> None:
        """Forget every account of the shard."""
        for key in [key for key in self._entries if key[0] == shard]:
            self._remove(key)

    def _remove(self, key: tuple[int, str]) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.weight -= entry.weight
