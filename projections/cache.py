"""Members in memory: a bounded cache, filled in bulk from the log up to the fold's own position.

An entry is right for exactly one version of its account. When the log's next event does not follow
that version (another runner folded in between, a transaction was rolled back, a model is being
rebuilt) the entry is dropped and folded anew: the cache can be stale, never wrong.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from uuid import UUID

from psycopg import Connection

from projections.history import Keep
from projections.log import Entry, decode, few_histories, histories, versions_at
from projections.member import Member

MEMBERS_MAX = 20_000
"""Members in memory: one with a year of weekly baskets of nine lines takes 43 kB (its account keeps
what can be returned), so about 900 MB."""

LOAD_ACCOUNTS = 200
"""Accounts whose histories are asked for in one query: bounds the server's sort."""


AHEAD_ACCOUNTS = 100
"""Accounts whose histories are asked for together for a small batch; of more each shard's are asked
for by themselves."""

AHEAD_HISTORY_EVENTS = 20_000
"""Events of these histories, which are in memory all at once: some tens of megabytes. Longer ones
(one account may have as many) are asked for shard by shard, and stream."""


class MemberCache:
    """The least recently folded members are forgotten first."""

    def __init__(self, size: int = MEMBERS_MAX) -> None:
        self._members: OrderedDict[UUID, Member] = OrderedDict()
        self._size = size
        self._keep = Keep()
        self.hits = 0
        self.loads = 0

    def keep(self, wanted: Keep) -> None:
        """What histories must hold from now on; members in memory with less are forgotten."""
        if wanted != self._keep:
            self._keep = wanted
            self.clear()

    def clear(self) -> None:
        """Forget everything: after a rollback, or when more of the history must be kept."""
        self._members.clear()

    def load_ahead(
        self, connection: Connection, batches: Sequence[tuple[int, int, Sequence[Entry]]]
    ) -> None:
        """Load what `prepare` will need for several shards (each with its position and its next
        entries) in one round trip; nothing if that is much. Raises LogDamaged."""
        asked: list[tuple[int, Sequence[UUID], int]] = []
        events = 0
        for shard, after, entries in batches:
            missing: dict[UUID, None] = {}
            met: set[UUID] = set()
            for entry in entries:
                if entry.account_id not in met:
                    met.add(entry.account_id)
                    if entry.version > 1 and not self._follows(entry):
                        missing[entry.account_id] = None
                        events += entry.version - 1
            if missing:
                asked.append((shard, list(missing), after))
        if not asked or events > AHEAD_HISTORY_EVENTS:
            return
        if sum(len(accounts) for _, accounts, _ in asked) <= AHEAD_ACCOUNTS:
            self._members.update(self._folded(few_histories(connection, asked)))

    def _follows(self, entry: Entry) -> bool:
        member = self._members.get(entry.account_id)
        return member is not None and member.account.version == entry.version - 1

    def prepare(
        self, connection: Connection, shard: int, after: int, entries: Sequence[Entry]
    ) -> dict[UUID, Member]:
        """The members of the entries as they were at position `after`, new ones included.

        Raises LogDamaged. The result may exceed the cache's size; `trim` it after the commit.
        """
        first: dict[UUID, Entry] = {}
        for entry in entries:
            first.setdefault(entry.account_id, entry)
        found: dict[UUID, Member] = {}
        missing: list[UUID] = []
        for account_id, entry in first.items():
            member = self._members.get(account_id)
            if member is not None and member.account.version == entry.version - 1:
                self._members.move_to_end(account_id)
                self.hits += 1
            elif entry.version == 1:
                # Its first event follows what was folded: no rows can be there.
                member = Member(entry, self._keep, new=True)
            else:
                missing.append(account_id)
                continue
            found[account_id] = member
        found.update(self.load(connection, shard, missing, after))
        self._members.update(found)
        return found

    def at(
        self, connection: Connection, shard: int, accounts: Sequence[UUID], position: int
    ) -> dict[UUID, Member]:
        """The members of the accounts as they were at a position."""
        current = versions_at(connection, shard, accounts, position)
        found = {
            account_id: member
            for account_id in accounts
            if (member := self._members.get(account_id)) is not None
            and member.account.version == current[account_id]
        }
        self.hits += len(found)
        missing = [account_id for account_id in accounts if account_id not in found]
        found.update(self.load(connection, shard, missing, position))
        self._members.update(found)
        return found

    def load(
        self, connection: Connection, shard: int, accounts: Sequence[UUID], up_to: int
    ) -> dict[UUID, Member]:
        """Fold the accounts' histories up to a position."""
        loaded: dict[UUID, Member] = {}
        for start in range(0, len(accounts), LOAD_ACCOUNTS):
            some = accounts[start : start + LOAD_ACCOUNTS]
            loaded.update(self._folded(histories(connection, shard, some, up_to)))
        return loaded

    def _folded(self, entries: Iterable[Entry]) -> dict[UUID, Member]:
        loaded: dict[UUID, Member] = {}
        for entry in entries:
            member = loaded.get(entry.account_id)
            if member is None:
                member = loaded[entry.account_id] = Member(entry, self._keep)
            member.fold(entry, decode(entry))
        self.loads += len(loaded)
        return loaded

    def trim(self) -> None:
        """Forget what is too much."""
        while len(self._members) > self._size:
            self._members.popitem(last=False)
