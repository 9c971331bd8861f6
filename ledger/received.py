"""What goes through the one door and what comes back: plain values, no behaviour.

A `Received` is one input as it came: decoded, or with the reason why it could not be, or a task of
the ledger's own (a tick of the scheduler, a profile to be looked at again). A `SourcePosition` says
which stretch of Kafka a batch covers, so that the append can move the stored offsets with it. Every
input gets one `Outcome`.
"""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from schemas.decisions import AccountEvent
from schemas.decode import instant_of
from schemas.fields import Instant
from schemas.inputs import InputEvent

INPUTS_MAX = 500
"""Inputs of one call: one append takes about 50 ms, short enough for tills that wait for a head."""

DIRECT = "direct"
"""The source under which inputs without a Kafka record are counted."""

COMMANDS = "commands"
"""The topic of commands: how each of its records ended is told to its sender."""

OutcomeKind = Literal["applied", "duplicate", "refused", "waiting", "dead_lettered", "skipped"]


class RecordRef(Struct, frozen=True, gc=False):
    """Where a record lies in Kafka, and what it held. `timestamp`: milliseconds since 1970."""

    topic: str
    partition: int
    offset: int
    key: bytes | None = None
    value: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp: int | None = None


class Problem(Struct, frozen=True, gc=False):
    """Why an input could not be understood: stable code, JSON path, one sentence."""

    code: str
    path: str
    message: str


class Tick(Struct, frozen=True, gc=False):
    """The scheduler asks to bring an account up to `until`. `shard` only for accounts whose shard
    is not that of their id (the anonymous ones)."""

    member_id: str
    until: Instant
    shard: int | None = None


class ProfileTask(Struct, frozen=True, gc=False):
    """A program version asks something new: look again at the member's profile, as it is known."""

    member_id: str


class Received(Struct, frozen=True, gc=False):
    """One input: exactly one of `event`, `undecodable`, `tick` and `profile` is set.

    `occurred_at` is the event's time. `content` may be left empty: the ledger computes it. `asked`:
    the sender waits for the answer and gets all of it, so that no dead letter is kept but for a bug
    of ours. `untimed`: the sender named no moment, `occurred_at` is when it came this time; if it
    was taken before, the call raises TakenBefore. `keyed`: the event's id is an idempotency key of
    the sender's: with another input of its type and member it is a conflict.
    """

    event: InputEvent | None = None
    occurred_at: Instant = 0
    content: bytes = b""
    record: RecordRef | None = None
    undecodable: Problem | None = None
    tick: Tick | None = None
    profile: ProfileTask | None = None
    asked: bool = False
    untimed: bool = False
    keyed: bool = False


class TopicMove(Struct, frozen=True):
    """One topic-partition's stretch: records from `from_offset` (where the stretch before ended) up
    to `next_offset`. `event_time`: see the scheduler's watermark. `topic_id`: Kafka's, None if it
    does not tell. `begun`: an offset of it was stored before, so its row must be there."""

    topic: str
    from_offset: int
    next_offset: int
    last_checksum: bytes = b""
    topic_id: bytes | None = None
    event_time: Instant | None = None
    begun: bool = False


class SourcePosition(Struct, frozen=True):
    """Which offsets a batch moves: of one partition number, in several topics."""

    group: str
    partition: int
    moves: tuple[TopicMove, ...]


Sources = Sequence[SourcePosition]
"""Which offsets an append moves: of no partition number (nothing came from Kafka), of one, or of
several of one group."""


class StoredPosition(Struct, frozen=True):
    """Up to where a topic-partition was handled. `read_to`: from `next_offset` to there lies no
    record, as far as anyone has looked."""

    next_offset: int
    topic_id: bytes | None
    last_checksum: bytes | None
    event_time: Instant | None = None
    read_to: int | None = None


class Outcome(Struct, frozen=True, gc=False):
    """How one input ended. `position`: of the event that decided it, in `shard`.

    `code` and `message` tell why an input was refused or dead-lettered; `internal_error` as code
    means that the ledger itself failed, which the worker counts. `effects`: how many effects its
    events ask for, which are to be published. Only for who `asked`: `decision`, the event that
    answers the input (None for what changed nothing), of `member_id`; `balance`, the points
    available (less debts), pending and reserved after it.
    """

    kind: OutcomeKind
    shard: int | None = None
    position: int | None = None
    code: str | None = None
    message: str | None = None
    effects: int = 0
    path: str | None = None
    decision: AccountEvent | None = None
    member_id: str = ""
    balance: tuple[int, int, int] | None = None


INTERNAL_ERROR = "internal_error"
"""The code of a dead letter whose cause is a bug of ours."""


def asked(event: InputEvent, *, timed: bool = True, keyed: bool = False) -> Received:
    """The input of a sender who waits for the answer; `timed`: and who named its moment; `keyed`:
    and whose idempotency key is its id."""
    return Received(event, instant_of(event), asked=True, untimed=not timed, keyed=keyed)


def received(event: InputEvent, record: RecordRef | None = None) -> Received:
    """The input that a decoded event makes."""
    return Received(event, instant_of(event), record=record)


def undecodable(record: RecordRef, code: str, path: str, message: str) -> Received:
    """The input that a record makes which could not be decoded."""
    return Received(record=record, undecodable=Problem(code, path, message))


def tick(member_id: str, until: Instant, shard: int | None = None) -> Received:
    """The input that settles an account."""
    return Received(occurred_at=until, tick=Tick(member_id, until, shard))


def profile_task(member_id: str) -> Received:
    """The input that looks at a member's profile again."""
    return Received(profile=ProfileTask(member_id))


def source_of(item: Received) -> str:
    """Under which source the input is counted: its topic, or `direct`."""
    return item.record.topic if item.record is not None else DIRECT


def internal_errors(outcomes: Sequence[Outcome]) -> int:
    """How many of the outcomes are failures of the ledger itself."""
    return sum(outcome.code == INTERNAL_ERROR for outcome in outcomes)
