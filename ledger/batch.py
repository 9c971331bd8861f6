"""What is known of the inputs of one append while they are decided: what each needs, what was read.

Nothing here asks anything of the database. How an input is prepared is in `preparing`, how the
batch finds its way among accounts that were merged in `linked`.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from datetime import date
from typing import Any, NamedTuple, TypeVar

from ledger.accounts import AccountKey
from ledger.cache import Cached
from ledger.core.account import Account
from ledger.core.pairs import PAIRS, other_of
from ledger.dedupe import WITH_PROFILE, purchase_key
from ledger.leases import Leases
from ledger.lookups import InputKey, MemberMoment
from ledger.preparing import PROFILE, prepared
from ledger.promo_codes import Codes, named_code
from ledger.received import Received
from ledger.sharding import shard_of
from ledger.work import NO_SHARD, Fork, KnownProfile, Work
from schemas.fields import Instant
from schemas.inputs import (
    AccountMerge,
    ActivityCompleted,
    InputEvent,
    PurchaseCompleted,
    PurchaseReturned,
    ReferralRegistered,
    SurveyCompleted,
)
from schemas.routing import TYPE_NAMES

T = TypeVar("T")

_PAIR_NAMES = frozenset(TYPE_NAMES[kind] for kind in PAIRS)

PAYING = (PurchaseCompleted, ActivityCompleted, SurveyCompleted)
"""Inputs whose decision may use a budget or a promo code."""

_GIVING_BACK = (PurchaseReturned, AccountMerge)
"""Inputs whose decision may give some of it back: a merge, by a return that waited."""


class Stock(NamedTuple):
    """Of a catalogue reward: how many voucher codes were loaded, how many units were given."""

    loaded: int = 0
    given: int = 0


class Batch:
    """Everything that one call of handle() knows. `stored`: keys taken before; `requests`: inputs
    of this batch by the rows of their senders' idempotency keys; `bases`: accounts as committed;
    `based_on`: the head positions that both hold for; `fresh_keys`: members whose key was made
    here, so that nothing stored is hashed under it; `birthdays`, `segments`: see
    `member_facts`; `failures`: what deciding raised for reasons of ours, by the id() of the work;
    `leases`: what the shards may spend of budgets, where the program has any; `codes`: the
    generated promo codes named, where it has any; `stock`: of the catalogue rewards claimed, as
    stored; `given`: units of them that this batch gives; `lock_leases`, `lock_codes`: the
    budgets and promo codes of which it gives something back, as an attempt before it found out."""

    def __init__(
        self,
        inputs: Sequence[Received],
        shards: int,
        now: Instant,
        skew: Instant,
        *,
        retry: bool = False,
        may_call_back: bool = True,
        lock_budgets: bool = False,
    ) -> None:
        """`now`: the wall clock; `skew`: how far past it an event may lie. A `retry` is not bound
        by when its record arrived: what was the future then may be the past now. `may_call_back`:
        whether what other shards hold of a budget may be called back for it. `lock_budgets`:
        whether all budgets that it may use are locked before any is drawn on."""
        self.works = [prepared(item, shards, now, skew, retry) for item in inputs]
        self._types = {work.type_name for work in self.works}
        self._sources = {work.source for work in self.works}
        self.stored: dict[InputKey, tuple[bytes, int]] = {}
        self.taken: dict[InputKey, Work] = {}
        self.requests: dict[InputKey, Work] = {}
        self.bases: dict[AccountKey, Cached] = {}
        self.forks: dict[AccountKey, Fork] = {}
        self.member_keys: dict[str, bytes] = {}
        self.fresh_keys: set[str] = set()
        self.profiles: dict[str, KnownProfile] = {}
        self.birthdays: dict[str, date | None] = {}
        self.segments: dict[MemberMoment, frozenset[str]] = {}
        self.stock: dict[str, Stock] = {}
        self.given: dict[str, int] = {}
        self.based_on: dict[int, int] = {}
        self.failures: dict[int, tuple[Work, Exception]] = {}
        self.leases: Leases | None = None
        self.codes: Codes | None = None
        self.may_call_back = may_call_back
        self.lock_budgets = lock_budgets
        self.lock_leases: set[str] = set()
        self.lock_codes: set[bytes] = set()
        self._shards = shards
        self.linked = not self._types.isdisjoint(_PAIR_NAMES)
        """Whether an input may concern two accounts; nearly never, and then nobody looks."""

    def shards(self) -> list[int]:
        """The shards whose heads the batch needs, ascending."""
        needed = {work.shard for work in self.works if work.shard != NO_SHARD}
        if self.linked:
            needed.update(shard for work in self.works for shard in work.also)
        return sorted(needed)

    def place_of(self, member_id: str) -> AccountKey:
        """Where a member's account is."""
        return shard_of(member_id, self._shards), member_id

    def may_be_of(self, topic: str) -> bool:
        """Whether an input may have come by this topic."""
        return topic in self._sources

    def pays(self) -> bool:
        """Whether an input may use a budget, or give some of it back."""
        return bool(self.of_types(*PAYING, *_GIVING_BACK))

    def codes_named(self) -> dict[bytes, set[int]]:
        """The digests of what can be generated promo codes, and the shards whose inputs name
        them."""
        named: defaultdict[bytes, set[int]] = defaultdict(set)
        for shard, text in self.promo_codes():
            code = named_code(text)
            if code is not None:
                named[code].add(shard)
        return dict(named)

    def promo_codes(self) -> Iterator[tuple[int, str]]:
        """The promo codes that purchases name, as they are written, each with the shard."""
        for work in self.of_types(PurchaseCompleted):
            assert isinstance(work.item.event, PurchaseCompleted)
            for text in work.item.event.data.promo_codes:
                yield work.shard, text

    def of_types(self, *kinds: type[InputEvent]) -> list[Work]:
        """The works with such an event, in their order. Most batches hold none, and ask often."""
        names = {TYPE_NAMES[kind] for kind in kinds}
        if self._types.isdisjoint(names):
            return []
        return [work for work in self.works if work.type_name in names]

    def forget(self, shards: Iterable[int]) -> None:
        """Undo what was read and decided for these shards."""
        gone = set(shards)
        for work in self.works:
            if work.shard in gone:
                work.reset()
        _drop(self.stored, gone)
        _drop(self.taken, gone)
        self.requests = {at: work for at, work in self.requests.items() if work.shard not in gone}
        _drop(self.bases, gone)
        _drop(self.forks, gone)
        self.given = {}  # all claims of a batch are decided anew together
        if self.leases is not None:
            self.leases.forget(gone & self.leases.rooms.keys())
        if self.codes is not None:
            self.codes.forget(gone)

    def undecide(self) -> None:
        """Undo what was decided, for what is decided next: as if nothing were decided before."""
        self.taken = {}
        self.requests = {}
        self.forks = {}
        self.given = {}
        if self.leases is not None:
            self.leases.forget(list(self.leases.rooms))
        if self.codes is not None:
            self.codes.forget(list(self.codes.used))

    def drop_below(self, topic: str, partition: int, offset: int) -> None:
        """Skip the records of a topic-partition that lie below a stored offset: they were handled
        before."""
        for work in self.works:
            record = work.item.record
            if (
                record is not None
                and record.offset < offset
                and (record.topic, record.partition) == (topic, partition)
            ):
                work.reset()
                work.kind = "skipped"
                work.shard = NO_SHARD

    def keys(self, shards: Set[int]) -> dict[int, list[bytes]]:
        """The dedupe keys to look up, by shard: of the inputs, of their senders' requests, and of
        the purchases that returns name."""
        keys: defaultdict[int, list[bytes]] = defaultdict(list)
        for work in self.works:
            if work.key and work.shard in shards:
                keys[work.shard].append(work.key)
                if work.request is not None:
                    keys[work.request[0]].append(work.request[1])
        for work in self.of_types(PurchaseReturned):
            if work.key and work.shard in shards:
                assert isinstance(work.item.event, PurchaseReturned)
                order_id = work.item.event.data.order_id
                keys[work.shard].append(purchase_key(work.member_id, order_id))
        return keys

    def accounts(self, shards: Set[int]) -> Iterable[AccountKey]:
        """The accounts that deciding needs: those addressed, and the referrers named."""
        stored = self.stored
        wanted = dict.fromkeys(
            (work.shard, work.member_id)
            for work in self.works
            if work.shard in shards and (not stored or (work.shard, work.key) not in stored)
        )
        for work in self.of_types(ReferralRegistered):
            if (work.shard, work.member_id) in wanted:
                assert isinstance(work.item.event, ReferralRegistered)
                referrer = work.item.event.data.referrer_id
                wanted[shard_of(referrer, self._shards), referrer] = None
        for work in self.of_types(*PAIRS):
            if (work.shard, work.member_id) in wanted:
                assert work.item.event is not None
                other = other_of(work.item.event)
                assert other is not None, "each of these types names two"
                wanted[self.place_of(other)] = None
        return wanted

    def base_on(self, shard: int, position: int) -> list[AccountKey]:
        """From now on the batch is based on this position of the shard's head. Accounts of it that
        were read before (a referrer's, for what is told of it) are not as of it: they are forgotten
        and returned."""
        stale = [] if shard in self.based_on else [p for p in self.bases if p[0] == shard]
        for place in stale:
            del self.bases[place]
        self.based_on[shard] = position
        return stale

    def profile_members(self, shards: Set[int]) -> list[str]:
        """Members whose profile inputs are compared under a key of their own."""
        works = self.of_types(*WITH_PROFILE)
        return list({work.member_id: None for work in works if work.shard in shards})

    def profile_tasks(self, shards: Set[int]) -> list[str]:
        """Members whose profile is looked at again."""
        if PROFILE not in self._types:
            return []
        return [
            work.member_id
            for work in self.works
            if work.shard in shards and work.item.profile is not None
        ]

    def referrer(self, member_id: str) -> Account | None:
        """The account of a referrer as this batch knows it so far; None if it has no events."""
        account = self.known(self.place_of(member_id))
        return account if account.version else None

    def known(self, place: AccountKey) -> Account:
        """An account as this batch knows it so far; not to be changed."""
        fork = self.forks.get(place)
        return fork.account if fork is not None else self.bases[place].account


def _drop(mapping: dict[tuple[int, T], Any], shards: set[int]) -> None:
    for key in [key for key in mapping if key[0] in shards]:
        del mapping[key]
