"""Purchases: grants, lots, debt, late arrivals, what is impossible."""

import msgspec
import pytest

from ledger.core.account import ANONYMOUS, Account
from ledger.core.calendar import DAY_US
from ledger.core.decide import decide, unknown_order
from ledger.core.errors import InvariantBroken, Undecidable
from ledger.core.fold import evolve
from ledger.core.program.compiled import compile_program
from ledger.core.program.load import load_program
from ledger.core.program.timeline import Timeline
from schemas import inputs
from schemas.decisions import (
    AnonymousPurchaseRecorded,
    Posting,
    PurchaseRewarded,
    SurveyRewarded,
)
from tests.core.account_tools import MINIMAL, Member, at, moment, refused, timeline

TWO_LOTS = """
program: test
currency: RUB
time_zone: UTC
effective_from: 2017-01-01T00:00:00Z
point_value: 1
activation: {after: P7D}
expiry: {after: P1M}
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
  - {id: extra, award: {fixed: 5}}
  - {id: soon, award: {fixed: 3}, expiry: {after: P9D}}
surveys:
  - {id: s, award: {fixed: 20}, activation: immediately}
returns: {policy: debt}
"""


def rewarded(member: Member) -> PurchaseRewarded:
    return [e for e in member.events if isinstance(e, PurchaseRewarded)][-1]


def test_awards_with_the_same_dates_share_a_lot() -> None:
    member = Member(timeline(TWO_LOTS))
    member.buy("2017-01-02", "X", 1000)
    assert [award.lot for award in rewarded(member).awards] == [1, 1, 2]
    assert {n: lot.granted for n, lot in member.account.holdings.lots.items()} == {1: 15, 2: 3}
    assert member.points == (0, 18, 0)


def test_each_posting_is_effective_when_it_fell_due() -> None:
    member = Member(timeline(TWO_LOTS))
    member.buy("2017-01-02", "X", 1000)
    member.tick("2017-03-01")
    moments = {(p.account, p.lot): p.effective_at for e in member.events for p in e.postings}
    assert moments["issued", 1] == at("2017-01-02")
    assert moments["available", 2] == at("2017-01-18")
    assert moments["expired", 2] == at("2017-01-18")
    assert moments["expired", 1] == at("2017-02-09")
    assert member.account.expired == 18


def test_a_lot_is_spendable_from_activation_until_before_its_expiry() -> None:
    member = Member(timeline(TWO_LOTS))
    member.buy("2017-01-02", "X", 1000)
    member.tick(at("2017-01-09") - 1)
    assert member.points == (0, 18, 0)
    member.tick("2017-01-09")
    assert member.points == (18, 0, 0)
    member.tick(at("2017-01-18") - 1)
    assert member.points == (18, 0, 0)
    member.tick("2017-01-18")
    assert member.points == (15, 0, 0)


def test_a_late_purchase_that_is_due_is_granted_and_activated_in_one_event() -> None:
    member = Member(timeline(TWO_LOTS))
    member.survey("2017-01-20", "s")
    events = member.buy("2017-01-12", "X", 1000)
    assert len(events) == 1
    assert events[0].late_by == 8 * DAY_US
    assert member.points == (20 + 18, 0, 0)


def test_a_late_lot_that_has_expired_is_granted_and_expired_in_one_event() -> None:
    member = Member(timeline(TWO_LOTS))
    member.survey("2017-01-20", "s")
    events = member.buy("2017-01-02", "X", 1000)
    assert len(events) == 1
    expired = [p for p in events[0].postings if p.account == "expired"]
    assert expired == [Posting("expired", 3, 3, at("2017-01-18"))]
    assert member.points == (20 + 15, 0, 0)


def test_debt_is_paid_as_soon_as_points_become_available() -> None:
    member = Member(timeline(TWO_LOTS))
    member.survey("2017-01-01", "s")
    member.buy("2017-01-02", "X", 1000)
    member.reserve("2017-01-10", "v", 38)
    member.confirm("2017-01-10", "v")
    member.give_back("2017-01-11", "X", "r")
    assert member.points == (-18, 0, 0)
    assert member.account.balances().debt == 18
    member.buy("2017-01-12", "Y", 1000)
    assert member.points == (-18, 18, 0)
    member.tick("2017-01-19")
    assert member.points == (0, 0, 0)
    assert member.account.balances().debt == 0


def test_settling_and_deciding_are_at_most_two_events() -> None:
    member = Member(timeline(TWO_LOTS))
    member.buy("2017-01-02", "X", 1000)
    events = member.buy("2017-02-20", "Y", 1000)
    assert [type(event).__name__ for event in events] == ["AccountSettled", "PurchaseRewarded"]
    assert events[0].occurred_at == at("2017-02-20")


def test_a_survey_is_rewarded_once() -> None:
    member = Member(timeline(TWO_LOTS))
    assert isinstance(member.survey("2017-01-01", "s")[-1], SurveyRewarded)
    assert refused(member.survey("2017-01-02", "s")) == "already_rewarded"
    assert refused(member.survey("2017-01-02", "other")) == "unknown_survey"


