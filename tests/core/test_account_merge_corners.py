"""Two accounts that knew the same ids or waited for each other, before they were one."""

from typing import Any

import msgspec
import pytest

from ledger.core.account import Account
from ledger.core.fold import evolve
from schemas import inputs
from schemas.decisions import AccountAbsorbed, AccountEvent, Facts, PurchaseRewarded
from tests.core.account_tools import MINIMAL, Member, at, merge, refused, timeline

REFERRAL = """
referral: {qualifies: {purchase: {at_least: 1000}}, referrer: {fixed: 100}, referee: {fixed: 10}}
"""
OPEN = Facts(referrer_status="open")
UNKNOWN = Facts(order_known=False)


def two(program: str = MINIMAL) -> tuple[Member, Member]:
    programs = timeline(program)
    return Member(programs, "old"), Member(programs, "new")


def named_old(new: Member, when: str) -> dict[str, Any]:
    return {**new.head(when), "subject": "old"}


def both_spent(when: str = "2020-01-02") -> tuple[Member, Member]:
    """Each has spent under the id r1, which tills may number alike: 100 of old's points on o2, 40
    of new's on n2."""
    old, new = two()
    for member, order, points in ((old, "o", 100), (new, "n", 40)):
        member.buy("2020-01-01", f"{order}1", 10_000)
        member.reserve(when, "r1", points)
        member.confirm(when, "r1", order=f"{order}2")
        member.buy(when, f"{order}2", 1_000, redemption_id="r1")
    merge(old, new, "2020-01-03")
    return old, new


# --- orders -----------------------------------------------------------------------------------


def test_an_order_taken_over_is_not_taken_again_under_the_id_that_stays() -> None:
    old, new = two()
    old.buy("2020-01-01", "o1", 10_000)
    new.buy("2020-01-01", "n1", 100)
    merge(old, new, "2020-01-02")
    assert refused(new.buy("2020-01-03", "o1", 100)) == "order_taken_before"
    new.give_back("2020-01-04", "o1", "back")
    assert new.points == (1, 0, 0), "what it earned once is taken back once"


@pytest.mark.parametrize("waits_in", ["old", "new"])
def test_a_return_that_waits_finds_its_order_by_the_merge(waits_in: str) -> None:
    old, new = two()
    holder, waiter = (new, old) if waits_in == "old" else (old, new)
    holder.buy("2020-01-01", "o1", 10_000)
    waiter.give_back("2020-01-02", "o1", "back", facts=UNKNOWN)
    merge(old, new, "2020-01-03")
    assert (new.points, new.account.waiting) == ((0, 0, 0), {})
    assert new.events[-1].addressed == ("old" if waits_in == "old" else "")
    new.tick("2022-01-01")
    assert new.points == (0, 0, 0)


def test_a_return_waited_where_time_had_gone_further() -> None:
    """The merge is late for old; new settles to the return's moment before it decides."""
    old, new = two(MINIMAL.replace("after: P12M", "after: P1M"))
    new.buy("2020-01-01", "o1", 10_000)
    old.give_back("2020-02-15", "o1", "back", facts=UNKNOWN)
    merge(old, new, "2020-01-03")
    assert (new.points, new.account.waiting) == ((0, 0, 0), {})
    assert new.account.settled_to == at("2020-02-15")
    assert new.account.expired == 100, "which had expired by then, and are not taken back again"


def test_a_return_that_waited_for_an_order_long_forgotten_is_refused() -> None:
    old, new = two(MINIMAL + "returns: {window: P30D}\n")
    new.buy("2020-01-01", "o1", 10_000)
    old.give_back("2020-03-20", "o1", "back", facts=UNKNOWN)
    merge(old, new, "2020-01-03")
    assert refused(new.events[-1:]) == "return_window_over"
    assert (new.points, new.account.waiting) == ((100, 0, 0), {})


# --- reservations and redemptions ---------------------------------------------------------------


