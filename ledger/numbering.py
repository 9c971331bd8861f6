"""Under the lock: give the decided events their positions and gather every row of the append.

Pure: takes the decided batch and the locked heads, returns what the transaction writes. One place
decides what counts as which outcome, so that the sum over outcomes is always the number of inputs.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec import Struct, field

from ledger import command_outcomes
from ledger.batch import Batch
from ledger.command_outcomes import Told
from ledger.core import snapshot
from ledger.core.program.timeline import Timeline
from ledger.core.settle import next_due
from ledger.dedupe import return_key
from ledger.headers import write_headers
from ledger.leases import LeaseKey
from ledger.lookups import HeadRow, InputKey
from ledger.preparing import OWN
from ledger.received import INTERNAL_ERROR, RecordRef
from ledger.recorder import PackedEvent, ShardLog, pack_dead_letter, pack_input
from ledger.work import Fork, Work
from schemas.decisions import (
    AccountClosed,
    AccountEvent,
    AccountSettled,
    InputRefused,
    MemberErased,
    PurchaseReturned,
    PurchaseRewarded,
)
from schemas.fields import ID_PATTERN, Instant
from schemas.inputs import ReturnData

SNAPSHOT_EVERY = 128
"""Events of an account between two snapshots. Folding them again costs an account that is not in
memory at most 1.3 ms (10 µs each); a snapshot after a year of weekly baskets has 11 kB and is
encoded in 20 µs: 85 bytes for each event, which itself has a thousand."""

_MEMBER_ID = re.compile(ID_PATTERN.encode())

RETURN_TYPE = "purchase.returned.v1"

TAKEN = frozenset(("applied", "refused", "waiting"))
"""Outcomes that use up the input's key."""


class CountKey(NamedTuple):
    """A row of the outcome counts, but for its slot."""

    source: str
    type_name: str
    outcome: str


class DueRow(NamedTuple):
    """What to write of an account's due row; `due_at` None deletes it."""

    shard: int
    account_id: bytes
    member_id: str
    due_at: Instant | None


class Rows(Struct):
    """What one append writes."""

    logs: dict[int, ShardLog] = field(default_factory=dict)
    inputs: list[bytes] = field(default_factory=list)
    dead_letters: list[bytes] = field(default_factory=list)
    counts: Counter[CountKey] = field(default_factory=Counter)
    waiting: dict[InputKey, str] = field(default_factory=dict)
    released: list[tuple[InputKey, str]] = field(default_factory=list)
    due: list[DueRow] = field(default_factory=list)
    due_moved: set[int] = field(default_factory=set)
    decided_to: dict[int, Instant] = field(default_factory=dict)
    snapshots: list[tuple[int, bytes, int, bytes]] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    budgets: dict[LeaseKey, int] = field(default_factory=dict)
    codes: dict[bytes, int] = field(default_factory=dict)


def number(batch: Batch, heads: Mapping[int, HeadRow], programs: Timeline, *, retry: bool) -> Rows:
    """The rows of the append. With `retry` the dead letter exists already and is not written."""
    rows = Rows()
    requests: list[bytes] = []
    for work in batch.works:
        kind = work.kind
        if work.packed:
            _place(rows, work, heads)
            for part in work.parts:
                _add(rows, part.shard, part.packed, part.events, heads)
        if work.key and kind in TAKEN:
            assert work.position is not None
            rows.inputs.append(pack_input(work.shard, work.key, work.content, work.position))
            if work.request is not None:
                shard, key = work.request
                requests.append(pack_input(shard, key, work.key, work.position))
            if kind == "waiting":
                rows.waiting[work.shard, work.key] = work.source
        # A tick that fails is in the log of the process; it comes again, so no row for each time.
        elif kind == "dead_lettered" and not (retry or _told(work) or work.type_name in OWN):
            rows.dead_letters.append(_dead_letter(work))
    # In their order, for those of anonymous purchases wait for each other over all shards.
    rows.inputs += sorted(requests)
    if not retry:
        tally = Counter((work.source, work.type_name, work.kind) for work in batch.works)
        for (source, type_name, kind), n in tally.items():
            assert kind is not None
            if type_name not in OWN and kind != "skipped":
                rows.counts[CountKey(source, type_name, kind)] = n
    for work in batch.works:
        if work.events:
            _releases(rows, batch, work.member_id, work.shard, work.events, work.decisive)
        for part in work.parts:
            _releases(rows, batch, part.member_id, part.shard, part.events, part.decisive)
    for (shard, _), fork in batch.forks.items():
        if fork.events:
            _snapshot(rows, shard, fork)
        if fork.events or fork.ticked:
            _due(rows, shard, fork, heads[shard].due_epoch, programs)
    if batch.leases is not None:
        rows.budgets = {key: used for key, used in batch.leases.used().items() if used}
    if batch.codes is not None:
        rows.codes = batch.codes.total()
    if rows.due_moved:
        for (shard, _), fork in batch.forks.items():
            if shard in rows.due_moved and fork.due_epoch == heads[shard].due_epoch:
                fork.due_epoch += 1
    rows.told = command_outcomes.of_batch(batch, retry=retry)
    return rows


