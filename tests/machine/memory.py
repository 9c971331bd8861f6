"""A ledger in memory: the real batch, deciding and numbering, with dictionaries for the tables.

What PostgreSQL does between reading and storing is done here the plain way, so that thousands of
histories can be lived through. Nothing of the ledger's own code is replaced: who is addressed, what
is a duplicate, which facts a decision gets, the positions and the hash chain are all its own.
"""

from collections.abc import Iterable
from datetime import date
from uuid import UUID

import msgspec

from ledger.accounts import AccountKey, account_key_of
from ledger.batch import Batch, Stock
from ledger.cache import Cached
from ledger.chain import genesis
from ledger.core.account import Account
from ledger.core.program.timeline import Timeline
from ledger.core.promo_codes import digest
from ledger.deciding import decide_all
from ledger.leases import Leases
from ledger.linked import followed, may_decide, other_keys
from ledger.lookups import HeadRow, InputKey
from ledger.numbering import DueRow, number
from ledger.promo_codes import CodeRow, Codes
from ledger.received import Received, received, tick
from ledger.sharding import shard_of
from ledger.work import Work, claimed_by
from schemas.decisions import AccountEvent, Effect
from schemas.fields import Instant
from schemas.inputs import (
    InputEvent,
    MemberEnrolled,
    MemberErased,
    MemberUpdated,
    RewardClaim,
)

LEDGER_ID = UUID(int=1)
PROGRAM = "machine"
SHARDS = 2
"""More than one, so that members meet across shards and within one."""

EPOCH_2000: Instant = 946_684_800_000_000
FAR: Instant = 2**62
"""The wall clock: nothing is from the future."""


decode = msgspec.json.Decoder(AccountEvent).decode


def columns(row: bytes) -> list[bytes]:
    """The columns of a stored row: each has its length before it."""
    found, place = [], 0
    while place < len(row):
        length = int.from_bytes(row[place : place + 4], "big")
        found.append(row[place + 4 : place + 4 + length])
        place += 4 + length
    return found


class Broken(AssertionError):
    """The ledger failed at an input: it would have been a dead letter `internal_error`."""


class Stored:
    """What an append has stored of one event."""

    def __init__(self, shard: int, position: int, row: bytes, link: bytes) -> None:
        self.shard = shard
        self.position = position
        self.row = row
        self.link = link


