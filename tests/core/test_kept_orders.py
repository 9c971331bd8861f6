"""Orders are kept packed: what a return finds is what was bought; snapshots know the structure."""

import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from ledger.core import snapshot
from ledger.core.account import Account
from ledger.core.records import Order, OrderAward, pack, returnable_until, unpack
from schemas.decisions import LineShare

ORDER = Order(
    order_id="o-1",
    at=1_483_228_800_000_000,
    month=1_483_228_800_000_000,
    returnable_until=1_514_764_800_000_000,
    line_ids=("1", "Größe 40"),
    amounts=(0, 1_000_000_000_000),
    awards_recorded=2,
    awards=(
        OrderAward(0, 27, 13, (LineShare(0, 20), LineShare(1, 7)), ("base/day/2017-01-01",), True),
        OrderAward(1, 50, 14, (), (), False, True, 50),
    ),
    redemption_id="r-1",
    returned=(0, 5),
    whole=(True, False),
)


@pytest.mark.parametrize(
    "order",
    [
        ORDER,
        Order("o", -1, -2, -(2**62), (), (), 0, ()),
        replace(ORDER, returnable_until=2**62, redemption_id=None, returned=(), whole=()),
    ],
)
def test_what_is_packed_is_what_is_unpacked(order: Order) -> None:
    packed = pack(order)
    assert unpack(packed) == order
    assert returnable_until(packed) == order.returnable_until
    assert pack(unpack(packed)) == packed, "equal records are equal bytes"


def test_an_account_keeps_one_record_of_an_order() -> None:
    account = Account.new("m1")
    assert account.order("o-1") is None
    account.keep(replace(ORDER, returned=(), whole=()))
    account.keep(replace(ORDER, order_id="o-2"))
    account.keep(ORDER)
    assert account.order("o-1") == ORDER
    assert list(account.orders) == ["o-1", "o-2"], "oldest first, also after a return"
    fork = account.fork()
    fork.keep(replace(ORDER, redemption_id=None))
    assert account.order("o-1") == ORDER


def test_bytes_of_another_structure_are_no_order() -> None:
    with pytest.raises(msgspec.DecodeError):
        unpack(pack(ORDER)[:-1])


# --- what a snapshot's hash covers ------------------------------------------------------------


class Inner(Struct, array_like=True):
    """As a record of the account."""

    first: int
    second: int


class InnerSwapped(Struct, array_like=True):
    """The same fields in another order: other values in the same bytes."""

    second: int
    first: int


InnerSwapped.__name__ = "Inner"


class State(Struct):
    """As the account."""

    records: dict[str, tuple[Inner, ...]] = {}


class StateSwapped(Struct):
    """As the account."""

    records: dict[str, tuple[InnerSwapped, ...]] = {}


StateSwapped.__name__ = "State"


def test_the_hash_of_a_snapshot_knows_names_order_and_types() -> None:
    assert snapshot.schema_hash(State) == snapshot.schema_hash(State)
    assert snapshot.schema_hash(State) != snapshot.schema_hash(StateSwapped)
    retyped = msgspec.defstruct("State", [("records", dict[str, Inner])])
    assert snapshot.schema_hash(State) != snapshot.schema_hash(retyped)
    renamed = msgspec.defstruct("State", [("kept", dict[str, tuple[Inner, ...]])])
    assert snapshot.schema_hash(State) != snapshot.schema_hash(renamed)


def test_the_hash_of_a_snapshot_covers_what_is_packed() -> None:
    assert snapshot.schema_hash(Account, Order) == snapshot.SCHEMA_HASH
    assert snapshot.schema_hash(Account) != snapshot.SCHEMA_HASH
    assert len(snapshot.SCHEMA_HASH) == 32


def test_a_snapshot_of_an_account_with_orders_is_that_account() -> None:
    account = Account.new("m1")
    account.keep(ORDER)
    assert snapshot.decode(snapshot.encode(account)) == account
