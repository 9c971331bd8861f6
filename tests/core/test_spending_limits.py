"""The share of a basket and the cap of a day, whatever is asked for."""

from hypothesis import given
from hypothesis import strategies as st

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
