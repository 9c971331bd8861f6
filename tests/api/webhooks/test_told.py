"""Which public events an event of the log is, and the balances that are told with them."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from api.webhooks import balances, making
from api.webhooks.errors import WebhookRefused
from api.webhooks.matching import TYPES, checked_types, public_events, wants
from ledger.core.program.form import Transfers
from projections.runner import Runner
from schemas import decisions as d
from schemas import inputs
from schemas.inputs import InputEvent
from tests.api.webhooks.conftest import Add
from tests.projections.conftest import Shop
from tests.projections.log_writer import (
    confirm,
    day,
    erase,
    give_back,
    program,
    purchase,
    reserve,
    survey,
)

STANDING = inputs.StandingData("clerk", "asked for by anna@example.com")


def of(kind: Callable[..., InputEvent], days: float, data: Any) -> InputEvent:
    """An input of a day."""
    return kind(
        specversion="1.0",
        id=f"{kind.__name__}-{days}",
        source="test",
        time=day(days),
        subject="any",
        data=data,
    )


STORY: tuple[InputEvent, ...] = (
    of(inputs.MemberEnrolled, 0, inputs.MemberData()),
    purchase("o1", day(0.1), (20_000, 30_000)),  # 500 + 50 pending, silver
    of(inputs.MemberUpdated, 0.2, inputs.MemberData()),
    survey("m1", day(1)),  # 200 at once
    reserve("r1", day(2), 100),
    confirm("r1", day(2.01)),
    reserve("r2", day(3), 50),
    of(inputs.ReservationCancel, 3.01, inputs.CancelData("r2")),
    reserve("r3", day(4), 20),
    of(inputs.AccountFreeze, 5, STANDING),  # r3 has lapsed
    reserve("r4", day(5.1), 20),  # refused
    of(inputs.AccountUnfreeze, 6, STANDING),
    of(inputs.PointsAdjust, 9, inputs.AdjustData(-30, "mistake of anna@example.com", "clerk")),
    of(inputs.PointsRedeem, 10, inputs.RedeemData("d1", 200, "o2")),
    purchase("o2", day(10.1), (5_000,)),
    give_back("o2", day(11)),
    give_back("o1", day(12), {"l1": 20_000}),
    purchase("o3", day(250), (1_000,)),  # what is left of o1 has expired
    of(inputs.AccountClose, 260, STANDING),
)

TELLS = {
    "member.enrolled", "member.updated", "member.frozen", "member.unfrozen", "member.closed",
    "purchase.rewarded", "purchase.returned", "points.earned", "points.activated", "points.spent",
    "points.returned", "points.taken_back", "points.expired", "points.adjusted",
    "reservation.made", "reservation.confirmed", "reservation.cancelled", "reservation.lapsed",
    "tier.changed", "input.refused",
}  # fmt: skip


def bodies(shop: Shop) -> list[dict[str, Any]]:
    """What was made, in order."""
    found = shop.session.execute("SELECT body FROM api.deliveries ORDER BY number")
    return [msgspec.json.decode(row[0]) for row in found]


def played(shop: Shop, fold_after: int | None) -> dict[int, tuple[int, int, int]]:
    """The story; the balances of the account itself, by position."""
    expected: dict[int, tuple[int, int, int]] = {}
    for number, event in enumerate(STORY):
        shop.log.take("m1", event)
        held = shop.log.accounts["m1"].balances()
        expected[shop.log.accounts["m1"].version] = (held.available, held.pending, held.reserved)
        if number == fold_after:
            Runner(shop.url).run(until_caught_up=True)
    return expected


@pytest.mark.parametrize("fold_after", [0, 7, len(STORY) - 1])
def test_a_whole_story_and_its_balances_wherever_the_read_model_stands(
    shop: Shop, add: Add, fold_after: int
) -> None:
    add()
    expected = played(shop, fold_after)
    while making.make(shop.session).events:
        pass
    told = bodies(shop)
    assert {one["type"] for one in told} == TELLS
    seen = set()
    for one in told:
        data = one["data"]
        assert data["member_id"] == "m1"
        found = tuple(data["balance"][name] for name in ("available", "pending", "reserved"))
        if data["version"] in expected:
            assert found == expected[data["version"]], one
            seen.add(data["version"])
    assert len(seen) >= len(STORY) - 2
    assert "anna" not in repr(told), "what people write about members is not told"


def test_the_points_of_the_story(shop: Shop, add: Add) -> None:
    add()
    played(shop, None)
    making.make(shop.session)
    told = bodies(shop)
    assert all("balance" not in one["data"] for one in told), "nothing was ever folded"

    def points(type_: str) -> list[int]:
        return [one["data"]["points"] for one in told if one["type"] == type_]

    assert points("points.earned") == [550, 200, 50 + 50, 10]
    assert points("points.spent") == [100, 200]
    assert points("points.adjusted") == [-30]
    assert points("points.returned") == [200]
    assert points("points.activated")[0] == 550
    moved = sum(points("points.earned")) + sum(points("points.adjusted"))
    moved += sum(points("points.returned")) - sum(points("points.spent"))
    moved -= sum(points("points.taken_back")) + sum(points("points.expired"))
    held = shop.log.accounts["m1"].balances()
    assert moved == held.available + held.pending + held.reserved
    tiers = [one["data"] for one in told if one["type"] == "tier.changed"]
    assert (tiers[0]["previous"], tiers[0]["tier"]) == ("none", "silver")


def test_two_members_and_the_system(shop: Shop, add: Add) -> None:
    add()
    shop.log.take("m1", survey("m1", day(1)))
    shop.log.take("m2", survey("m2", day(1)))
    event = of(inputs.PointsTransfer, 2, inputs.TransferData("m2", 50))
    assert isinstance(event, inputs.PointsTransfer)
    form = msgspec.structs.replace(program(), effective_from=day(3), transfers=Transfers())
    shop.log.publish(form)
    shop.log.pair("m1", "m2", msgspec.structs.replace(event, time=day(4)))
    merge = of(inputs.AccountMerge, 5, inputs.MergeData("m2", "clerk", "the same person"))
    assert isinstance(merge, inputs.AccountMerge)
    shop.log.pair("m1", "m2", merge)
    shop.log.take("m2", erase(day(6)))
    making.make(shop.session)
    told = [(one["type"], one["data"].get("member_id")) for one in bodies(shop)]
    for expected in (
        ("points.sent", "m1"),
        ("points.received", "m2"),
        ("member.merged", "m1"),
        ("member.absorbed", "m2"),
        ("member.erased", "m2"),
        ("program.published", None),
    ):
        assert expected in told


def test_a_referral() -> None:
    event = d.ReferralAccepted(occurred_at=0, referrer_id="m7", code="x")
    assert [(one.type, one.data) for one in public_events(event)] == [
        ("referral.accepted", {"referrer_id": "m7"})
    ]


def test_every_type_has_an_example_above() -> None:
    others = {"points.sent", "points.received", "member.merged", "member.absorbed",
              "member.erased", "program.published", "referral.accepted"}  # fmt: skip
    assert TELLS | others == set(TYPES)


def test_what_a_list_of_types_wants() -> None:
    assert wants(["*"], "points.earned")
    assert wants(["points.*"], "points.earned")
    assert not wants(["point.*", "points.spent"], "points.earned")
    assert checked_types(["points.*", "points.*", "tier.changed"]) == ["points.*", "tier.changed"]
    for wrong in (["*.earned"], ["points"], ["webhook.test"], ["Points.earned"], [""], ["x"] * 99):
        with pytest.raises(WebhookRefused):
            checked_types(wrong)


def test_no_balance_where_the_read_model_is_far_away(
    shop: Shop, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(balances, "DISTANCE_MAX", 3)
    shop.log.take("m1", survey("m1", day(1)))
    Runner(shop.url).run(until_caught_up=True)
    for number in range(5):
        shop.log.take("m1", purchase(f"o{number}", day(2 + number / 10), (1_000,)))
    add("points.earned")
    shop.log.take("m1", purchase("last", day(3), (1_000,)))
    making.make(shop.session)
    (one,) = bodies(shop)
    assert "balance" not in one["data"]
