"""Expiry after inactivity: each purchase moves the points on, all together."""

from audit.entries import explain
from ledger.core.settle import next_due
from projections.lots import lots_at
from schemas.decisions import PurchaseRewarded, Terms
from tests.core.account_tools import Member, at, refused, timeline

PROGRAM = """
program: test
currency: RUB
time_zone: UTC
effective_from: 2017-01-01T00:00:00Z
point_value: 1
activation: ACTIVATION
expiry: {after_inactivity: P6M}
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
  - {id: fixed-term, award: {fixed: 3}, expiry: {after: P1M}}
surveys: [{id: s, award: {fixed: 20}}]
redemption: {restore_grace: P2D}
"""


def member_of(activation: str = "immediately") -> Member:
    return Member(timeline(PROGRAM.replace("ACTIVATION", activation)))


def test_each_purchase_moves_all_of_them_on() -> None:
    member = member_of()
    member.buy("2017-01-31", "A", 1000)
    member.buy("2017-03-15", "B", 500)
    (event,) = [e for e in member.events if getattr(e, "idle", ())][1:]
    assert isinstance(event, PurchaseRewarded)
    assert event.idle == (("P6M", at("2017-09-15")),)
    member.tick("2017-04-15")
    assert member.points == (15, 0, 0), "what has a term of its own expired"
    assert next_due(member.account, member.programs) == at("2017-09-15")
    member.tick(at("2017-09-15") - 1)
    assert member.points == (15, 0, 0)
    (settled,) = member.tick("2017-12-01")
    assert member.points == (0, 0, 0)
    assert {p.effective_at for p in settled.postings} == {at("2017-09-15")}


def test_what_nothing_moves_expires_at_the_end_of_a_shorter_month() -> None:
    member = member_of()
    member.buy("2017-08-31", "A", 1000)
    assert member.account.tier == "none"
    member.tick("2018-02-27")
    assert member.points[0] == 10
    member.tick("2018-02-28")
    assert member.points == (0, 0, 0)


def test_a_purchase_at_the_very_instant_is_too_late() -> None:
    member = member_of()
    member.buy("2017-01-01", "A", 1000)
    member.buy("2017-07-01", "B", 100)
    assert member.points == (4, 0, 0)


def test_the_draw_order_follows() -> None:
    member = member_of()
    member.buy("2017-01-01", "A", 1000)
    member.buy("2017-06-20", "B", 0)
    # A expires on 12-20 now, the 3 of B's fixed term on 07-20.
    member.reserve("2017-06-21", "r", 4)
    draws = member.account.reservations["r"].draws
    lots = member.account.holdings.lots
    assert [(lots[lot].source, points) for lot, points in draws] == [("B", 3), ("A", 1)]


def test_points_given_since_count_from_their_grant() -> None:
    member = member_of()
    member.buy("2017-01-01", "A", 1000)
    member.survey("2017-05-01", "s")
    member.tick("2017-07-01")
    assert member.points == (20, 0, 0)
    member.buy("2017-07-02", "B", 0)
    member.tick("2017-12-31")
    assert member.points == (20, 0, 0)
    member.tick("2018-01-02")
    assert member.points == (0, 0, 0)


def test_pending_points_do_not_expire_before_they_are_spendable() -> None:
    text = PROGRAM.replace("ACTIVATION", "{after: P30D}").replace("P6M", "P10D")
    member = Member(timeline(text))
    member.buy("2017-01-01", "A", 1000)
    member.tick("2017-01-30")
    assert member.points == (0, 13, 0)
    member.tick("2017-01-31")
    assert member.account.expired == 10
    member.buy("2017-02-01", "B", 1000)
    member.buy("2017-02-25", "C", 0)
    member.tick("2017-03-03")
    assert member.points[0] == 13, "B's 10 are spendable on 03-03 and live to 03-07"
    member.tick("2017-03-07")
    assert member.account.expired == 10 + 3 + 10


def test_a_late_purchase_moves_nothing_back_and_its_points_expire_with_the_others() -> None:
    member = member_of()
    member.buy("2017-03-01", "B", 1000)
    (event,) = member.buy("2017-02-01", "A", 500)
    assert isinstance(event, PurchaseRewarded)
    assert event.late_by
    base = event.awards[0]
    assert base.terms == Terms("P6M")
    assert base.expires_at == at("2017-09-01")
    expiries = {lot.source: lot.expires_at for lot in member.account.holdings.lots.values()
                if lot.terms}  # fmt: skip
    assert expiries == {"A": at("2017-09-01"), "B": at("2017-09-01")}
    member.tick("2017-08-31")
    assert member.points == (15, 0, 0)
    member.tick("2017-09-01")
    assert member.points == (0, 0, 0)


def test_a_late_purchase_does_not_bring_back_what_has_expired() -> None:
    member = member_of()
    member.buy("2017-01-01", "A", 1000)
    member.survey("2017-08-01", "s")
    assert member.points == (20, 0, 0)
    member.buy("2017-06-01", "B", 100)
    assert member.account.expired == 10 + 3 + 3
    assert member.points == (21, 0, 0)
    assert {lot.expires_at for lot in member.account.holdings.lots.values()} == {
        at("2017-12-01"),  # of B
        at("2018-02-01"),  # of the survey
    }


def test_reserved_points_and_what_comes_back_move_on_too() -> None:
    member = member_of()
    member.buy("2017-01-01", "A", 1000)
    member.tick("2017-02-02")
    member.reserve("2017-06-30T23:45:00Z", "r", 10)
    member.confirm("2017-06-30T23:50:00Z", "r", 10, "B")
    member.buy("2017-06-30T23:55:00Z", "B", 0, redemption_id="r")
    member.give_back("2017-10-01", "B", "back")
    assert member.points == (10, 0, 0)
    (lot,) = member.account.holdings.lots.values()
    assert lot.expires_at == at("2017-12-30T23:55:00Z")
    assert refused(member.reserve("2017-12-31", "r2", 1)) == "not_enough_points"


def test_points_given_by_hand_move_on_like_any_others() -> None:
    member = member_of("{on: review, within: P14D}")
    member.adjust("2017-01-01", 10)
    assert member.points == (10, 0, 0), "they wait for nothing"
    member.buy("2017-06-01", "A", 0)
    member.tick("2017-11-30")
    assert member.points[0] == 10
    member.tick("2017-12-01")
    assert member.points[0] == 0


def test_what_explains_it() -> None:
    member = member_of()
    (event,) = member.buy("2017-01-31", "A", 1000)
    assert "expire 31 July 2017, 00:00, 6 months after the last purchase" in " ".join(
        explain(event, "RUB").details
    )
    member.buy("2017-03-15", "B", 100)
    member.tick("2017-06-01")
    (first, second) = lots_at(member.id, member.events, at("2017-06-01"), member.programs)
    assert (first.expires_at, second.expires_at) == (at("2017-09-15"), at("2017-09-15"))
    before = lots_at(member.id, member.events, at("2017-02-01"), member.programs)
    assert before[-1].expires_at == at("2017-07-31")


def test_a_program_without_it_records_nothing() -> None:
    text = PROGRAM.replace("ACTIVATION", "immediately").replace("{after_inactivity: P6M}", "never")
    member = Member(timeline(text))
    (event,) = member.buy("2017-01-31", "A", 1000)
    assert isinstance(event, PurchaseRewarded)
    assert event.idle == ()
    assert member.account.holdings.idle == ()
