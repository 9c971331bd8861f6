"""One account decided again: each stored decision made anew, from its own input, and compared.

The account is folded from its first event. Before each stored decision its input is decided by
`ledger.core` with the program versions of the log and the facts on the event; what comes of it
(settling before it and returns released by it included) must be the stored bytes. Where it is not,
the first difference is told, the stored events are folded instead, and the next input is decided on
what they left: one wrong decision does not hide the next. Pure: what another account decided comes
in by `Others`. Nothing here reads a clock or appends.
"""

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import msgspec
from msgspec import Struct, field

from audit.differences import first_difference
from audit.recorded_inputs import RECOMPUTED, Recorded, input_of, profile_of
from ledger.core.account import Account
from ledger.core.decide import decide, decide_profile_again
from ledger.core.errors import InvariantBroken
from ledger.core.fold import evolve
from ledger.core.merging import absorb
from ledger.core.program.timeline import Timeline
from ledger.core.tick import decide_tick
from ledger.core.transfers import receive
from projections.errors import LogDamaged
from projections.log import Entry, decode
from schemas.decisions import (
    AccountAbsorbed,
    AccountEvent,
    AccountMerged,
    AccountSettled,
    Cause,
    InputForwarded,
    MemberProfiled,
    PointsReceived,
    PointsSent,
    PurchaseRewarded,
)
from schemas.fields import Instant
from schemas.log_events import encode_event

DIFFERENCES_KEPT = 100
"""Differences told in full, of each shard; more are only counted. Whoever has a hundred has seen
what is wrong, and a report stays small."""

TICK = "tick"
"""Under which name a settling is counted that no input of the account led to."""


class Difference(Struct, frozen=True):
    """Where a stored decision is not what deciding again gives. `field`: the path within the event;
    `stored` and `decided`: what is there, as JSON. `follows`: how many differences of this account
    came before it: it may only follow from those."""

    shard: int
    position: int
    member_id: str
    type: str
    field: str
    stored: str
    decided: str
    follows: int = 0


