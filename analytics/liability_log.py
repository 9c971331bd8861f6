"""The log as finance reads it: of each account what came into its lots, what left them, and when.

One fold serves every figure of the liability, so that they agree: the ledger's own fold and settle,
account by account, up to the positions that the read model `balances` has folded. Points only; one
account is in memory at a time.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from itertools import groupby, pairwise
from operator import attrgetter
from typing import NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Struct
from psycopg import Connection

from analytics.errors import AnalysisRefused
from audit.as_of_all import ACCOUNTS_PAGE, programs_known
from audit.member_log import LedgerFacts, ledger_facts
from ledger.core.account import Account
from ledger.core.calendar import period_bounds, period_key
from ledger.core.fold import evolve
from ledger.core.program.timeline import Timeline
from ledger.core.settle import settle
from ledger.sharding import ANONYMOUS_MEMBER
from projections.history import purchase_amount
from projections.log import accounts_after, decode, histories
from projections.lots import LotView, follow
from schemas.decisions import NO_LOT, AccountEvent, PurchaseRewarded
from schemas.fields import Instant

KINDS = (
    "granted",
    "redeemed",
    "restored",
    "expired",
    "revoked",
    "adjusted",
    "transferred",
    "debt_paid",
)
"""How points come into lots (above 0) and leave them (below 0). `restored`: spent and given back;
`debt_paid`: taken out of a lot to pay a debt."""

_KIND_OF = {
    "issued": "granted",
    "redeemed": "redeemed",
    "expired": "expired",
    "revoked": "revoked",
    "adjusted": "adjusted",
    "transferred": "transferred",
}
"""The accounts of the double entry outside a member's hands."""

Progress = Callable[[int, int], None]
"""Called with the events folded and those there are."""


class Moved(NamedTuple):
    """`points` came into `lot` (above 0) or left it, at `at`; `kind` is one of KINDS."""

    at: Instant
    kind: str
    points: int
    lot: int


class Story(Struct, kw_only=True):
    """One account up to a moment. `lots`: as they are then, the empty ones too. `activated`: points
    that became spendable; `debts`: how the debt changed; `sales`: money of purchases that granted
    points; each with its moment."""

    member_id: str
    lots: dict[int, LotView]
    moved: list[Moved]
    activated: list[tuple[Instant, int]]
    debts: list[tuple[Instant, int]]
    sales: list[tuple[Instant, int]]


class Book(NamedTuple):
    """What all figures need to know of the ledger. `values`: what a point is worth (minor units)
    from each moment on at which that changes."""

    ledger: LedgerFacts
    zone: ZoneInfo
    programs: Timeline
    values: tuple[tuple[Instant, int], ...]

    def value_at(self, at: Instant) -> int:
        """Minor units for a point at `at`; 0 before the first program."""
        place = bisect_right(self.values, at, key=lambda one: one[0])
        return self.values[place - 1][1] if place else 0

    def month(self, at: Instant) -> str:
        """The local month of a moment, `2017-06`."""
        return period_key(at, "month", self.zone)

    def month_bounds(self, at: Instant) -> tuple[Instant, Instant]:
        """Start and exclusive end of the local month that contains `at`."""
        return period_bounds(at, "month", self.zone)


def open_book(connection: Connection) -> Book:
    """Raises StartRefused (`no_ledger`)."""
    ledger = ledger_facts(connection)
    programs = programs_known(connection)
    values: list[tuple[Instant, int]] = []
    for start, program in programs.versions:
        value = program.form.point_value
        if not values or values[-1][1] != value:
            values.append((start, value))
    return Book(ledger, ZoneInfo(ledger.time_zone), programs, tuple(values))


def tell(events: Iterable[AccountEvent], member_id: str, until: Instant, book: Book) -> Story:
    """The story of one account of which `events` are all, in the log's order, up to and including
    `until`; what time alone brings by then is told too. Raises InvariantBroken."""
    account = Account.new(member_id)
    story = Story(member_id=member_id, lots={}, moved=[], activated=[], debts=[], sales=[])
    for event in events:
        evolve(account, event)
        _take(story, event, until)
    due = settle(account, until, book.programs) if until > account.settled_to else None
    if due is not None:
        _take(story, due, until)
    return story


