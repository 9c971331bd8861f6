"""What an account remembers beside its points, as compact immutable records.

Only what a later decision can still ask for is kept: orders while they can be returned, rewards and
redemptions while they can be taken back or restored, returns that wait for their purchase. Orders
are many and hardly ever asked for: the account keeps them packed, in a sixth of the memory.
"""

from struct import Struct as Layout

from msgspec import Struct, msgpack

from ledger.core.grants import WELCOME
from ledger.core.lots import Lot
from schemas.decisions import Award, BudgetShare, Cause, CodeUse, LineShare, PurchaseRewarded
from schemas.fields import Instant
from schemas.inputs import ReturnData


class OrderAward(Struct, frozen=True, array_like=True, gc=False):
    """An award with points, as a return needs it. `index`: its place among the order's awards.
    `gone`: points that count as taken back so far, with those that the policy let go (`let_go`).
    `referee`: a referral's reward. `budget`: what it used of a budget."""

    index: int
    points: int
    lot: int
    shares: tuple[LineShare, ...]
    counters: tuple[str, ...]
    counts_for_tier: bool
    referee: bool = False
    gone: int = 0
    budget: BudgetShare | None = None
    let_go: int = 0


_AwardFields = tuple[
    int, int, int, tuple[LineShare, ...], tuple[str, ...], bool, bool, int, BudgetShare | None, int
]


def award_fields(awards: tuple[Award, ...], first: int) -> list[_AwardFields]:
    """The fields of the `OrderAward`s of those awards that have points and are no level's welcome,
    which a purchase packs as they are; `first`: the index of the first award."""
    return [
        (
            index,
            award.points,
            award.lot,
            award.lines,
            award.counters,
            award.counts_for_tier,
            award.kind == "referee",
            0,
            award.budget,
            0,
        )
        for index, award in enumerate(awards, first)
        if award.points and award.kind != WELCOME
    ]


class Order(Struct, frozen=True, array_like=True, gc=False):
    """A purchase that can be returned. Amounts are minor units per line; `returned` and `whole`
    (which lines came back wholly) are empty as long as nothing came back. `codes`: the promo codes
    that it used."""

    order_id: str
    at: Instant
    month: Instant
    returnable_until: Instant
    line_ids: tuple[str, ...]
    amounts: tuple[int, ...]
    awards_recorded: int
    awards: tuple[OrderAward, ...]
    redemption_id: str | None = None
    returned: tuple[int, ...] = ()
    whole: tuple[bool, ...] = ()
    codes: tuple[CodeUse, ...] = ()

    @property
    def amount_left(self) -> int:
        """What was paid and not returned, minor units."""
        return sum(self.amounts) - sum(self.returned)

    @property
    def wholly_returned(self) -> bool:
        """Whether every line came back wholly."""
        return bool(self.whole) and all(self.whole)


PackedOrder = bytes
"""An order's record as the account keeps it: `returnable_until`, which is asked for at every event,
in 8 bytes, then the whole record in MessagePack."""

_UNTIL = Layout(">q")
_encode = msgpack.Encoder().encode
_decode = msgpack.Decoder(Order).decode


def pack(order: Order) -> PackedOrder:
    """The record as bytes; equal records are equal bytes."""
    return _UNTIL.pack(order.returnable_until) + _encode(order)


def pack_purchase(
    event: PurchaseRewarded, amounts: tuple[int, ...], redemption_id: str | None
) -> PackedOrder:
    """The record of a purchase just made; `amounts`: of its lines. The same bytes as `pack` makes
    of the record, which is not built for it: this happens with every purchase."""
    purchase = event.purchase
    record = (
        purchase.order_id,
        event.occurred_at,
        event.month,
        event.returnable_until,
        [line.line_id for line in purchase.lines],
        amounts,
        len(event.awards),
        award_fields(event.awards, 0),
        redemption_id,
        (),
        (),
        event.codes,
    )
    return _UNTIL.pack(event.returnable_until) + _encode(record)


def unpack(packed: PackedOrder) -> Order:
    """The record again. Raises msgspec.DecodeError for bytes of another structure."""
    return _decode(memoryview(packed)[_UNTIL.size :])


def returnable_until(packed: PackedOrder) -> Instant:
    """The last instant at which the order can be returned."""
    until: Instant = _UNTIL.unpack_from(packed)[0]
    return until


class Reservation(Struct, frozen=True, array_like=True, gc=False):
    """Points held. `draws`: (lot, points) in the order in which they were drawn. `counter`: the
    key of the day's counter that they count in, where there is a cap."""

    lapses_at: Instant
    draws: tuple[tuple[int, int], ...]
    counter: str | None = None


class Redemption(Struct, frozen=True, array_like=True, gc=False):
    """Points spent, kept while a return can restore them. `draws`: (the lot as it was, emptied,
    points drawn from it), in draw order; `restored`: the first so many points are back."""

    returnable_until: Instant
    draws: tuple[tuple[Lot, int], ...]
    order_id: str | None = None
    restored: int = 0


class Reward(Struct, frozen=True, array_like=True, gc=False):
    """A referrer's reward, kept while the order behind it can be returned."""

    returnable_until: Instant
    points: int
    lot: int
    gone: int = 0
    counter: str = ""


class Override(Struct, frozen=True, array_like=True, gc=False):
    """A tier set by hand: it holds in [since, until)."""

    tier: str
    since: Instant
    until: Instant


class Welcome(Struct, frozen=True, array_like=True, gc=False):
    """A level's welcome award. Kept for life: a level welcomes once."""

    level: str
    at: Instant
    points: int
    lot: int


class WaitingReturn(Struct, frozen=True, array_like=True, gc=False):
    """A return whose purchase has not arrived. `addressed`: the member whom it named, where that
    account was merged into this one."""

    returned: ReturnData
    at: Instant
    deadline: Instant
    cause: Cause | None
    addressed: str = ""

    @property
    def name(self) -> str:
        """Its id as events tell it: with the member that it named, if that one was merged."""
        return_id = self.returned.return_id
        return f"{self.addressed}/{return_id}" if self.addressed else return_id


class Referral(Struct, frozen=True, array_like=True, gc=False):
    """Who brought the member in. `status`: open | qualified | closed | taken_back; `order_id`: the
    purchase that qualified. `referee_id`: who was brought in, where that account was merged into
    this one. `shared`: the orders of which the referrer got a share, with its points."""

    referrer_id: str
    at: Instant
    status: str
    order_id: str | None = None
    referee_id: str | None = None
    shared: tuple[tuple[str, int], ...] = ()


class FirstPurchase(Struct, frozen=True, array_like=True, gc=False):
    """The earliest purchase by occurred_at."""

    order_id: str
    at: Instant
    amount: int
