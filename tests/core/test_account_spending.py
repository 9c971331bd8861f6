"""Reservations: drawn soonest-expiring first, confirmed, cancelled, lapsed."""

from tests.core.account_tools import Member, at, refused, timeline

PROGRAM = """
program: test
currency: RUB
time_zone: UTC
effective_from: 2017-01-01T00:00:00Z
point_value: 1
activation: immediately
expiry: {after: P1M}
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
surveys:
  - {id: short, award: {fixed: 20}, expiry: {after: P5D}}
  - {id: never, award: {fixed: 20}, expiry: never}
  - {id: later, award: {fixed: 20}, activation: {after: P3D}}
redemption: {minimum: 10, step: 5, reservation_ttl: PT30M, restore_grace: GRACE}
"""


def member_of(grace: str = "P2D") -> Member:
    return Member(timeline(PROGRAM.replace("GRACE", grace)))


def left(member: Member) -> dict[int, int]:
    return {n: lot.left for n, lot in member.account.holdings.lots.items()}


def test_the_lot_that_expires_first_is_drawn_first_and_never_last() -> None:
    member = member_of()
    member.survey("2017-01-02", "never")
    member.buy("2017-01-02", "X", 2000)
    member.survey("2017-01-02", "short")
    member.reserve("2017-01-02", "v", 50)
    member.confirm("2017-01-02", "v")
    assert left(member) == {1: 10}


def test_pending_points_are_not_spendable() -> None:
    member = member_of()
    member.survey("2017-01-02", "later")
    assert refused(member.reserve("2017-01-02", "v", 10)) == "not_enough_points"


def test_limits_of_spending() -> None:
    member = member_of()
    member.survey("2017-01-02", "never")
    assert refused(member.reserve("2017-01-02", "v", 5)) == "below_minimum"
    assert refused(member.reserve("2017-01-02", "v", 12)) == "not_a_step"
    assert refused(member.reserve("2017-01-02", "v", 25)) == "not_enough_points"
    member.reserve("2017-01-02", "v", 10)
    assert refused(member.reserve("2017-01-02", "v", 10)) == "reservation_exists"


def test_confirming_less_gives_the_rest_back_and_is_final() -> None:
    member = member_of()
    member.survey("2017-01-02", "short")
    member.reserve("2017-01-02", "v", 20)
    assert member.points == (0, 0, 20)
    assert refused(member.confirm("2017-01-02", "v", 25)) == "more_than_reserved"
    member.confirm("2017-01-02", "v", 15)
    assert member.points == (5, 0, 0)
    assert refused(member.confirm("2017-01-02", "v")) == "reservation_closed"
    assert refused(member.cancel("2017-01-02", "v")) == "reservation_closed"
    assert refused(member.reserve("2017-01-02", "v", 10)) == "reservation_exists"


def test_a_reservation_lapses_at_its_ttl() -> None:
    member = member_of()
    member.survey("2017-01-02", "never")
    member.reserve("2017-01-02", "v", 10)
    member.tick("2017-01-02T00:29:59Z")
    assert member.points == (10, 0, 10)
    assert refused(member.confirm("2017-01-02T00:30:00Z", "v")) == "unknown_reservation"
    assert member.points == (20, 0, 0)


def test_a_cancel_gives_back_the_same_lots_with_their_expiry() -> None:
    member = member_of()
    member.survey("2017-01-02", "short")
    member.reserve("2017-01-02", "v", 20)
    member.cancel("2017-01-02", "v")
    assert member.points == (20, 0, 0)
    assert member.account.holdings.lots[1].expires_at == at("2017-01-07")
    assert refused(member.cancel("2017-01-02", "v")) == "unknown_reservation"


def test_a_lot_that_expired_while_it_was_held_lives_on_for_the_grace() -> None:
    member = member_of()
    member.survey("2017-01-02", "short")
    member.reserve("2017-01-06T12:00:00Z", "v", 15, ttl=86_400)
    member.tick("2017-01-07")
    assert member.points == (0, 0, 15)
    assert member.account.expired == 5
    member.cancel("2017-01-07T06:00:00Z", "v")
    assert member.points == (15, 0, 0)
    assert member.account.holdings.lots[1].expires_at == at("2017-01-09T06:00:00Z")


def test_without_a_grace_it_expires_as_soon_as_it_is_given_back() -> None:
    member = member_of("PT0S")
    member.survey("2017-01-02", "short")
    member.reserve("2017-01-06T12:00:00Z", "v", 15, ttl=86_400)
    member.cancel("2017-01-07T06:00:00Z", "v")
    assert member.points == (0, 0, 0)
    assert member.account.expired == 20


def test_what_was_not_held_gets_no_grace_when_a_reservation_lapses_with_the_lot() -> None:
    member = member_of()
    member.survey("2017-01-02", "short")
    member.reserve("2017-01-06T23:30:00Z", "v", 15)
    member.tick("2017-01-07")
    assert member.points == (15, 0, 0)
    assert member.account.expired == 5
    assert member.account.holdings.lots[1].expires_at == at("2017-01-09")


def test_a_reservation_that_would_have_lapsed_before_it_arrived_is_refused() -> None:
    member = member_of()
    member.survey("2017-01-02", "never")
    member.buy("2017-01-03", "X", 100)
    assert refused(member.reserve("2017-01-02", "v", 10)) == "reservation_lapsed"


def test_a_confirm_that_names_an_order_restores_when_that_comes_back() -> None:
    member = member_of()
    member.survey("2017-01-02", "never")
    member.buy("2017-01-02", "X", 100)
    member.reserve("2017-01-02", "v", 10)
    member.confirm("2017-01-02", "v", order="X")
    assert member.points == (11, 0, 0)
    member.give_back("2017-01-03", "X", "r")
    assert member.points == (20, 0, 0)