@pytest.mark.parametrize(("order", "restored"), [("o2", 100), ("n2", 40)])
def test_a_return_restores_what_that_member_had_spent(order: str, restored: int) -> None:
    _, new = both_spent()
    before = new.points[0]
    new.give_back("2020-01-04", order, "back")
    assert new.points[0] == before - 10 + restored


def test_a_purchase_that_went_over_is_still_paid_by_the_reservation_it_named() -> None:
    old, new = two()
    new.buy("2020-01-01", "n1", 100)
    old.buy("2020-01-01", "o1", 10_000)
    old.reserve("2020-01-02T00:00:00Z", "r1", 100)
    old.buy("2020-01-02T00:01:00Z", "o2", 1_000, redemption_id="r1")
    merge(old, new, "2020-01-02T00:02:00Z")
    confirm = inputs.ConfirmData("r1", None, None)
    head = named_old(new, "2020-01-02T00:03:00Z")
    new.forwarded(inputs.ReservationConfirm(**head, data=confirm))
    assert new.points == (11, 0, 0)
    new.give_back("2020-01-04", "o2", "back")
    assert new.points == (101, 0, 0)


def test_a_till_that_knows_the_ended_id_means_its_own_reservation() -> None:
    old, new = two()
    for member in (old, new):
        member.buy("2020-01-01", f"{member.id}-1", 10_000)
        member.reserve("2020-01-02T00:00:00Z", "r1", 100 if member is old else 40)
    merge(old, new, "2020-01-02T00:01:00Z")
    cancel = inputs.CancelData("r1")
    new.forwarded(inputs.ReservationCancel(**named_old(new, "2020-01-02T00:02:00Z"), data=cancel))
    assert new.points == (160, 0, 40)
    confirm = inputs.ConfirmData("r1", None, None)
    head = named_old(new, "2020-01-02T00:03:00Z")
    events = new.forwarded(inputs.ReservationConfirm(**head, data=confirm))
    assert refused(events) == "unknown_reservation"
    assert new.points == (160, 0, 40), "new's own r1 is not spent"


def test_what_is_reserved_for_the_ended_id_is_no_other_members() -> None:
    old, new = two()
    old.buy("2020-01-01", "o1", 10_000)
    new.buy("2020-01-01", "n1", 10_000)
    new.reserve("2020-01-02T00:00:00Z", "r1", 40)
    merge(old, new, "2020-01-02T00:01:00Z")
    head = named_old(new, "2020-01-02T00:02:00Z")
    new.forwarded(inputs.PointsReserve(**head, data=inputs.ReserveData("r1", 100)))
    assert new.points == (60, 0, 140)
    head = named_old(new, "2020-01-02T00:03:00Z")
    new.forwarded(inputs.ReservationConfirm(**head, data=inputs.ConfirmData("r1", None, None)))
    line = inputs.PurchaseLine("1", "sku", 1_000)
    data = inputs.PurchaseData("o2", "s1", "store", "RUB", (line,), redemption_id="r1")
    head = named_old(new, "2020-01-02T00:04:00Z")
    (bought,) = new.forwarded(inputs.PurchaseCompleted(**head, data=data))
    assert isinstance(bought, PurchaseRewarded)
    assert not bought.redemption_unknown
    new.give_back("2020-01-02T00:05:00Z", "o2", "back")
    assert new.points == (160, 0, 40)


def test_an_id_that_two_ended_accounts_had_is_nobodys_under_the_id_that_stays() -> None:
    programs = timeline(MINIMAL)
    one, other, new = (Member(programs, name) for name in ("one", "other", "new"))
    for member in (one, other, new):
        member.buy("2020-01-01", f"{member.id}-1", 10_000)
    for member in (one, other):
        member.reserve("2020-01-02T00:00:00Z", "r1", 40)
        merge(member, new, "2020-01-02T00:01:00Z")
    assert refused(new.confirm("2020-01-02T00:02:00Z", "r1")) == "unknown_reservation"
    assert new.points == (220, 0, 80)


# --- referrals ----------------------------------------------------------------------------------