def _take(story: Story, event: AccountEvent, until: Instant) -> None:
    follow(story.lots, event, until)
    if (
        isinstance(event, PurchaseRewarded)
        and event.occurred_at <= until
        and any(award.points for award in event.awards)
    ):
        story.sales.append((event.occurred_at, purchase_amount(event)))
    unpaid: dict[tuple[Instant, int], int] = {}
    debt: dict[Instant, int] = {}
    for posting in event.postings:
        at, points, lot = posting.effective_at, posting.points, posting.lot
        if at > until:
            continue
        kind = _KIND_OF.get(posting.account)
        if lot == NO_LOT:
            if kind is None:
                debt[at] = debt.get(at, 0) - points
            continue
        # All postings of a lot sum to zero but for what pays a debt, which is posted to no lot.
        unpaid[at, lot] = unpaid.get((at, lot), 0) + points
        if kind is None:
            continue
        if kind == "redeemed" and points < 0:
            kind = "restored"
        story.moved.append(Moved(at, kind, -points, lot))
    for (at, lot), points in unpaid.items():
        if points:
            story.moved.append(Moved(at, "debt_paid", points, lot))
    for source, target in pairwise(event.postings):  # a move is two postings, side by side
        if (
            (source.account, target.account) == ("pending", "available")
            and (source.lot, source.points) == (target.lot, -target.points)
            and target.effective_at <= until
        ):
            story.activated.append((target.effective_at, target.points))
    story.debts.extend((at, points) for at, points in debt.items() if points)


def stories(
    connection: Connection, book: Book, until: Instant, progress: Progress | None = None
) -> Iterator[Story]:
    """Every account's story up to and including `until`, as far as the read models have folded.

    Raises AnalysisRefused (`read_models_refreshing`), LogDamaged, InvariantBroken.
    """
    folded: dict[int, int] = {}
    for shard, position, target in connection.execute(
        "SELECT shard, position, refresh_target FROM read.positions WHERE projection = 'balances'"
    ):
        if target is not None:
            raise AnalysisRefused(
                "The read models are being computed anew for another program version:"
                " try again in a minute.",
                "read_models_refreshing",
            )
        folded[shard] = position
    total, done = sum(folded.get(shard, 0) for shard in range(book.ledger.shards)), 0
    for shard in range(book.ledger.shards):
        last = None
        head = folded.get(shard, 0)
        while page := accounts_after(connection, shard, last, head, ACCOUNTS_PAGE):
            entries = histories(connection, shard, page, head)
            for member_id, of_member in groupby(entries, key=attrgetter("member_id")):
                if member_id == ANONYMOUS_MEMBER:
                    done += sum(1 for _ in of_member)
                    continue
                events = list(map(decode, of_member))
                done += len(events)
                yield tell(events, member_id, until, book)
            if progress is not None:
                progress(done, total)
            last = page[-1]
    if progress is not None:
        progress(total, total)


class Owed(NamedTuple):
    """What the read models say of all members at a moment: points, and minor units."""

    points: int
    debt: int
    liability: int


def owed_at(connection: Connection, at: datetime) -> Owed:
    """By `read.liability_at`, which knows nothing of this fold."""
    row = connection.execute(
        "SELECT coalesce(sum(points), 0)::bigint, coalesce(sum(debt), 0)::bigint,"
        " coalesce(sum(liability), 0)::bigint FROM read.liability_at(%s)",
        [at],
    ).fetchone()
    assert row is not None
    return Owed._make(row)


def agree(what: str, ours: Owed, theirs: Owed) -> None:
    """Raises AnalysisRefused (`liability_differs`)."""
    if ours != theirs:
        raise AnalysisRefused(
            f"{what}: the log gives {ours.points} points, {ours.debt} of debt and"
            f" {ours.liability} minor units, the read models {theirs.points}, {theirs.debt} and"
            f" {theirs.liability}. Run `points audit replay` to see which rows differ.",
            "liability_differs",
        )
