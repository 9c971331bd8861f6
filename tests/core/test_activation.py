"""Activation on an event: the points wait for it, and are revoked when it does not come in time."""

import pytest

from audit.entries import explain
from ledger.core.settle import next_due
from projections.lots import lots_at
from schemas.decisions import AccountSettled, PurchaseReturned, PurchaseRewarded
from tests.core.account_tools import Member, at, refused, timeline
from tests.core.program_texts import HEAD, problems_of

PROGRAM = """
program: test
currency: RUB
time_zone: UTC
effective_from: 2017-01-01T00:00:00Z
point_value: 1
activation: immediately
expiry: EXPIRY
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}},
     activation: {on: EVENT, within: P14D}}
surveys: [{id: s, award: {fixed: 5}}]
returns: {policy: debt}
"""


def member_of(event: str = "survey.completed.v1", expiry: str = "{after: P1M}") -> Member:
    return Member(timeline(PROGRAM.replace("EVENT", event).replace("EXPIRY", expiry)))


def test_the_points_wait_for_the_event_and_then_have_their_term() -> None:
    member = member_of()
    (bought,) = member.buy("2017-03-01", "A", 1000)
    assert member.points == (0, 10, 0)
    settled, _ = member.survey("2017-03-10T12:00:00Z", "s")
    assert isinstance(settled, AccountSettled)
    moment = at("2017-03-10T12:00:00Z")
    assert settled.activated == ((1, moment, at("2017-04-10T12:00:00Z")),)
    assert {p.effective_at for p in settled.postings} == {moment}
    assert member.points == (15, 0, 0)
    member.tick("2017-04-09")
    assert member.points == (15, 0, 0)
    member.tick("2017-04-10T12:00:00Z")
    assert member.points == (0, 0, 0)
    assert "lot 1: 10 points, revoked unless survey.completed.v1 happens by 15 March 2017" in (
        " ".join(explain(bought, "RUB").details)
    )
    assert "became spendable: 10 points" in explain(settled, "RUB").headline


def test_within_includes_its_last_instant() -> None:
    member = member_of()
    member.buy("2017-03-01", "A", 1000)
    member.survey("2017-03-15", "s")
    assert member.points == (15, 0, 0)


def test_what_it_did_not_reach_is_revoked_at_the_first_instant_after() -> None:
    member = member_of()
    member.buy("2017-03-01", "A", 1000)
    assert next_due(member.account, member.programs) == at("2017-03-15") + 1
    assert member.tick("2017-03-15") == []
    (settled,) = member.tick("2017-03-20")
    assert [(p.account, p.points, p.effective_at) for p in settled.postings] == [
        ("pending", -10, at("2017-03-15") + 1),
        ("revoked", 10, at("2017-03-15") + 1),
    ]
    told = explain(settled, "RUB")
    assert told.headline == "time passed: revoked, what they waited for did not happen: 10 points"
    assert told.details == ("15 March 2017, 00:00: 10 revoked",)
    member.survey("2017-03-21", "s")
    assert member.points == (5, 0, 0)
    assert member.account.holdings.awaits == ()


def test_an_event_reaches_only_what_was_granted_by_then() -> None:
    member = member_of("purchase.completed.v1", "never")
    member.buy("2017-03-01", "A", 1000)
    assert member.points == (0, 10, 0), "its own purchase is not the next one"
    member.buy("2017-03-02", "B", 500)
    assert member.points == (10, 5, 0)
    assert member.account.holdings.lots[1].expires_at is None


def test_a_refused_input_has_happened_too() -> None:
    member = member_of(expiry="never")
    member.survey("2017-02-01", "s")
    member.buy("2017-03-01", "A", 1000)
    events = member.survey("2017-03-02", "s")
    assert refused(events) == "already_rewarded"
    assert member.points == (15, 0, 0)