def test_nobody_is_rewarded_for_having_brought_in_oneself() -> None:
    old, new = two(MINIMAL + REFERRAL)
    old.profile("2020-01-01", enrolled=True)
    new.referred("2020-01-02", "old", OPEN)
    merge(old, new, "2020-01-03")
    new.buy("2020-01-04", "n1", 1_000)
    assert new.points == (10, 0, 0), "10 for the purchase, none for the referral"


def test_two_rewarded_referrals_can_both_be_taken_back() -> None:
    old, new = two(MINIMAL + REFERRAL)
    for member, order in ((old, "o1"), (new, "n1")):
        member.referred("2020-01-01", f"by-{order}", OPEN)
        member.buy("2020-01-02", order, 1_000)
    last = Member(old.programs, "last")
    last.profile("2020-01-01", enrolled=True)
    merge(old, new, "2020-01-03")
    merge(new, last, "2020-01-03")
    assert last.points == (40, 0, 0)
    for order, left in (("o1", 20), ("n1", 0)):
        returned = last.give_back("2020-01-04", order, f"back-{order}")[-1]
        assert [effect.target for effect in returned.effects] == [f"by-{order}"]
        assert last.points == (left, 0, 0)
    assert last.account.other_referrals == ()


def test_who_was_brought_in_and_rewarded_for_is_not_brought_in_again() -> None:
    old, new = two(MINIMAL + REFERRAL)
    old.referred("2020-01-01", "by-o1", OPEN)
    old.buy("2020-01-02", "o1", 1_000)
    new.referred("2020-01-01", "by-n1", OPEN)
    merge(old, new, "2020-01-03")
    assert new.buy("2020-01-04", "n1", 1_000)[-1].effects == ()
    returned = new.give_back("2020-01-05", "o1", "back")[-1]
    assert [effect.target for effect in returned.effects] == ["by-o1"]


def test_a_cycle_through_a_merged_account_is_refused() -> None:
    old, new = two(MINIMAL + REFERRAL)
    for member in (old, new):
        member.profile("2020-01-01", enrolled=True)
    merge(old, new, "2020-01-02")
    facts = Facts(referrer_status="open", referrer_referred_by="old")
    assert refused(new.referred("2020-01-03", "friend", facts)) == "cycle"


def test_a_cycle_through_a_referral_that_came_by_a_merge_ends_at_its_reward() -> None:
    """The facts of a registration tell the referrer's own referral only."""
    old, new = two(MINIMAL + REFERRAL)
    for member, referrer, order in ((old, "friend", "o1"), (new, "by-n1", "n1")):
        member.referred("2020-01-01", referrer, OPEN)
        member.buy("2020-01-02", order, 1_000)
    merge(old, new, "2020-01-03")
    friend = Member(old.programs, "friend")
    facts = Facts(referrer_status="open", referrer_referred_by="by-n1")
    friend.referred("2020-01-04", "new", facts)
    (effect,) = friend.buy("2020-01-05", "f1", 1_000)[-1].effects
    arrived = new.effect("2020-01-05", effect.type, bytes(effect.data))
    assert refused(arrived) == "referral_cycle"


# --- tiers, and the log -------------------------------------------------------------------------


def test_a_merged_account_gets_no_tier_from_a_new_version() -> None:
    text = (
        MINIMAL
        + """
tiers:
  qualify_by: {amount_spent: {window: calendar_year}}
  downgrade: {grace: P6M}
  levels: [{id: silver, at_least: 10000}, {id: gold, at_least: 20000}]
"""
    )
    programs = timeline(text, text.replace("2017-01-01", "2021-03-01"))
    old, new = Member(programs, "old"), Member(programs, "new")
    old.buy("2020-02-01", "o1", 20_000)
    new.buy("2020-01-01", "n1", 100)
    merge(old, new, "2021-02-01")
    assert old.account.tier == "none"
    assert old.tick("2021-04-01") == []
    assert old.account.tier == "none"


