"""The share of a basket and the cap of a day, whatever is asked for."""

from hypothesis import given
from hypothesis import strategies as st

from ledger.core.payable import payable
from schemas.decisions import PointsRedeemed, PointsReserved
from tests.core.account_tools import at
from tests.core.test_account_redeeming import CAPPED, basket, member_of


@given(
    lines=st.lists(st.tuples(st.sampled_from(["A", "B", None]), st.integers(0, 10**12)),
                   min_size=1, max_size=5),
    percent=st.integers(1, 100),
    points=st.integers(1, 1000),
)  # fmt: skip
def test_the_share_is_exact(lines: list[tuple[str | None, int]], percent: int, points: int) -> None:
    member = member_of(f"{{maximum_share: {{percent: {percent}}}, excluded_categories: B}}")
    events = member.redeem("2017-01-03", "v", points, basket=basket(*lines))
    amount = sum(amount for category, amount in lines if category != "B")
    allowed = points * 10 * 100 <= amount * percent
    assert isinstance(events[-1], PointsRedeemed) == allowed


@given(
    lines=st.lists(st.tuples(st.sampled_from(["A", "B", None]), st.integers(0, 5_000)),
                   min_size=1, max_size=5),
    percent=st.integers(1, 100),
    per_day=st.integers(1, 1500),
    step=st.sampled_from([1, 5, 7]),
    minimum=st.sampled_from([0, 3, 50]),
    spent=st.integers(0, 800),
)  # fmt: skip
def test_what_is_told_to_be_payable_is_taken_and_no_step_more(
    lines: list[tuple[str | None, int]],
    percent: int,
    per_day: int,
    step: int,
    minimum: int,
    spent: int,
) -> None:
    member = member_of(
        f"{{maximum_share: {{percent: {percent}}}, excluded_categories: B, per_day: {per_day},"
        f" step: {step}, minimum: {minimum}}}"
    )
    if spent:
        member.redeem("2017-01-03", "before", spent, basket=basket(("A", 10**9)))
    when = at("2017-01-03T01:00:00Z")
    asked = basket(*lines)
    told = payable(member.account, member.programs.at(when), when, asked)
    more = member.redeem(when, "more", told.points + step, basket=asked)[-1]
    paid = isinstance(more, PointsRedeemed)
    # More is taken only where it would pay above what the basket costs, which no rule forbids.
    assert not paid or told.limited_by == "basket_paid"
    if told.points and not paid:
        assert isinstance(member.redeem(when, "all", told.points, basket=asked)[-1], PointsRedeemed)


@given(
    steps=st.lists(
        st.tuples(st.sampled_from("rcxd"), st.integers(1, 120), st.integers(0, 26 * 60)),
        max_size=25,
    )
)
def test_no_day_ever_sees_more_than_its_cap(steps: list[tuple[str, int, int]]) -> None:
    """Reserved at random, confirmed, cancelled and left to lapse: of each local day, what is held
    or was spent of what was begun in it."""
    member = member_of(CAPPED)
    now, names = at("2017-01-03T00:00:00Z"), 0
    open_: list[tuple[str, int]] = []
    for kind, points, minutes in steps:
        now += minutes * 60_000_000
        if kind in "rd":
            names += 1
            send = member.reserve if kind == "r" else member.redeem
            send(now, f"v{names}", points)
        elif open_ or names:
            name = f"v{max(names - points % 3, 1)}"
            _ = member.confirm(now, name) if kind == "c" else member.cancel(now, name)
    days: dict[int, int] = {}
    lapsed = {name for event in member.events for name in getattr(event, "lapsed", ())}
    cancelled = {
        event.reservation_id  # type: ignore[union-attr]
        for event in member.events
        if type(event).__name__ == "ReservationCancelled"
    }
    for event in member.events:
        if isinstance(event, PointsRedeemed | PointsReserved):
            name = event.redemption_id if isinstance(event, PointsRedeemed) else (
                event.reservation_id
            )  # fmt: skip
            if name not in lapsed | cancelled:
                day = (event.occurred_at + 3 * 3_600_000_000) // 86_400_000_000
                days[day] = days.get(day, 0) + event.points
    assert all(spent <= 100 for spent in days.values())