def test_limits_are_counted_and_given_back() -> None:
    limits = "limits: [{times: 1, per: iso_week}, {points: 8, per: lifetime}]"
    member = Member(timeline(MINIMAL + f"  - {{id: week, award: {{fixed: 5}}, {limits}}}\n"))
    member.buy("2017-01-02", "A", 100)
    member.buy("2017-01-03", "B", 100)
    assert member.points[0] == 5 + 2
    member.give_back("2017-01-03", "A", "r")
    assert member.points[0] == 1
    member.buy("2017-01-04", "C", 100)
    assert member.points[0] == 1 + 6
    assert member.account.used["week/lifetime/all"] == (5, 1)


def test_a_purchase_before_the_first_program_is_undecidable() -> None:
    member = Member(timeline(MINIMAL))
    with pytest.raises(Undecidable) as caught:
        member.buy("2016-12-31", "X", 100)
    assert caught.value.code == "no_program"


def test_another_currency_and_a_line_id_twice_are_undecidable() -> None:
    member = Member(timeline(MINIMAL))
    line = inputs.PurchaseLine("1", "sku", 100)
    for currency, lines, code in (
        ("EUR", (line,), "other_currency"),
        ("RUB", (line, line), "duplicate_line_id"),
    ):
        data = inputs.PurchaseData("X", "s", "store", currency, lines)
        event = inputs.PurchaseCompleted(
            specversion="1.0", id="1", source="t", time=moment("2017-01-02"), data=data
        )
        with pytest.raises(Undecidable) as caught:
            member.send(event)
        assert caught.value.code == code
        assert member.account == Account.new("m1")


def test_what_cannot_be_decided_leaves_the_account_as_it_was() -> None:
    form = load_program(TWO_LOTS, "test.yaml")
    # Such an expression is refused by the check; here it is compiled all the same.
    bad = msgspec.structs.replace(form.earn[0], when="purchase.region > 5")
    program = compile_program(msgspec.structs.replace(form, earn=(bad,)))
    member = Member(Timeline([(program.effective_from, program)]))
    member.survey("2017-01-02", "s")
    fork = member.account.fork()
    event = inputs.PurchaseCompleted(
        specversion="1.0",
        id="1",
        source="t",
        time=moment("2017-04-02"),
        data=inputs.PurchaseData("X", "s", "store", "RUB", (inputs.PurchaseLine("1", "sku", 100),)),
    )
    with pytest.raises(Undecidable) as caught:
        decide(fork, event, at("2017-04-02"), member.programs)
    assert caught.value.code == "expression_failed"
    assert fork == member.account


def test_an_anonymous_purchase_is_recorded_and_moves_nothing() -> None:
    member = Member(timeline(MINIMAL), ANONYMOUS)
    data = inputs.PurchaseData("X", "s", "store", "RUB", (inputs.PurchaseLine("1", "sku", 100),))
    event = inputs.PurchaseCompleted(
        specversion="1.0", id="1", source="t", time=moment("2017-01-02"), data=data
    )
    assert isinstance(member.send(event)[0], AnonymousPurchaseRecorded)
    assert member.account.orders == {}


def test_folding_refuses_postings_that_do_not_sum_to_zero() -> None:
    member = Member(timeline(TWO_LOTS))
    member.buy("2017-01-02", "X", 1000)
    good = member.events[-1]
    broken = msgspec.structs.replace(good, postings=good.postings[:-1])
    with pytest.raises(InvariantBroken, match="invariant 1"):
        evolve(Account.new("m1"), broken)


def test_folding_refuses_a_lot_that_would_hold_less_than_nothing() -> None:
    member = Member(timeline(TWO_LOTS))
    member.survey("2017-01-02", "s")
    good = member.events[-1]
    more = (Posting("available", -30, 1, 0), Posting("revoked", 30, 1, 0))
    with pytest.raises(InvariantBroken, match="invariant 3"):
        evolve(Account.new("m1"), msgspec.structs.replace(good, postings=good.postings + more))


def test_a_redemption_that_nobody_knows_is_recorded_as_such() -> None:
    member = Member(timeline(MINIMAL))
    member.buy("2017-01-02", "X", 1000, redemption_id="nothing")
    assert rewarded(member).redemption_unknown
    member.reserve("2017-01-03", "v", 5)
    member.buy("2017-01-03", "Y", 1000, redemption_id="v")
    assert not rewarded(member).redemption_unknown


def test_only_orders_that_can_be_returned_are_remembered() -> None:
    member = Member(timeline(MINIMAL + "returns: {window: P1M}\n"))
    member.buy("2017-01-02", "X", 1000)
    member.buy("2017-02-20", "Y", 1000)
    assert set(member.account.orders) == {"X", "Y"}
    assert refused(member.give_back("2017-02-20", "X", "r")) == "return_window_over"
    member.buy("2017-05-01", "Z", 1000)
    assert set(member.account.orders) == {"Z"}
    data = inputs.ReturnData("X", "r2")
    event = inputs.PurchaseReturned(
        specversion="1.0", id="1", source="t", time=moment("2017-05-01"), subject="m1", data=data
    )
    assert unknown_order(member.account, event) == "X"