KEPT = (
    b'{"used":{"base/order/o1":[100,1]},"used_at":{"base/order/o1":1577836800000000},'
    b'"months":{"1577836800000000":[10000,100,1]},"lifetime":[10000,100,1],"orders":[{"order_id":'
    b'"o1","at":1577836800000000,"month":1577836800000000,"returnable_until":1609459200000000,'
    b'"line_ids":["1"],"amounts":[10000],"awards_recorded":2,"awards":[{"index":0,"points":100,'
    b'"lot":1,"shares":[[0,100]],"counters":["base/order/o1"],"counts_for_tier":true,"gone":40},'
    b'{"index":1,"points":10,"lot":2,"shares":[[0,10]],"referee":true}],"redemption_id":"old/r2",'
    b'"returned":[4000],"whole":[false]}],"expired_unspent":{"1":7},"reservations":{"old/r1":'
    b'{"lapses_at":1577923200000000,"draws":[[1,5]],"counter":"~spent/day/18262"}},"redemptions":'
    b'{"old/r2":{"returnable_until":1609459200000000,"draws":[{"lot":{"number":3,"granted":9,'
    b'"granted_at":1577836800000000,"activates_at":1577836800000000,"expires_at":null,'
    b'"source":"o0"},"points":9}],"order_id":"o1","restored":4}},"rewards":{"m9/o9":'
    b'{"returnable_until":1609459200000000,"points":3,"lot":4}},"waiting":{"o8":[{"returned":'
    b'{"order_id":"o8","return_id":"b8"},"at":1577836800000000,"deadline":1609459200000000,"cause":'
    b'["/till","9"],"addressed":"old"}]},"surveys":["s1"],"referral":{"referrer_id":"m7","at":'
    b'1577836800000000,"status":"qualified","order_id":"o1","referee_id":"old"},"first_purchase":'
    b'{"order_id":"o1","at":1577836800000000,"amount":10000},"purchases":1,"merged_from":["old"]}'
)
"""As a merge once wrote it: it is in logs, and is understood for ever."""


def test_what_a_merge_once_wrote_is_understood() -> None:
    event = AccountAbsorbed(
        occurred_at=at("2020-01-01"),
        program="v",
        merged="old",
        actor="a",
        reason="r",
        next_lot=5,
        kept=msgspec.Raw(KEPT),
    )
    account = Account.new("new")
    decoder: msgspec.json.Decoder[AccountEvent] = msgspec.json.Decoder(AccountEvent)
    evolve(account, decoder.decode(msgspec.json.encode(event)))
    order = account.order("o1")
    assert order is not None
    assert [(one.lot, one.points, one.gone, one.referee) for one in order.awards] == [
        (1, 100, 40, False),
        (2, 10, 0, True),
    ]
    assert (order.redemption_id, order.returned) == ("old/r2", (4_000,))
    assert account.reservations["old/r1"].draws == ((1, 5),)
    ((lot, points),) = account.redemptions["old/r2"].draws
    assert (lot.number, lot.left, points, account.redemptions["old/r2"].restored) == (3, 0, 9, 4)
    assert account.rewards["m9/o9"].lot == 4
    assert account.waiting["o8"][0].name == "old/b8"
    assert account.referral is not None
    assert (account.referral.status, account.referral.referee_id) == ("qualified", "old")
    assert account.first_purchase is not None
    assert account.expired_unspent == {1: 7}
    assert account.surveys == frozenset({"s1"})


def test_what_a_merge_writes_has_named_fields_only() -> None:
    """No record of the account is written as it is: its fields may come and go."""
    old, new = both_spent()
    (absorbed,) = (each for each in new.events if isinstance(each, AccountAbsorbed))
    kept = msgspec.json.decode(absorbed.kept)
    assert set(kept["orders"][0]) >= {"order_id", "awards", "returnable_until"}
    assert set(kept["orders"][0]["awards"][0]) >= {"index", "points", "lot", "shares"}
    assert set(kept["redemptions"]["old/r1"]["draws"][0]) == {"lot", "points"}
    assert kept["first_purchase"]["order_id"] == "o1"
    assert old.account.orders == {}