def _told(work: Work) -> bool:
    """Whether the sender, who waits for the answer, can do something about what is wrong with it:
    then it needs no dead letter. About a bug of ours nobody there can."""
    assert work.problem is not None
    return work.item.asked and work.problem.code != INTERNAL_ERROR


def _place(rows: Rows, work: Work, heads: Mapping[int, HeadRow]) -> None:
    first = _add(rows, work.shard, work.packed, work.events, heads)
    work.position = first + work.decisive


def _add(
    rows: Rows,
    shard: int,
    packed_events: Sequence[PackedEvent],
    events: Sequence[AccountEvent],
    heads: Mapping[int, HeadRow],
) -> int:
    """Give events the next positions of a shard; the position of the first."""
    log = rows.logs.get(shard)
    if log is None:
        head = heads[shard]
        log = rows.logs[shard] = ShardLog(
            shard, head.position, head.hash, max(head.now, head.recorded_at)
        )
        rows.decided_to[shard] = head.decided_to
    first = log.position + 1
    for packed, event in zip(packed_events, events, strict=True):
        log.add(packed)
        if event.occurred_at > rows.decided_to[shard]:
            rows.decided_to[shard] = event.occurred_at
    return first


def _releases(
    rows: Rows,
    batch: Batch,
    member_id: str,
    shard: int,
    events: Sequence[AccountEvent],
    decisive: int,
) -> None:
    """Waiting returns that these events of an account decided, or refused at their deadline."""
    for index, event in enumerate(events):
        if type(event) is PurchaseRewarded:
            continue  # it answers its input and ends nothing
        ended: list[tuple[str, str]] = []
        if isinstance(event, AccountSettled | MemberErased | AccountClosed):
            ended = [(return_id, "refused") for return_id in event.refused_returns]
        elif index > decisive:
            if isinstance(event, PurchaseReturned):
                ended = [(_name(event, event.returned.return_id), "applied")]
            elif isinstance(event, InputRefused) and event.input_type == RETURN_TYPE:
                returned = msgspec.json.decode(event.data, type=ReturnData)
                ended = [(_name(event, returned.return_id), "refused")]
        for name, outcome in ended:
            named, _, return_id = name.rpartition("/")
            own = not named  # else it named a member whose account was merged into this one
            place = (
                shard if own else batch.place_of(named)[0],
                return_key(member_id if own else named, return_id),
            )
            source = rows.waiting.pop(place, None)
            if source is None:
                rows.released.append((place, outcome))
            else:
                move_count(rows, source, RETURN_TYPE, "waiting", outcome)


def _name(event: AccountEvent, return_id: str) -> str:
    return f"{event.addressed}/{return_id}" if event.addressed else return_id


def move_count(rows: Rows, source: str, type_name: str, before: str, after: str) -> None:
    """One input that was counted as `before` counts as `after` from now on."""
    rows.counts[CountKey(source, type_name, before)] -= 1
    rows.counts[CountKey(source, type_name, after)] += 1


def _due(rows: Rows, shard: int, fork: Fork, epoch: int, programs: Timeline) -> None:
    """Write a due row when the account is due earlier than it says, or when nobody knows.

    A row that comes too early costs one look by the scheduler, one that comes too late an expiry.
    """
    due_at = next_due(fork.account, programs)
    known = fork.due_epoch == epoch
    if known:
        if due_at == fork.due_at:
            return
        later = due_at is None or (fork.due_at is not None and due_at > fork.due_at)
        if later and not fork.ticked:
            return
    if fork.ticked and not fork.events:
        # Others know a row that is about to come later, and no event tells them to forget it.
        rows.due_moved.add(shard)
    fork.due_at = due_at
    fork.due_epoch = epoch
    rows.due.append(DueRow(shard, fork.account_id, fork.account.member_id, due_at))


def _snapshot(rows: Rows, shard: int, fork: Fork) -> None:
    version = fork.account.version
    if version // SNAPSHOT_EVERY > fork.base.version // SNAPSHOT_EVERY:
        state = snapshot.encode(fork.account)
        rows.snapshots.append((shard, fork.account_id, version, state))


def _dead_letter(work: Work) -> bytes:
    record = work.item.record
    problem = work.problem
    assert problem is not None
    value = record.value if record is not None else _as_json(work)
    return pack_dead_letter(
        work.source,
        record.partition if record is not None else None,
        record.offset if record is not None else None,
        record.key if record is not None else None,
        value,
        write_headers(record.headers) if record is not None else None,
        record.timestamp if record is not None else None,
        work.type_name,
        work.member_id or _member_of_key(record),
        problem.code,
        problem.path,
        problem.message,
    )


def _member_of_key(record: RecordRef | None) -> str | None:
    """Whose record it probably was that could not be decoded: producers use the member_id as key.

    Known by it, the letter goes when that member is erased. None: the key can be no member_id.
    """
    if record is None or record.key is None:
        return None
    found = _MEMBER_ID.match(record.key)
    return found.group().decode() if found else None


def _as_json(work: Work) -> bytes | None:
    """An input that came without a record, as the record that would have brought it."""
    event = work.item.event
    return None if event is None else msgspec.json.encode(event)
