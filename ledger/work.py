"""One input on its way through an append, and the state that the inputs of a batch share.

Everything here belongs to one call of handle() and dies with it: forks, loaded accounts, what the
database said of keys. Nothing of it reaches the cache before COMMIT was confirmed.
"""

from collections.abc import Iterable, Sequence

from msgspec import Struct, field

from ledger.core.account import Account
from ledger.dedupe import WITH_PROFILE
from ledger.errors import InternalErrors
from ledger.received import INTERNAL_ERROR, Outcome, OutcomeKind, Problem, Received
from ledger.recorder import PackedEvent
from schemas.decisions import AccountEvent, InputForwarded, PurchaseRewarded, RewardClaimed
from schemas.fields import Instant
from schemas.inputs import Profile, PurchaseCompleted

NO_SHARD = -2
"""The shard of an input that could not be decoded: it belongs to none."""


class KnownProfile(Struct, frozen=True):
    """A member's profile as the table holds it. `since`: the latest moment of its changes."""

    profile: Profile
    since: Instant


class Part(Struct, gc=False):
    """What an input led to on another account than the one that it addresses."""

    shard: int
    member_id: str
    events: Sequence[AccountEvent]
    packed: Sequence[PackedEvent]
    decisive: int


class Work(Struct, gc=False):
    """An input, who it addresses, by what it is known, and what was decided.

    `rejected`: why it can never be decided (found before any account is asked). `decisive`: the
    index in `events` of the event that answers the input; those before it settle, those after it
    release waiting returns. `twin`: for a duplicate within the batch, the work that was first.
    `member_key`: under which `content` was hashed, of an input with profile data. `also`: shards of
    the other accounts that it concerns, as far as is known before it is decided; `parts`: what was
    decided on those. Empty for nearly all. `balance`: available, pending and reserved after it, of
    what is told to its sender. `request`: shard and key of the row that its sender's idempotency
    key has beside the input's own.
    """

    item: Received
    source: str
    type_name: str
    shard: int = NO_SHARD
    member_id: str = ""
    key: bytes = b""
    content: bytes = b""
    member_key: bytes | None = None
    rejected: Problem | None = None
    kind: OutcomeKind | None = None
    problem: Problem | None = None
    events: Sequence[AccountEvent] = ()
    packed: Sequence[PackedEvent] = ()
    decisive: int = 0
    position: int | None = None
    twin: "Work | None" = None
    also: tuple[int, ...] = ()
    parts: Sequence[Part] = ()
    balance: tuple[int, int, int] | None = None
    request: tuple[int, bytes] | None = None

    @property
    def shards(self) -> set[int]:
        """Every shard that it concerns."""
        return {self.shard, *self.also, *(part.shard for part in self.parts)}

    def reset(self) -> None:
        """Forget what was decided (and a content hash whose key may have changed)."""
        if isinstance(self.item.event, WITH_PROFILE):
            self.content = self.item.content
        self.kind = None
        self.problem = None
        self.events = self.packed = self.parts = ()
        self.position = None
        self.twin = None
        self.balance = None


def claimed_by(work: Work) -> RewardClaimed | None:
    """The counted unit of a reward that the input was given, if it was: by the account that it
    names, or by the one that this was merged into."""
    for events, decisive in (
        (work.events, work.decisive),
        *((part.events, part.decisive) for part in work.parts),
    ):
        decision = events[decisive] if events else None
        if isinstance(decision, RewardClaimed) and decision.number is not None:
            return decision
    return None


def unknown_redemptions(works: Iterable[Work]) -> int:
    """How many purchases among them were recorded and named a redemption that nobody knows."""
    found = 0
    for work in works:
        event = work.item.event
        if isinstance(event, PurchaseCompleted) and event.data.redemption_id:
            decided = [*work.events, *(each for part in work.parts for each in part.events)]
            found += any(isinstance(e, PurchaseRewarded) and e.redemption_unknown for e in decided)
    return found


class Fork(Struct, gc=False):
    """An account as this batch changes it. `base` is what it was forked from and stays as it was.

    `owner`: the bytes that all its rows have in common. `ticked`: its due row is to be written
    exactly, not only when it comes earlier.
    """

    base: Account
    account: Account
    account_id: bytes
    owner: bytes
    due_at: Instant | None
    due_epoch: int
    events: list[AccountEvent] = field(default_factory=list)
    ticked: bool = False


def check_internal_errors(works: Sequence[Work], allowed: int) -> None:
    """Raises InternalErrors when more of the inputs than `allowed` met a bug of ours."""
    errors = sum(work.problem is not None and work.problem.code == INTERNAL_ERROR for work in works)
    if errors > allowed:
        raise InternalErrors(errors, len(works), allowed)


def outcome_of(work: Work) -> Outcome:
    """What the caller is told of an input, after its events were numbered."""
    assert work.kind is not None
    position = work.twin.position if work.twin is not None else work.position
    problem = work.problem
    decision, member_id = _answer(work) if work.item.asked else (None, "")
    return Outcome(
        work.kind,
        work.shard if work.shard >= 0 else None,
        position,
        problem.code if problem is not None else None,
        problem.message if problem is not None else None,
        sum([len(event.effects) for event in work.events]),
        problem.path if problem is not None else None,
        decision,
        member_id,
        work.balance,
    )


def _answer(work: Work) -> tuple[AccountEvent | None, str]:
    """The event that answers the input, and whose it is: where the account that was named passes
    inputs on, the event of the account that decided."""
    if not work.events:
        return None, work.member_id
    if isinstance(work.events[-1], InputForwarded):
        part = work.parts[0]
        return part.events[part.decisive], part.member_id
    return work.events[work.decisive], work.member_id