def test_a_late_event_reaches_what_still_waits() -> None:
    member = member_of()
    member.buy("2017-03-01", "A", 1000)
    member.tick("2017-03-12")
    member.buy("2017-03-12", "B", 100)
    settled, _ = member.survey("2017-03-05", "s")
    assert isinstance(settled, AccountSettled)
    assert settled.late_by == at("2017-03-12") - at("2017-03-05")
    assert settled.activated == ((1, at("2017-03-05"), at("2017-04-05")),)
    assert member.points == (15, 1, 0)


def test_a_late_event_does_not_bring_back_what_was_revoked() -> None:
    member = member_of()
    member.buy("2017-03-01", "A", 1000)
    member.tick("2017-03-20")
    member.buy("2017-03-20", "B", 0)
    member.survey("2017-03-05", "s")
    assert member.points == (5, 0, 0)


def test_a_late_event_whose_points_would_have_expired_activates_and_expires_them() -> None:
    member = member_of(expiry="{after: P3D}")
    member.buy("2017-03-01", "A", 1000)
    member.buy("2017-03-12", "B", 0)
    member.survey("2017-03-05", "s")
    assert member.account.expired == 10 + 5
    assert member.points == (0, 0, 0)


def test_a_late_purchase_whose_time_is_over_is_granted_and_revoked() -> None:
    member = member_of()
    member.buy("2017-04-01", "B", 0)
    (event,) = member.buy("2017-03-01", "A", 1000)
    assert [(p.account, p.points) for p in event.postings] == [
        *(("issued", -10), ("pending", 10), ("pending", -10), ("revoked", 10)),
    ]
    assert member.points == (0, 0, 0)


def test_what_becomes_available_pays_the_debt() -> None:
    member = member_of()
    member.survey("2017-02-01", "s")
    member.buy("2017-02-02", "A", 1000)
    member.survey("2017-02-03", "t")  # unknown, and yet an event
    member.reserve("2017-02-03", "r", 15)
    member.confirm("2017-02-03", "r")
    member.give_back("2017-02-04", "A", "back")
    assert member.points == (-10, 0, 0)
    member.buy("2017-02-05", "B", 400)
    member.survey("2017-02-06", "t")
    assert member.points == (-6, 0, 0)


def test_a_return_takes_waiting_points_and_none_for_revoked_ones() -> None:
    member = member_of()
    member.buy("2017-03-01", "A", 1000)
    member.buy("2017-03-02", "B", 500)
    member.give_back("2017-03-03", "B", "r1")
    assert member.points == (0, 10, 0)
    member.survey("2017-03-20", "s")
    assert member.points == (5, 0, 0)
    (event,) = member.give_back("2017-03-21", "A", "r2")
    assert isinstance(event, PurchaseReturned)
    (clawback,) = event.clawbacks
    assert (clawback.points, clawback.taken, clawback.expired) == (10, 0, 10)
    assert member.points == (5, 0, 0), "what was revoked counts as taken back"


@pytest.mark.parametrize(
    ("expiry", "expires"),
    [
        ("{end_of: month}", "2017-04-01"),
        ("{end_of: year, after: P12M}", "2019-01-01"),
        ("{after_inactivity: P3M}", "2017-06-10"),
    ],
)
def test_every_expiry_counts_from_the_event(expiry: str, expires: str) -> None:
    member = member_of(expiry=expiry)
    member.buy("2017-03-01", "A", 1000)
    member.survey("2017-03-10", "t")
    (lot,) = member.account.holdings.lots.values()
    assert lot.expires_at == at(expires)


def test_what_waited_moves_on_with_later_purchases() -> None:
    member = member_of(expiry="{after_inactivity: P3M}")
    member.buy("2017-03-01", "A", 1000)
    member.survey("2017-03-10", "t")
    member.buy("2017-04-01", "B", 0)
    assert {lot.expires_at for lot in member.account.holdings.lots.values()} == {at("2017-07-01")}


