"""A member as the projections hold it in memory: the account, the history, and what lies ahead.

The account is folded with the ledger's own fold; nothing is decided here. What lies ahead is what
the ledger's own settle would do if nothing more arrived (`projections.ahead`).
"""

from typing import NamedTuple

from ledger.core.account import Account
from ledger.core.calendar import INSTANT_MAX
from ledger.core.fold import evolve
from ledger.core.lots import Lot
from ledger.core.program.conditions import NO_TIER
from ledger.core.program.timeline import Timeline
from ledger.core.records import unpack
from ledger.core.tiers import future_tiers
from projections.ahead import Steps, steps_ahead
from projections.errors import LogDamaged
from projections.history import History, Keep
from projections.log import Entry
from projections.tables import Row, Table, Writes
from schemas.decisions import AccountAbsorbed, AccountEvent, PurchaseReturned
from schemas.fields import Instant


class TierInterval(NamedTuple):
    """`tier` from `start` (inclusive) to `end` (exclusive; None: for good)."""

    start: Instant
    end: Instant | None
    tier: str


class Member:
    """One member's folded state. It remembers the rows last written; equal ones are not again.
    `new`: nothing was ever written of it."""

    __slots__ = (
        "_ahead",
        "_programs",
        "_shown",
        "_tiers",
        "account",
        "history",
        "lots_shown",
        "member_id",
        "new",
        "shard",
    )

    def __init__(self, entry: Entry, keep: Keep, *, new: bool = False) -> None:
        self.member_id = entry.member_id
        self.new = new
        self.shard = entry.shard
        self.account = Account.new(entry.member_id)
        self.history = History(keep)
        self._shown: dict[str, tuple[Row, ...]] = {}
        self.lots_shown: dict[int, Lot] | None = None
        self._ahead: Steps | None = None
        self._tiers: list[TierInterval] | None = None
        self._programs: Timeline | None = None

    @property
    def settled_to(self) -> Instant:
        """Up to when nothing is due any more; never before the account opened."""
        opened_at = self.history.opened_at
        assert opened_at is not None, "a member is shown after its first event"
        return max(self.account.settled_to, opened_at)

    def bought_at(self, event: PurchaseReturned) -> Instant:
        """When the order of a return was bought: the account keeps it while it can be returned."""
        return unpack(self.account.orders[event.returned.order_id]).at

    def fold(self, entry: Entry, event: AccountEvent) -> None:
        """Take the account's next event. Raises LogDamaged (`log_inconsistent`)."""
        if entry.version != self.account.version + 1:
            raise LogDamaged(
                "log_inconsistent",
                entry.shard,
                entry.position,
                f"version {entry.version} of account {entry.account_id} follows "
                f"version {self.account.version}",
            )
        try:
            bought_at = self.bought_at(event) if isinstance(event, PurchaseReturned) else None
            known = set(self.account.orders) if isinstance(event, AccountAbsorbed) else None
            evolve(self.account, event)
            if known is not None:
                self.history.elsewhere |= frozenset(self.account.orders.keys() - known)
            self.history.fold(event, bought_at)
        except (AssertionError, LookupError) as error:
            raise LogDamaged(
                "log_inconsistent", entry.shard, entry.position, f"folding fails: {error}"
            ) from error
        self._ahead = self._tiers = None

    def show(self, into: Table, rows: tuple[Row, ...], writes: Writes) -> None:
        """Replace the member's rows in a table, unless they are those written last."""
        if self._shown.get(into.name) != rows:
            self._shown[into.name] = rows
            writes.replace(into, self.member_id, rows, new=self.new)

    def ahead(self, programs: Timeline) -> Steps:
        """What settling will do. Worked out once per state and timeline."""
        self._look_from(programs)
        if self._ahead is None:
            self._ahead = steps_ahead(self.account, programs)
        return self._ahead

    def tiers(self, programs: Timeline) -> list[TierInterval]:
        """All tier intervals since the account opened, `none` included, the future too."""
        self._look_from(programs)
        if self._tiers is None:
            self._tiers = _tier_intervals(self, programs)
        return self._tiers

    def rest(self) -> None:
        """It was shown. Forget what can be worked out again: a member in the cache is mostly not
        the next."""
        self.new = False
        self._ahead = self._tiers = None

    def _look_from(self, programs: Timeline) -> None:
        if self._programs is not programs:
            self._programs = programs
            self._ahead = self._tiers = None


def _tier_intervals(member: Member, programs: Timeline) -> list[TierInterval]:
    opened_at = member.history.opened_at
    assert opened_at is not None, "a member is shown after its first event"
    changes = [(opened_at, NO_TIER)]
    for at, tier in future_tiers(member.account, INSTANT_MAX, programs):
        if at <= opened_at:
            changes = [(opened_at, tier)]
        elif tier != changes[-1][1]:
            changes.append((at, tier))
    ends = [at for at, _ in changes[1:]]
    return [
        TierInterval(at, end, tier) for (at, tier), end in zip(changes, [*ends, None], strict=True)
    ]