class MemoryLedger:
    """One ledger. `log`: by shard, in order; `due`: the due rows; `sent`: effects not yet taken.
    `spent` of each budget; `codes`: those generated, by digest; `stock` of rewards; `segments` of
    each member now."""

    def __init__(self, programs: Timeline) -> None:
        self.programs = programs
        self.accounts: dict[AccountKey, Account] = {}
        self.inputs: dict[InputKey, tuple[bytes, int]] = {}
        self.log: dict[int, list[Stored]] = {shard: [] for shard in range(SHARDS)}
        self.due: dict[bytes, DueRow] = {}
        self.birthdays: dict[str, date] = {}
        self.member_keys: dict[str, bytes] = {}
        self.sent: list[tuple[int, int, int, Effect]] = []
        self.totals = {
            name: budget.total
            for _, program in programs.versions
            for name, budget in program.budgets.items()
        }
        self.spent = dict.fromkeys(self.totals, 0)
        self.codes: dict[bytes, CodeRow] = {}
        self.stock: dict[str, Stock] = {}
        self.segments: dict[str, frozenset[str]] = {}
        self.heads = {
            shard: HeadRow(shard, 0, genesis(LEDGER_ID, shard), EPOCH_2000, EPOCH_2000, 0, FAR)
            for shard in range(SHARDS)
        }

    def account(self, member_id: str) -> Account:
        """The account as it is now."""
        key = (shard_of(member_id, SHARDS), member_id)
        return self.accounts.get(key) or Account.new(member_id)

    def handle(self, event: InputEvent) -> Work:
        """One input, as the door takes it."""
        return self._append(received(event))

    def tick(self, member_id: str, until: Instant) -> None:
        """The scheduler looks after one account."""
        self._append(tick(member_id, until))

    def tick_due(self, until: Instant) -> None:
        """The scheduler looks after every account that its due row names."""
        for row in list(self.due.values()):
            if row.due_at is not None and row.due_at <= until:
                self.tick(row.member_id, until)

    def _append(self, item: Received) -> Work:
        batch = Batch([item], SHARDS, FAR, 0)
        shards = set(range(SHARDS))
        for shard, head in self.heads.items():
            batch.base_on(shard, head.position)
        for shard, keys in batch.keys(shards).items():
            self._look_up(batch, shard, keys)
        self._find(batch, batch.accounts(shards))
        while batch.linked and (found := followed(batch)):
            self._find(batch, found)
        if batch.linked:
            for shard, keys in other_keys(batch, shards).items():
                self._look_up(batch, shard, keys)
        if self.programs.asks_outside:
            for asked in batch.works:
                for member_id in may_decide(batch, asked):
                    batch.birthdays[member_id] = self.birthdays.get(member_id)
                    moment = (member_id, asked.item.occurred_at)
                    batch.segments[moment] = self.segments.get(member_id, frozenset())
        batch.member_keys.update(self.member_keys)
        self._read_shared(batch)
        decide_all(batch, shards, self.programs)
        (work,) = batch.works
        for _, failure in batch.failures.values():
            raise Broken(f"deciding on a {work.type_name} failed: {failure!r}") from failure
        rows = number(batch, self.heads, self.programs, retry=False)
        for shard, log in rows.logs.items():
            # What COPY gets: the number of columns, the columns, the length of the hash, the hash.
            first = self.heads[shard].position + 1
            for place, packed in enumerate(log.rows):
                row, link = packed[2:-36], packed[-32:]
                self.log[shard].append(Stored(shard, first + place, row, link))
            head = self.heads[shard]
            decided_to = rows.decided_to[shard]
            self.heads[shard] = HeadRow(
                shard, log.position, log.hash, EPOCH_2000, decided_to, head.due_epoch, FAR
            )
        for held, fork in batch.forks.items():
            self.accounts[held] = fork.account
        self._profile(work, batch)
        self._use_shared(work, batch)
        if work.key and work.kind in ("applied", "refused", "waiting"):
            assert work.position is not None
            self.inputs[work.shard, work.key] = (work.content, work.position)
        for due in rows.due:
            self.due[due.account_id] = due
        for shard, log in rows.logs.items():
            for stored in self.log[shard][-len(log.rows) :]:
                self._effects(stored)
        return work

    def add_code(self, code: str, series: str, member_id: str | None, uses: int) -> None:
        """A code was generated (normal form)."""
        self.codes[digest(code)] = CodeRow(series, member_id, uses)

    def _read_shared(self, batch: Batch) -> None:
        """What all members share. Whichever shard asks holds all that is left of a budget."""
        batch.stock = dict(self.stock)
        if not batch.pays():
            return
        left = {name: total - self.spent[name] for name, total in self.totals.items()}
        batch.leases = Leases(tuple(sorted(left)))
        batch.leases.know((name, n, left[name], 0) for name in left for n in range(SHARDS))
        batch.codes = Codes(batch.codes_named())
        batch.codes.know({c: row for c, row in self.codes.items() if c in batch.codes.named})

    def _use_shared(self, work: Work, batch: Batch) -> None:
        for (budget, _), used in (batch.leases.used() if batch.leases else {}).items():
            self.spent[budget] += used
            assert 0 <= self.spent[budget] <= self.totals[budget], f"budget {budget} is overspent"
        for code, uses in (batch.codes.total() if batch.codes else {}).items():
            row = self.codes[code]
            self.codes[code] = CodeRow(row.series, row.member_id, row.uses_left - uses)
            assert row.uses_left >= uses, "a code was used too often"
        event = work.item.event
        if work.kind == "applied" and isinstance(event, RewardClaim):
            claimed = claimed_by(work)
            if claimed is not None and claimed.number is not None:
                known = self.stock.get(claimed.reward_id, Stock())
                self.stock[claimed.reward_id] = known._replace(given=known.given + 1)
                assert claimed.number == known.given + 1, "a unit was given twice"

    def _profile(self, work: Work, batch: Batch) -> None:
        """The table of profiles, of which rules ask for the birthday, and the members' keys."""
        event, member_id = work.item.event, work.member_id
        if work.kind != "applied":
            return
        if isinstance(event, MemberErased):
            self.birthdays.pop(member_id, None)
            self.member_keys.pop(member_id, None)
        elif isinstance(event, MemberEnrolled | MemberUpdated):
            if member_id in batch.member_keys:
                self.member_keys[member_id] = batch.member_keys[member_id]
            told = event.data.profile.birthday
            if isinstance(told, date):
                self.birthdays[member_id] = told
            elif told is None or isinstance(event, MemberEnrolled):
                self.birthdays.pop(member_id, None)

    def _look_up(self, batch: Batch, shard: int, keys: list[bytes]) -> None:
        for key in keys:
            if (shard, key) in self.inputs:
                batch.stored[shard, key] = self.inputs[shard, key]

    def _find(self, batch: Batch, places: Iterable[AccountKey]) -> None:
        for place in places:
            batch.bases[place] = found = self._cached(place)
            if found.account.merged_into or found.account.merged_from:
                batch.linked = True

    def _effects(self, stored: Stored) -> None:
        event = decode(columns(stored.row)[-1])
        for n, effect in enumerate(event.effects):
            self.sent.append((stored.shard, stored.position, n, effect))

    def _cached(self, key: AccountKey) -> Cached:
        account = self.accounts.get(key) or Account.new(key[1])
        account_id = account_key_of(PROGRAM, key[1])
        row = self.due.get(account_id)
        if row is None:
            return Cached(account, account_id)
        return Cached(account, account_id, row.due_at, self.heads[key[0]].due_epoch)