def test_lots_of_awards_that_wait_for_different_things_stay_apart() -> None:
    text = (
        PROGRAM.replace("EVENT", "review")
        .replace("EXPIRY", "never")
        .replace(
            "surveys:",
            "  - {id: more, award: {fixed: 2}, activation: {on: visit, within: P14D}}\n"
            "  - {id: same, award: {fixed: 1}, activation: {on: visit, within: P14D}}\nsurveys:",
        )
    )
    member = Member(timeline(text))
    (event,) = member.buy("2017-03-01", "A", 1000)
    assert isinstance(event, PurchaseRewarded)
    assert [award.lot for award in event.awards] == [1, 2, 2]


def test_of_two_things_that_are_waited_for_each_comes_by_itself() -> None:
    text = (
        PROGRAM.replace("EVENT", "visit")
        .replace("EXPIRY", "never")
        .replace(
            "surveys:",
            "  - {id: more, award: {fixed: 2}, activation: {on: s, within: P14D}}\nsurveys:",
        )
        .replace("on: s,", "on: survey.completed.v1,")
    )
    member = Member(timeline(text))
    member.buy("2017-03-01", "A", 1000)
    member.survey("2017-03-02", "s")
    assert member.points == (7, 10, 0)
    assert list(member.account.holdings.awaits) == [1]
    member.activity("2017-03-03", "visit", "here")
    assert member.points == (17, 0, 0)
    assert list(member.account.holdings.awaits) == []


def test_the_lots_of_a_moment_show_what_was_known_then() -> None:
    member = member_of()
    member.buy("2017-03-01", "A", 1000)
    member.survey("2017-03-10", "t")
    (before,) = lots_at(member.id, member.events, at("2017-03-09"), member.programs)
    assert (before.pending, before.available, before.expires_at) == (10, 0, None)
    (after,) = lots_at(member.id, member.events, at("2017-03-10"), member.programs)
    assert (after.pending, after.available) == (0, 10)
    assert (after.activates_at, after.expires_at) == (at("2017-03-10"), at("2017-04-10"))


@pytest.mark.parametrize(
    ("activation", "code"),
    [
        ("{on: survey.complete.v1, within: P1D}", "unknown_event"),
        ("{on: review, within: PT0S}", "empty_duration"),
        ("{on: review}", "activation_kinds"),
        ("{on: 'a b', within: P1D}", "bad_value"),
    ],
)
def test_an_event_that_cannot_come_is_refused(activation: str, code: str) -> None:
    text = f"earn:\n- {{id: a, award: {{fixed: 1}}, activation: {activation}}}\n"
    assert [each.code for each in problems_of(HEAD + text)] == [code]


def test_no_time_of_inactivity_is_refused() -> None:
    text = "earn:\n- {id: a, award: {fixed: 1}, expiry: {after_inactivity: P0D}}\n"
    assert [each.code for each in problems_of(HEAD + text)] == ["empty_duration"]


def test_what_an_activity_earned_waits_and_moves_on_like_what_a_purchase_did() -> None:
    text = PROGRAM.replace("EVENT", "review").replace("EXPIRY", "{after_inactivity: P1M}")
    rules = (
        "  - {id: visit, on: {activity: visit}, award: {fixed: 7},\n"
        "     activation: {on: review, within: P14D}}\n"
        "  - {id: walk, on: {activity: walk}, award: {fixed: 3}}\n"
        "  - {id: review, on: {activity: review}, award: {fixed: 1}}\n"
    )
    member = Member(timeline(text.replace("surveys:", rules + "surveys:")))
    member.activity("2017-03-01", "visit", "v1")
    member.activity("2017-03-02", "walk", "w1")
    assert member.points == (3, 7, 0)
    member.buy("2017-03-20", "A", 0)
    assert member.points == (3, 0, 0), "no review came: revoked"
    member.tick("2017-04-19")
    assert member.points == (3, 0, 0), "a purchase moved them on"
    member.tick("2017-04-20")
    assert member.points == (0, 0, 0)
