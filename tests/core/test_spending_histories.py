"""Random histories of spending: the same whether time was settled on time, late or never."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ledger.core.decide import outcome_of, refusal_of
from schemas.decisions import (
    AccountEvent,
    PointsDonated,
    PointsRedeemed,
    PointsReserved,
    ReservationConfirmed,
    RewardClaimed,
)
from schemas.inputs import BasketLine
from tests.core.account_tools import Member, at, timeline

PROGRAM = """
program: test
currency: RUB
time_zone: Europe/Moscow
effective_from: 2017-01-01T00:00:00Z
point_value: 10
activation: {after: PT36H}
expiry: {after: P4D}
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
charities: [{id: shelter}]
rewards:
  - {id: cup, points: 15, kind: gift}
returns: {policy: POLICY, window: P3D}
redemption:
  minimum: 2
  reservation_ttl: PT5H
  restore_grace: P1D
  maximum_share: {percent: 60}
  excluded_categories: [B]
  per_day: 40
"""

HOUR = 3_600_000_000

STEPS = st.one_of(
    st.tuples(st.just("buy"), st.integers(0, 8_000), st.booleans()),
    st.tuples(st.just("return"), st.integers(1, 5), st.booleans()),
    st.tuples(st.just("redeem"), st.integers(1, 50), st.integers(0, 2_000)),
    st.tuples(st.just("reserve"), st.integers(1, 50), st.integers(0, 2_000)),
    st.tuples(st.just("confirm"), st.integers(1, 5), st.integers(1, 50)),
    st.tuples(st.just("cancel"), st.integers(1, 5), st.none()),
    st.tuples(st.just("adjust"), st.integers(-30, 30).filter(bool), st.booleans()),
    st.tuples(st.just("donate"), st.integers(1, 30), st.none()),
    st.tuples(st.just("claim"), st.none(), st.none()),
)
HISTORY = st.lists(st.tuples(st.integers(0, 30), STEPS), max_size=25)


class Shopper:
    """A member whose orders, redemptions and reservations are numbered as they come."""

    def __init__(self, policy: str) -> None:
        self.member = Member(timeline(PROGRAM.replace("POLICY", policy)))
        self.orders = self.names = self.returns = 0

    def do(self, now: int, step: tuple[Any, Any, Any]) -> tuple[str, str | None]:
        """How the step's input ended."""
        events = self._events(now, *step)
        refusal = refusal_of(events)
        return outcome_of(events), None if refusal is None else refusal.code

    def _events(self, now: int, kind: str, one: Any, two: Any) -> list[AccountEvent]:
        member = self.member
        if kind == "buy":
            self.orders += 1
            paid = f"v{self.names}" if two and self.names else None
            return member.buy(now, f"o{self.orders}", one, 1_000, redemption_id=paid)
        if kind == "return":
            self.returns += 1
            order = f"o{max(self.orders - one + 1, 1)}"
            return member.give_back(now, order, f"r{self.returns}", {"2": 500} if two else None)
        if kind in ("redeem", "reserve"):
            self.names += 1
            basket = (BasketLine(two, "A"), BasketLine(500, "B"))
            if kind == "redeem":
                return member.redeem(now, f"v{self.names}", one, basket=basket)
            return member.reserve(now, f"v{self.names}", one, basket=basket)
        name = f"v{max(self.names - (one or 0) + 1, 1)}"
        if kind == "confirm":
            return member.confirm(now, name, two)
        if kind == "cancel":
            return member.cancel(now, name)
        if kind == "adjust":
            return member.adjust(now, one, allow_debt=two)
        if kind == "donate":
            return member.donate(now, "shelter", one)
        return member.claim(now, "cup")


@given(policy=st.sampled_from(["debt", "within_balance", "only_pending"]), history=HISTORY)
def test_settling_on_time_or_never_ends_the_same(
    policy: str, history: list[tuple[int, tuple[Any, Any, Any]]]
) -> None:
    on_time, never = Shopper(policy), Shopper(policy)
    now = at("2017-01-03T00:00:00Z")
    for hours, step in history:
        for hour in range(hours):
            on_time.member.tick(now + hour * HOUR)
        now += hours * HOUR
        assert on_time.do(now, step) == never.do(now, step)
    end = now + 30 * 24 * HOUR
    for shopper in (on_time, never):
        shopper.member.tick(end)
    one, two = on_time.member.account, never.member.account
    assert one.balances() == two.balances()
    assert one.used == two.used
    assert one.redemptions == two.redemptions
    assert {n: lot.left for n, lot in one.holdings.lots.items()} == {
        n: lot.left for n, lot in two.holdings.lots.items()
    }


@given(policy=st.sampled_from(["debt", "within_balance", "only_pending"]), history=HISTORY)
def test_what_the_day_counts_is_what_was_spent_or_is_held(
    policy: str, history: list[tuple[int, tuple[Any, Any, Any]]]
) -> None:
    """Counted anew from the postings: each day's counter is what left the account for good by
    spending that was begun in it, or is held."""
    shopper = Shopper(policy)
    now = at("2017-01-03T00:00:00Z")
    for hours, step in history:
        now += hours * HOUR
        shopper.do(now, step)
    account, events = shopper.member.account, shopper.member.events
    confirmed = {e.reservation_id: e.points for e in events if isinstance(e, ReservationConfirmed)}
    counted: dict[str, int] = {}
    for event in events:
        if isinstance(event, PointsReserved):
            name, points = event.reservation_id, event.points
            if name not in account.reservations:
                points = confirmed.get(name, 0)
        elif isinstance(event, PointsRedeemed | PointsDonated | RewardClaimed):
            points = event.points
        else:
            continue
        assert event.counter is not None
        counted[event.counter] = counted.get(event.counter, 0) + points
    assert {key: points for key, (points, _) in account.used.items()} == {
        key: points for key, points in counted.items() if key in account.used
    }
    assert all(points <= 40 for points in counted.values())
