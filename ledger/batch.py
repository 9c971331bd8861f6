"""The inputs of one append, prepared: who each addresses, by what it is known, what it needs.

Preparing asks nothing of the database. Here also live the checks that no account is needed for: an
event that could not be decoded, one on another topic than its type's, one from the future.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence, Set
from datetime import date
from typing import Any, NamedTuple, TypeVar

from ledger.accounts import AccountKey
from ledger.cache import Cached
from ledger.core.account import Account
from ledger.core.calendar import format_instant
from ledger.core.pairs import PAIRS, other_of
from ledger.dedupe import WITH_PROFILE, content_of, key_of, purchase_key
from ledger.errors import BatchRefused
from ledger.leases import Leases
from ledger.lookups import InputKey, MemberMoment
from ledger.promo_codes import Codes, named_code
from ledger.received import DIRECT, INPUTS_MAX, Problem, Received, SourcePosition, source_of
from ledger.sharding import shard_of
from ledger.work import NO_SHARD, Fork, KnownProfile, Work
from schemas.fields import Instant
from schemas.inputs import (
    TOPIC_OF_TYPE,
    AccountMerge,
    ActivityCompleted,
    InputEvent,
    PurchaseCompleted,
    PurchaseReturned,
    ReferralRegistered,
    SurveyCompleted,
)
from schemas.normal import subject_of
from schemas.routing import TYPE_NAMES, type_of
from schemas.routing import key_of as routing_key

T = TypeVar("T")

_PAIR_NAMES = frozenset(TYPE_NAMES[kind] for kind in PAIRS)

TICK = "tick"
"""The type of a scheduler's input; ticks are not counted among the inputs."""

PROFILE = "profile"
"""The type of a task to look at a profile again; not counted either."""

OWN = frozenset((TICK, PROFILE))
"""The types of the ledger's own tasks."""

UNKNOWN = "unknown"
"""The type under which an input is counted that could not be decoded."""


PAYING = (PurchaseCompleted, ActivityCompleted, SurveyCompleted)
"""Inputs whose decision may use a budget or a promo code."""

_GIVING_BACK = (PurchaseReturned, AccountMerge)
"""Inputs whose decision may give some of it back: a merge, by a return that waited."""


class Stock(NamedTuple):
    """Of a catalogue reward: how many voucher codes were loaded, how many units were given."""

    loaded: int = 0
    given: int = 0