class Tally(Struct):
    """What deciding again came to. `inputs`: by event type, how many inputs were decided again;
    `ticks`: settlings by the scheduler; `events`: stored events that they made; `differing`: how
    many of them all differed; `forwarded`: inputs passed on, counted where they were decided;
    `unfolded`: events that could not be folded any more after a difference."""

    accounts: int = 0
    events: int = 0
    inputs: Counter[str] = field(default_factory=Counter)
    ticks: int = 0
    differing: int = 0
    forwarded: int = 0
    unfolded: int = 0
    differences: list[Difference] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Add another shard's."""
        for name in ("accounts", "events", "ticks", "differing", "forwarded", "unfolded"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.inputs.update(other.inputs)
        self.differences += other.differences

    @property
    def decided(self) -> int:
        """Inputs and ticks decided again."""
        return sum(self.inputs.values()) + self.ticks


class Others(Protocol):
    """The stored events of other accounts, for the second halves of transfers and merges."""

    def events_of(self, member_id: str) -> Iterable[AccountEvent]:
        """All events of the member's account, in order."""


class Ahead:
    """The entries of one account, of which the next ones can be looked at before they are taken."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._entries = iter(entries)
        self._seen: deque[tuple[Entry, AccountEvent]] = deque()

    def peek(self, n: int) -> tuple[Entry, AccountEvent] | None:
        """The n-th entry from here, decoded; None beyond the last. Raises Unreadable."""
        while len(self._seen) <= n:
            entry = next(self._entries, None)
            if entry is None:
                return None
            try:
                self._seen.append((entry, decode(entry)))
            except LogDamaged as damaged:
                raise Unreadable(entry, damaged.message) from damaged
        return self._seen[n]

    def take(self, n: int) -> list[AccountEvent]:
        """Take the next n."""
        return [self._seen.popleft()[1] for _ in range(n)]

    def skip(self) -> int:
        """Leave all that is left; how many that was."""
        left = len(self._seen) + sum(1 for _ in self._entries)
        self._seen.clear()
        return left


class Unreadable(Exception):
    """A stored event is none that this version knows."""

    def __init__(self, entry: Entry, why: str) -> None:
        super().__init__(why)
        self.entry = entry
        self.why = why


class _Unpaired(Exception):
    """The other half of a transfer or merge is not in the log of the other account."""


def decide_again(
    member_id: str, entries: Iterable[Entry], programs: Timeline, others: Others, tally: Tally
) -> Account | None:
    """Decide every input of one account again; its state after the last event, None where it could
    not be folded to the end."""
    ahead = Ahead(entries)
    known = tally.differing
    tally.accounts += 1
    try:
        return _decide_again(Account.new(member_id), ahead, programs, others, tally)
    except Unreadable as damaged:
        entry = damaged.entry
        _note(tally, entry, "(none)", ("", damaged.why, "an event that can be read"), known)
        tally.unfolded += ahead.skip()
        return None


def _decide_again(
    account: Account, ahead: "Ahead", programs: Timeline, others: Others, tally: Tally
) -> Account | None:
    known = tally.differing
    while (head := ahead.peek(0)) is not None:
        group = next_group(ahead)
        before = account.fork()
        made, wrong = _again(account, group, programs, others)
        name = _name(group)
        if name is None:
            tally.forwarded += 1
        elif name == TICK:
            tally.ticks += 1
        else:
            tally.inputs[name] += 1
        found = wrong or _compare(ahead, made)
        if found is None:
            ahead.take(len(made))
            tally.events += len(made)
            continue
        place, path, stored, decided = found
        differs = ahead.peek(place) or ahead.peek(len(group) - 1) or head
        kind = type(differs[1]).__name__
        _note(tally, differs[0], kind, (path, stored, decided), known)
        account = before
        size = max(len(group), 1) + released(before, group[-1])
        if not _fold(account, ahead, size, tally, known):
            return None
    return account


def _note(tally: Tally, entry: Entry, kind: str, found: tuple[str, str, str], known: int) -> None:
    follows = tally.differing - known
    tally.differing += 1
    if len(tally.differences) < DIFFERENCES_KEPT:
        tally.differences.append(
            Difference(entry.shard, entry.position, entry.member_id, kind, *found, follows)
        )


def _fold(account: Account, ahead: Ahead, size: int, tally: Tally, known: int) -> bool:
    """Fold the stored events in the place of those decided; whether that can be done."""
    for _ in range(size):
        head = ahead.peek(0)
        if head is None:
            break
        try:
            evolve(account, head[1])
        except (InvariantBroken, LookupError, ValueError, AssertionError) as error:
            told = tally.differences[-1:]  # of this event itself, or of one before it
            if not told or told[0].position != head[0].position:
                kind = type(head[1]).__name__
                _note(tally, head[0], kind, ("", str(error), "an event that can be folded"), known)
            tally.unfolded += ahead.skip()
            return False
        ahead.take(1)
        tally.events += 1
    return True


def released(before: Account, decision: AccountEvent) -> int:
    """How many returns had waited for this purchase: so many events follow it."""
    if not isinstance(decision, PurchaseRewarded):
        return 0
    return len(before.waiting.get(decision.purchase.order_id, ()))


def next_group(ahead: Ahead) -> list[AccountEvent]:
    """The next stored decision, with the settling before it if that is its own. A tick at the very
    moment of the next input, next to it in the log, is told by neither and makes no difference."""
    first = ahead.peek(0)
    assert first is not None, "asked for at the end only"
    entry, event = first
    if not isinstance(event, AccountSettled):
        return [event]
    following = ahead.peek(1)
    if following is None:
        return [event]
    next_entry, decision = following
    if (
        next_entry.position != entry.position + 1
        or decision.occurred_at != event.occurred_at
        or isinstance(decision, AccountSettled | InputForwarded)
        or (isinstance(decision, MemberProfiled) and decision.kind == RECOMPUTED)
    ):
        return [event]
    return [event, decision]


def _name(group: Sequence[AccountEvent]) -> str | None:
    decision = group[-1]
    if isinstance(decision, AccountSettled):
        return TICK
    return None if isinstance(decision, InputForwarded) else type(decision).__name__


Found = tuple[int, str, str, str]
"""The place among the next stored events, the path in that event, what is stored, what decided."""


def _again(
    account: Account, group: Sequence[AccountEvent], programs: Timeline, others: Others
) -> tuple[Sequence[AccountEvent], Found | None]:
    """What deciding again gives, applied to `account`; or why it gives nothing."""
    decision = group[-1]
    try:
        return _decided(account, decision, programs, others), None
    except _Unpaired as missing:
        return (), (len(group) - 1, "cause", str(missing), "the half of the same cause")
    except Exception as error:  # whatever the damaged state or event made the core trip over
        why = f"cannot be decided: {type(error).__name__}: {error}"
        return (), (len(group) - 1, "", type(decision).__name__, why)


def _decided(
    account: Account, decision: AccountEvent, programs: Timeline, others: Others
) -> Sequence[AccountEvent]:
    if isinstance(decision, AccountSettled):
        return decide_tick(account, decision.occurred_at, programs)
    if isinstance(decision, InputForwarded):
        return _forwarded(account, decision, programs)
    if isinstance(decision, PointsReceived):
        sent = _sent(others, decision, account.member_id)
        return receive(account, sent, decision.sender, programs)
    if isinstance(decision, AccountAbsorbed):
        ended, merged = _ended(others, decision, account.member_id)
        return absorb(account, ended, merged, programs)
    if isinstance(decision, MemberProfiled):
        return _profiled(account, decision, programs)
    found = input_of(decision, account.member_id)
    assert found is not None, "every other decision has an input of its own"
    return _decide(account, found, programs)


def _decide(account: Account, found: Recorded, programs: Timeline) -> list[AccountEvent]:
    return decide(account, found.event, found.occurred_at, programs, found.facts, found.addressed)


def _forwarded(
    account: Account, stored: InputForwarded, programs: Timeline
) -> Sequence[AccountEvent]:
    """Where an input goes in the end depends on later merges too: that much is taken as stored.
    What it led to there is decided again in that account."""
    assert account.status == "merged", "only a merged account passes inputs on"
    at = stored.occurred_at
    event = InputForwarded(
        occurred_at=at,
        program=programs.at(at).version,
        cause=stored.cause,
        to=stored.to,
        input_type=stored.input_type,
    )
    evolve(account, event)
    return [event]


def _profiled(
    account: Account, stored: MemberProfiled, programs: Timeline
) -> Sequence[AccountEvent]:
    """The outcomes of a profile's conditions: those of the version in force and of the later ones
    that were published by then. How many those were, the conditions on the event tell."""
    found = input_of(stored, account.member_id)
    made: Sequence[AccountEvent] = ()
    for known in _published(programs, stored.occurred_at):
        fork = account.fork()
        if found is None:
            profile, at = profile_of(stored), stored.occurred_at
            made = decide_profile_again(fork, profile, at, known)
        else:
            made = _decide(fork, found, known)
        last = made[-1] if made else None
        if isinstance(last, MemberProfiled) and last.outcomes.keys() == stored.outcomes.keys():
            break
    account.become(fork)
    return made


def _published(programs: Timeline, at: Instant) -> Iterator[Timeline]:
    """The timeline as it is, then as it was before each later version was published."""
    yield programs
    versions = programs.versions
    for count in range(len(versions) - 1, 0, -1):
        if versions[count][0] <= at:
            return
        yield Timeline(versions[:count])


def _sent(others: Others, received: PointsReceived, member_id: str) -> PointsSent:
    for event in others.events_of(received.sender):
        if (
            isinstance(event, PointsSent)
            and event.cause == received.cause
            and event.to == member_id
            and event.occurred_at == received.occurred_at
        ):
            return event
    raise _unpaired(received.sender, "PointsSent", received.cause)


def _ended(
    others: Others, absorbed: AccountAbsorbed, member_id: str
) -> tuple[Account, AccountMerged]:
    """The account that ended, as it was before it did, and the event that ended it."""
    ended = Account.new(absorbed.merged)
    for event in others.events_of(absorbed.merged):
        if isinstance(event, AccountMerged) and event.into == member_id:
            return ended, event
        evolve(ended, event)
    raise _unpaired(absorbed.merged, "AccountMerged", absorbed.cause)


def _unpaired(member_id: str, kind: str, cause: Cause | None) -> _Unpaired:
    told = "none" if cause is None else f"{cause.source} {cause.id}"
    return _Unpaired(f"member {member_id} has no {kind} of cause {told}")


def _compare(ahead: Ahead, made: Sequence[AccountEvent]) -> Found | None:
    """The first difference between what was decided and what is stored next; None: equal bytes."""
    if not made:
        head = ahead.peek(0)
        assert head is not None, "something is stored"
        return 0, "", type(head[1]).__name__, "nothing"
    for place, event in enumerate(made):
        stored = ahead.peek(place)
        if stored is None:
            return place - 1, "", "nothing follows", f"{type(event).__name__} follows"
        payload = encode_event(event)
        if payload != stored[0].payload:
            return place, *first_difference(bytes(stored[0].payload), payload)
    return None


def as_json(tally: Tally) -> dict[str, object]:
    """The tally for programs."""
    found = msgspec.to_builtins(tally)
    assert isinstance(found, dict)
    return {**found, "inputs": dict(sorted(tally.inputs.items())), "decided": tally.decided}
