"""Points given to another member: what they keep, what refuses them, and what comes after."""

import pytest

from ledger.core.lots import NEVER
from schemas import inputs
from schemas.decisions import PointsReceived, PointsSent
from tests.core.account_tools import MINIMAL, Member, at, refused, timeline, transfer

ON = MINIMAL + "transfers: {}\n"
LIMITED = MINIMAL + "transfers: {minimum: 10, at_most: 60, per_day: 70, per_month: 100}\n"


def two(program: str = ON) -> tuple[Member, Member]:
    """A giver with 100 points from 1 January 2020 on, and a receiver with 1."""
    programs = timeline(program)
    giver, receiver = Member(programs, "giver"), Member(programs, "receiver")
    giver.buy("2020-01-01", "o1", 10_000)
    receiver.buy("2020-01-01", "o2", 100)
    return giver, receiver


def test_points_move_and_keep_the_expiry_of_their_lots() -> None:
    giver, receiver = two()
    giver.buy("2020-02-01", "o3", 5_000)
    assert transfer(giver, receiver, "2020-03-01", 120) is None
    assert giver.points == (30, 0, 0)
    assert receiver.points == (121, 0, 0)
    sent, received = giver.events[-1], receiver.events[-1]
    assert isinstance(sent, PointsSent)
    assert isinstance(received, PointsReceived)
    assert (sent.to, received.sender) == ("receiver", "giver")
    came = [(lot.granted, lot.expires_at) for lot in received.lots]
    assert came == [(100, at("2021-01-01")), (20, at("2021-02-01"))]
    receiver.tick("2021-01-01")
    assert receiver.points == (20, 0, 0)
    receiver.tick("2021-02-01")
    assert receiver.points == (0, 0, 0)
    assert receiver.account.granted == 1, "what was given is not granted again"


def test_points_that_never_expire_stay_so() -> None:
    giver, receiver = two(ON.replace("{after: P12M}", "never"))
    transfer(giver, receiver, "2020-03-01", 100)
    assert receiver.account.holdings.next_due() == NEVER


@pytest.mark.parametrize(
    ("points", "code"), [(9, "below_minimum"), (61, "above_maximum"), (60, None)]
)
def test_one_transfer_keeps_to_its_limits(points: int, code: str | None) -> None:
    giver, receiver = two(LIMITED)
    assert transfer(giver, receiver, "2020-01-02", points) == code


def test_limits_per_day_and_month_count_what_was_given() -> None:
    giver, receiver = two(LIMITED)
    giver.buy("2020-01-01", "o3", 50_000)
    assert transfer(giver, receiver, "2020-01-02T08:00:00Z", 40) is None
    assert transfer(giver, receiver, "2020-01-02T09:00:00Z", 31) == "over_limit"
    assert transfer(giver, receiver, "2020-01-02T09:00:00Z", 30) is None
    assert transfer(giver, receiver, "2020-01-03T00:00:00Z", 31) == "over_limit"
    assert transfer(giver, receiver, "2020-01-03T00:00:00Z", 30) is None
    assert transfer(giver, receiver, "2020-01-31T00:00:00Z", 10) == "over_limit"
    assert transfer(giver, receiver, "2020-02-01T00:00:00Z", 60) is None


def test_more_than_is_available_is_refused() -> None:
    giver, receiver = two()
    giver.reserve("2020-01-02", "r1", 50, ttl=86_400)
    assert transfer(giver, receiver, "2020-01-02T01:00:00Z", 51) == "not_enough_points"
    assert transfer(giver, receiver, "2020-01-02T01:00:00Z", 50) is None


def test_without_the_section_transfers_are_off() -> None:
    giver, receiver = two(MINIMAL)
    assert transfer(giver, receiver, "2020-01-02", 10) == "transfers_off"


def test_nobody_gives_to_themselves_or_to_nobody() -> None:
    giver, _ = two()
    assert transfer(giver, giver, "2020-01-02", 10) == "transfer_to_self"
    stranger = Member(giver.programs, "stranger")
    assert transfer(giver, stranger, "2020-01-02", 10) == "receiver_unknown"
    assert stranger.events == []


def test_a_closed_or_erased_receiver_gets_nothing() -> None:
    giver, receiver = two(ON + "closing: {notice: P30D}\n")
    receiver.standing("2020-01-02", inputs.AccountClose)
    assert transfer(giver, receiver, "2020-01-03", 10) == "receiver_closed"
    receiver.erase("2020-01-04")
    assert transfer(giver, receiver, "2020-01-05", 10) == "receiver_erased"
    assert giver.points == (100, 0, 0)


def test_a_frozen_member_gets_points_and_gives_none() -> None:
    giver, receiver = two()
    receiver.standing("2020-01-02", inputs.AccountFreeze)
    assert transfer(giver, receiver, "2020-01-03", 10) is None
    assert receiver.points == (11, 0, 0)
    assert transfer(receiver, giver, "2020-01-03", 5) == "account_frozen"


def test_what_arrives_pays_the_receivers_debt_first() -> None:
    giver, receiver = two()
    receiver.reserve("2020-01-01T01:00:00Z", "r1", 1)
    receiver.confirm("2020-01-01T01:00:00Z", "r1")
    receiver.give_back("2020-01-02", "o2", "back")
    assert receiver.points == (-1, 0, 0)
    transfer(giver, receiver, "2020-01-03", 10)
    assert receiver.points == (9, 0, 0)


def test_a_return_after_the_points_were_given_goes_into_debt() -> None:
    giver, receiver = two()
    transfer(giver, receiver, "2020-01-02", 100)
    giver.give_back("2020-01-03", "o1", "back")
    assert giver.points == (-100, 0, 0)
    assert receiver.points == (101, 0, 0)


def test_a_return_at_the_receiver_may_use_points_that_came() -> None:
    giver, receiver = two()
    receiver.reserve("2020-01-01T01:00:00Z", "r1", 1)
    receiver.confirm("2020-01-01T01:00:00Z", "r1")
    transfer(giver, receiver, "2020-01-02", 10)
    receiver.give_back("2020-01-03", "o2", "back")
    assert receiver.points == (9, 0, 0)


def test_what_has_expired_for_the_receiver_meanwhile_is_received_and_expires() -> None:
    giver, receiver = two()
    receiver.buy("2021-06-01", "o3", 100)
    assert transfer(giver, receiver, "2020-12-31", 100) is None
    assert giver.points == (0, 0, 0)
    assert receiver.points == (1, 0, 0)
    assert receiver.account.expired == 101


def test_a_late_giver_gives_points_that_the_receiver_gets_when_they_activate() -> None:
    giver, receiver = two(ON.replace("immediately", "{after: P14D}"))
    giver.tick("2020-02-01")
    assert giver.points == (100, 0, 0)
    assert transfer(giver, receiver, "2020-01-10", 40) is None
    assert receiver.points == (0, 41, 0)
    receiver.tick("2020-01-15")
    assert receiver.points == (41, 0, 0)


def test_a_refused_transfer_changes_the_receiver_in_nothing() -> None:
    giver, receiver = two()
    before = len(receiver.events)
    assert transfer(giver, receiver, "2021-06-01", 10) == "not_enough_points"
    assert len(receiver.events) == before, "it is not even settled"
    assert refused(giver.events[-1:]) == "not_enough_points"