class Batch:
    """Everything that one call of handle() knows. `stored`: keys taken before; `bases`: accounts as
    committed; `based_on`: the head positions that both hold for; `fresh_keys`: members whose key
    was made here, so that nothing stored is hashed under it; `birthdays`, `segments`: see
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
        self.works = [_work(item, shards, now, skew, retry) for item in inputs]
        self._types = {work.type_name for work in self.works}
        self._sources = {work.source for work in self.works}
        self.stored: dict[InputKey, tuple[bytes, int]] = {}
        self.taken: dict[InputKey, Work] = {}
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

    def with_linked(self, moved: Set[int]) -> set[int]:
        """The shards that have to be decided again together with `moved`: an input on two accounts
        is decided on both or on none, and what one shard leaves of a promo code is for the next."""
        found = set(moved)
        pairs = [] if self.codes is None else self.codes.shared()
        if self.linked:
            pairs += [
                work.shards
                for work in self.works
                if (work.also or work.parts) and work.shard != NO_SHARD
            ]
        while pairs:
            touched = [shards for shards in pairs if not found.isdisjoint(shards)]
            if not touched:
                break
            pairs = [shards for shards in pairs if found.isdisjoint(shards)]
            found = found.union(*touched)
        return found

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
        _drop(self.bases, gone)
        _drop(self.forks, gone)
        self.given = {}  # all claims of a batch are decided anew together
        if self.leases is not None:
            self.leases.forget(gone & self.leases.rooms.keys())
        if self.codes is not None:
            self.codes.forget(gone)

    def drop_below(self, topic: str, offset: int) -> None:
        """Skip the records of a topic that lie below a stored offset: they were handled before."""
        for work in self.works:
            record = work.item.record
            if record is not None and record.topic == topic and record.offset < offset:
                work.reset()
                work.kind = "skipped"
                work.shard = NO_SHARD

    def keys(self, shards: Set[int]) -> dict[int, list[bytes]]:
        """The dedupe keys to look up, by shard: of the inputs, and of the purchases that returns
        name."""
        keys: defaultdict[int, list[bytes]] = defaultdict(list)
        for work in self.works:
            if work.key and work.shard in shards:
                keys[work.shard].append(work.key)
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

    def follow(self) -> list[AccountKey]:
        """The accounts that inputs are forwarded to by those that were merged, one step of the way:
        those not known yet, or not as of a head. Their shards are needed too from now on."""
        found: dict[AccountKey, None] = {}
        for work in self.works:
            place = (work.shard, work.member_id)
            base = self.bases.get(place)
            while base is not None and base.account.merged_into is not None:
                place = self.place_of(base.account.merged_into)
                self.linked = True
                if place[0] not in work.also:
                    work.also = (*work.also, place[0])
                base = self.bases.get(place) if place[0] in self.based_on else None
                if base is None:
                    found[place] = None
        return list(found)

    def may_decide(self, work: Work) -> list[str]:
        """The members whose account may come to decide on the input: the one that it names and, if
        that one was merged or is within this batch, those that it is passed on to."""
        if not self.linked:
            return [work.member_id]
        starts = [work.member_id]
        starts += [w.item.event.data.into for w in self.of_types(AccountMerge)
                   if isinstance(w.item.event, AccountMerge)]  # fmt: skip
        found: dict[str, None] = {}
        for member_id in starts:
            found[member_id] = None
            base = self.bases.get(self.place_of(member_id))
            while base is not None and base.account.merged_into is not None:
                found[base.account.merged_into] = None
                base = self.bases.get(self.place_of(base.account.merged_into))
        return list(found)

    def other_keys(self, shards: Set[int]) -> dict[int, list[bytes]]:
        """The dedupe keys under which the purchases that returns name may have been taken, beside
        those of the members whom they name; by shard. Whoever is merged within this batch may be a
        buyer too: which account then decides is not known yet."""
        keys: defaultdict[int, list[bytes]] = defaultdict(list)
        merging: dict[str, None] = {}
        for work in self.of_types(AccountMerge):
            base = self.bases.get((work.shard, work.member_id))
            merged = () if base is None else base.account.merged_from
            merging |= dict.fromkeys((work.member_id, *merged))
        for work in self.of_types(PurchaseReturned):
            place = (work.shard, work.member_id)
            if work.shard in shards and place in self.bases:
                assert isinstance(work.item.event, PurchaseReturned)
                order_id = work.item.event.data.order_id
                for shard, key in self.order_places(work, order_id)[1:]:
                    keys[shard].append(key)
                for member_id in merging:
                    keys[self.place_of(member_id)[0]].append(purchase_key(member_id, order_id))
        return keys

    def order_places(self, work: Work, order_id: str) -> list[InputKey]:
        """Under which keys the purchase of an order may have been taken: each member whose account
        is now the one that decides on `work` may have been its buyer."""
        members, place = [work.member_id], (work.shard, work.member_id)
        account = self.known(place)
        while account.merged_into is not None:
            place = self.place_of(account.merged_into)
            members.append(place[1])
            account = self.known(place)
        for member_id in account.merged_from:
            if member_id not in members:
                members.append(member_id)
        return [(self.place_of(m)[0], purchase_key(m, order_id)) for m in members]

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


def _work(item: Received, shards: int, now: Instant, skew: Instant, retry: bool) -> Work:
    source = source_of(item)
    event = item.event
    if event is None:
        return _without_event(item, source, shards)
    type_name = type_of(event)
    member_id = subject_of(event)
    rejected = _wrong_topic(source, type_name) or _from_future(item, now, skew, retry)
    if rejected is not None:
        return Work(item, source, type_name, member_id=member_id, rejected=rejected)
    content = item.content
    if not content and type(event) not in WITH_PROFILE:
        content = content_of(event, item.occurred_at)
    shard = shard_of(routing_key(event), shards)
    work = Work(item, source, type_name, shard, member_id, key_of(event), content)
    if isinstance(event, PAIRS):
        other = other_of(event)
        assert other is not None, "each of these types names two"
        work.also = (shard_of(other, shards),)
    return work


def _without_event(item: Received, source: str, shards: int) -> Work:
    tick = item.tick
    if tick is not None:
        shard = tick.shard if tick.shard is not None else shard_of(tick.member_id, shards)
        return Work(item, source, TICK, shard, tick.member_id)
    if item.profile is not None:
        member_id = item.profile.member_id
        return Work(item, source, PROFILE, shard_of(member_id, shards), member_id)
    reason = item.undecodable or Problem(
        "empty", "$", "Neither an event nor a reason was handed over."
    )
    return Work(item, source, UNKNOWN, rejected=reason)


def _wrong_topic(source: str, type_name: str) -> Problem | None:
    """Who may write to one topic may not write what belongs to another."""
    if source == DIRECT or TOPIC_OF_TYPE[type_name] == source:
        return None
    return Problem(
        "wrong_topic",
        "$.type",
        f"{type_name} is not taken from the topic {source}: publish it to"
        f" {TOPIC_OF_TYPE[type_name]}.",
    )


def _from_future(item: Received, now: Instant, skew: Instant, retry: bool) -> Problem | None:
    latest = now
    arrived = item.record.timestamp if item.record is not None and not retry else None
    if arrived is not None and arrived >= 0:  # Kafka says -1 when it does not know
        latest = min(now, arrived * 1_000)
    if item.occurred_at <= latest + skew:
        return None
    return Problem(
        "from_future",
        "$.time",
        f"time is {format_instant(item.occurred_at)}, but it arrived at"
        f" {format_instant(latest)}: check the sender's clock, then retry.",
    )


def check_call(
    inputs: Sequence[Received], source: SourcePosition | None, retry_of: int | None
) -> None:
    """Raises BatchRefused for a call of handle() that breaks its contract."""
    if len(inputs) > INPUTS_MAX:
        raise BatchRefused(f"A batch has {len(inputs)} inputs; the most is {INPUTS_MAX}: split it.")
    if retry_of is not None and (len(inputs) != 1 or source is not None):
        raise BatchRefused("A retry is one input, without a source position.")
    if source is None:
        return
    topics: dict[str, Any] = {move.topic: move for move in source.moves}
    if len(topics) != len(source.moves):
        raise BatchRefused("A topic is named twice in the source position.")
    for item in inputs:
        record = item.record
        move = topics.get(record.topic) if record is not None else None
        if record is None or move is None or record.partition != source.partition:
            raise BatchRefused("An input is not of the stretch that the source position names.")
        if not move.from_offset <= record.offset < move.next_offset:
            raise BatchRefused(
                f"Offset {record.offset} of {record.topic} is outside of the stretch"
                f" {move.from_offset} to {move.next_offset}."
            )
