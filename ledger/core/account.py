"""The account aggregate: what must be known of one member's points to decide on the next input.

State only: it changes by `ledger.core.fold.evolve` and by nothing else. Records are immutable and
shared between forks, so that a fork costs a few shallow copies. Moments are Instants, amounts of
money minor units. It knows no profile, no name and no clock.
"""

from collections.abc import Mapping

from msgspec import Struct, field

from ledger.core.errors import InvariantBroken
from ledger.core.lots import NEVER, Holdings, draw_key
from ledger.core.program.timeline import Timeline
from ledger.core.records import (
    FirstPurchase,
    Order,
    Override,
    PackedOrder,
    Redemption,
    Referral,
    Reservation,
    Reward,
    WaitingReturn,
    Welcome,
    pack,
    unpack,
)
from ledger.core.rules.tiers import NO_TIER, tier_in
from ledger.core.tiers import Counted, Tiers, future_tiers
from schemas.fields import Instant
from schemas.normal import ANONYMOUS_SUBJECT

ANONYMOUS = ANONYMOUS_SUBJECT
"""The reserved account of a shard for purchases without a member; no MemberId looks like this."""

UNSETTLED: Instant = -NEVER
"""`settled_to` of an account to which nothing has happened: before every moment."""


class Balances(Struct, frozen=True):
    """Points. `available` is net of debt and below 0 for an account in debt; `expired` and
    `granted` are totals over the account's life."""

    available: int
    pending: int
    reserved: int
    expired: int
    granted: int
    debt: int


class Account(Struct, gc=False):
    """One member's account.

    `months`: start of the local month → what counts for tiers in it (minor units spent, points
    earned, purchases); `lifetime`: the same over all time.
    `tiers`: (from, tier), rising. `used`: limit counters; `used_at`: a moment in each one's window.
    `orders`: by id, oldest first (see `order`, `keep`).
    `expired_unspent`: lot → points that expired and were not yet set against a clawback.
    `status`: open | frozen | closed | merged | erased. `forfeits_at`: when the notice of a closed
    account ends. `merged_from`: whose accounts went over into this one, directly or not;
    `other_referrals`: those of them that were rewarded beside `referral`, and can be taken back.
    """

    member_id: str
    version: int = 0
    settled_to: Instant = UNSETTLED
    status: str = "open"
    holdings: Holdings = field(default_factory=Holdings)
    used: dict[str, tuple[int, int]] = {}
    used_at: dict[str, Instant] = {}
    months: dict[Instant, Counted] = {}
    lifetime: Counted = (0, 0, 0)
    tiers: Tiers = ()
    orders: dict[str, PackedOrder] = {}
    expired_unspent: dict[int, int] = {}
    reservations: dict[str, Reservation] = {}
    redemptions: dict[str, Redemption] = {}
    rewards: dict[str, Reward] = {}
    waiting: dict[str, tuple[WaitingReturn, ...]] = {}
    surveys: frozenset[str] = frozenset()
    referral: Referral | None = None
    other_referrals: tuple[Referral, ...] = ()
    first_purchase: FirstPurchase | None = None
    purchases: int = 0
    profile: dict[str, bool] = {}
    forfeits_at: Instant | None = None
    merged_into: str | None = None
    merged_from: tuple[str, ...] = ()
    welcomes: tuple[Welcome, ...] = ()
    overrides: tuple[Override, ...] = ()

    @classmethod
    def new(cls, member_id: str) -> "Account":
        """The account before its first event."""
        return cls(member_id)

    def fork(self) -> "Account":
        """A copy that can be changed without changing this one."""
        return Account(
            self.member_id,
            self.version,
            self.settled_to,
            self.status,
            self.holdings.fork(),
            self.used.copy(),
            self.used_at.copy(),
            self.months.copy(),
            self.lifetime,
            self.tiers,
            self.orders.copy(),
            self.expired_unspent.copy(),
            self.reservations.copy(),
            self.redemptions.copy(),
            self.rewards.copy(),
            self.waiting.copy(),
            self.surveys,
            self.referral,
            self.other_referrals,
            self.first_purchase,
            self.purchases,
            self.profile.copy(),
            self.forfeits_at,
            self.merged_into,
            self.merged_from,
            self.welcomes,
            self.overrides,
        )

    def become(self, other: "Account") -> None:
        """Take over the whole state of `other`, which must not be used any more."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(other, name))

    def order(self, order_id: str) -> Order | None:
        """The order's record, as long as the order can be returned."""
        packed = self.orders.get(order_id)
        return None if packed is None else unpack(packed)

    def keep(self, order: Order) -> None:
        """Keep an order's record, in the place of what was kept of it."""
        self.orders[order.order_id] = pack(order)

    @property
    def granted(self) -> int:
        """Points ever granted."""
        return self.holdings.granted

    @property
    def expired(self) -> int:
        """Points that ever expired."""
        return self.holdings.expired

    @property
    def tier(self) -> str:
        """The tier since the last change; time may have ended it: see `tier_at`."""
        return self.tiers[-1][1] if self.tiers else NO_TIER

    def balances(self) -> Balances:
        """The balances as of `settled_to`; for a later moment see `forecast`."""
        held = self.holdings
        return Balances(
            held.available - held.debt,
            held.pending,
            held.reserved,
            held.expired,
            held.granted,
            held.debt,
        )

    def tier_at(self, at: Instant, programs: Timeline) -> str:
        """The tier in force at `at`, also later than `settled_to` if nothing more arrives."""
        return tier_in(future_tiers(self, at, programs), at)


def check_invariants(account: Account) -> None:
    """Recount everything that is kept as a total. Raises InvariantBroken (2, 3, 10).

    Orders are not unpacked for it: theirs is checked when something of one is taken back.
    """
    held = account.holdings
    lots = held.lots.values()
    totals: Mapping[str, tuple[int, int]] = {
        "pending": (held.pending, sum(lot.pending for lot in lots)),
        "available": (held.available, sum(lot.available for lot in lots)),
        "reserved": (held.reserved, sum(lot.reserved for lot in lots)),
    }
    for name, (kept, counted) in totals.items():
        if kept != counted:
            raise InvariantBroken(2, f"{name} is kept as {kept}, its lots hold {counted}")
    reserved = sum(points for r in account.reservations.values() for _, points in r.draws)
    if reserved != held.reserved:
        raise InvariantBroken(2, f"{held.reserved} are reserved, reservations hold {reserved}")
    if held.debt < 0 or (held.debt and held.available):
        raise InvariantBroken(2, f"a debt of {held.debt} beside {held.available} available")
    for number, lot in held.lots.items():
        if min(lot.pending, lot.available, lot.reserved) < 0 or not 0 < lot.left <= lot.granted:
            raise InvariantBroken(3, f"lot {number} holds {lot.left} of {lot.granted}")
    if held.due != sorted((lot.activates_at, lot.number) for lot in lots if lot.pending):
        raise InvariantBroken(3, "the order in which lots fall due does not fit the lots")
    if held.draw != sorted(draw_key(lot) for lot in lots if lot.available):
        raise InvariantBroken(3, "the draw order does not fit the lots")
    for name, spent in account.redemptions.items():
        if not 0 <= spent.restored <= sum(points for _, points in spent.draws):
            raise InvariantBroken(10, f"redemption {name} restored more than was spent")
