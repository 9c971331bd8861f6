"""What an account remembers, and for how long: as long as an input may ask for it, not longer."""

from typing import Any

import pytest

from ledger.core.decide import decide, outcome_of
from ledger.core.errors import Undecidable
from ledger.core.returns import WAITING_MAX
from schemas import inputs
from schemas.decisions import MemberErased
from tests.core.account_tools import MINIMAL, Member, at, moment, refused, timeline

DAY = 86_400_000_000
LATE = 35 * DAY
"""How much longer than its window everything is kept, for inputs that are late."""

LIMITED = MINIMAL + "  - {id: daily, award: {fixed: 5}, limits: [{times: 1, per: day}]}\n"
WINDOW = MINIMAL + (
    "  - {id: once, award: {fixed: 5}, limits: [{times: 1, per: lifetime}]}\n"
    "returns: {window: P10D}\nsurveys: [{id: s, award: {fixed: 50}, expiry: never}]\n"
)
REFERRAL = WINDOW + (
    "referral:\n  qualifies: {first_purchase: {at_least: 100}}\n  referrer: {fixed: 50}\n"
)


def test_a_limit_counter_is_kept_a_year_and_the_late_days_and_no_longer() -> None:
    member = Member(timeline(LIMITED))
    first, last = at("2017-01-02"), at("2017-01-02") + 366 * DAY + LATE
    member.buy(first, "A", 100)
    (counter,) = member.account.used
    member.tick(last)
    member.buy(last, "B", 100)
    assert counter in member.account.used
    member.buy(last + 1, "C", 100)
    assert counter not in member.account.used
    assert len(member.account.used) == len(member.account.used_at) == 1


def test_a_counter_that_is_used_again_is_kept_from_then_on() -> None:
    member = Member(timeline(MINIMAL + (
        "  - {id: y, award: {fixed: 5}, limits: [{points: 100, per: year}]}\n"
        "  - {id: d, award: {fixed: 5}, limits: [{points: 100, per: day}]}\n"
    )))  # fmt: skip
    member.buy("2017-01-02", "A", 100)
    member.buy("2017-12-01", "B", 100)
    member.buy("2018-02-20", "C", 100)
    year = [key for key in member.account.used if key.startswith("y/year/2017")]
    assert [member.account.used[key] for key in year] == [(10, 2)]
    assert not any("2017-01-02" in key for key in member.account.used)


def test_a_lifetime_limit_is_never_forgotten() -> None:
    member = Member(timeline(WINDOW))
    member.buy("2017-01-02", "A", 100)
    member.buy("2029-01-02", "B", 100)
    assert member.account.used == {"once/lifetime/all": (5, 1)}
    assert member.points == (1, 0, 0), "the points of 2017 expired, and the rule held once"


def test_an_order_is_kept_for_late_returns_and_no_longer() -> None:
    member = Member(timeline(WINDOW))
    member.buy("2017-01-02", "A", 100)
    window_over = at("2017-01-12")
    member.survey(window_over + LATE, "s")
    assert "A" in member.account.orders
    fork = Member(timeline(WINDOW))
    fork.buy("2017-01-02", "A", 100)
    fork.survey(window_over + LATE + 1, "s")
    assert "A" not in fork.account.orders
    # The return happened in time and arrives late.
    member.give_back(window_over, "A", "r")
    assert member.account.holdings.lots == {2: member.account.holdings.lots[2]}
    assert refused(member.give_back(window_over + 1, "A", "r2")) == "return_window_over"


def test_what_was_spent_is_kept_as_long_as_a_return_can_restore_it() -> None:
    member = Member(timeline(WINDOW))
    member.survey("2017-01-02", "s")
    member.reserve("2017-01-02", "v", 10)
    member.confirm("2017-01-02", "v")
    over = at("2017-01-12") + LATE
    member.buy(over, "A", 100)
    assert refused(member.reserve(over, "v", 10)) == "reservation_exists"
    member.buy(over + 1, "B", 100)
    assert member.account.redemptions == {}


def test_a_referrer_s_reward_is_kept_as_long_as_the_order_can_come_back() -> None:
    member = Member(timeline(REFERRAL), "old")
    reward = inputs.RewardEffectData(
        kind="referral", referee_id="m2", order_id="O", points=50, program_version="v"
    )
    when = at("2017-01-02")
    member.send(
        inputs.RewardGranted(
            specversion="1.0", id="r", source="t", time=moment(when), subject="old", data=reward
        )
    )
    (kept,) = member.account.rewards.values()
    member.survey(kept.returnable_until + LATE, "s")
    assert list(member.account.rewards) == ["m2/O"]
    member.buy(kept.returnable_until + LATE + 1, "A", 100)
    assert member.account.rewards == {}


@pytest.mark.parametrize(
    ("lines", "path"), [(("1", "2", "1"), "data.lines[2].line_id"), (("1", "2", "3"), None)]
)
def test_a_line_twice_is_told_at_its_place_in_purchases_and_returns(
    lines: tuple[str, ...], path: str | None
) -> None:
    head: dict[str, Any] = {
        "specversion": "1.0", "id": "1", "source": "t", "time": moment("2017-01-02"),
        "subject": "m1",
    }  # fmt: skip
    bought = tuple(inputs.PurchaseLine(line, "sku", 100) for line in lines)
    back = tuple(inputs.ReturnedLine(line, 100) for line in lines)
    for event in (
        inputs.PurchaseCompleted(
            **head, data=inputs.PurchaseData("X", "s", "store", "RUB", bought)
        ),
        inputs.PurchaseReturned(**head, data=inputs.ReturnData("X", "r", back)),
    ):
        member = Member(timeline(MINIMAL))
        if path is None:
            assert member.send(event)
            continue
        with pytest.raises(Undecidable) as caught:
            member.send(event)
        assert (caught.value.code, caught.value.path) == ("duplicate_line_id", path)
        assert "'1' occurs twice" in caught.value.message


def test_what_is_undecidable_names_its_field() -> None:
    member = Member(timeline(MINIMAL))
    with pytest.raises(Undecidable) as early:
        member.buy("2016-12-31", "X", 100)
    assert (early.value.code, early.value.path) == ("no_program", "time")
    data = inputs.PurchaseData("X", "s", "store", "EUR", (inputs.PurchaseLine("1", "sku", 100),))
    with pytest.raises(Undecidable) as foreign:
        member.send(
            inputs.PurchaseCompleted(
                specversion="1.0", id="1", source="t", time=moment("2017-01-02"), data=data
            )
        )
    assert (foreign.value.code, foreign.value.path) == ("other_currency", "data.currency")


def test_an_erasure_forfeits_every_kind_of_points_and_tells_why() -> None:
    later = "surveys: [{id: t, award: {fixed: 7}, activation: {after: P1M}}, "
    member = Member(timeline(WINDOW.replace("surveys: [", later)))
    member.survey("2017-01-02", "s")
    member.reserve("2017-01-02", "v", 20)
    member.survey("2017-01-02", "t")
    assert member.points == (30, 7, 20)
    event = inputs.MemberErased(
        specversion="1.0", id="e", source="t", time=moment("2017-01-02T00:10:00Z"),
        subject="m1", data=inputs.ErasureData("asked by mail"),
    )  # fmt: skip
    (erased,) = [each for each in member.send(event) if isinstance(each, MemberErased)]
    assert erased.reason == "asked by mail"
    assert sorted((p.account, p.points) for p in erased.postings) == [
        *(("available", -30), ("pending", -7), ("reserved", -20)),
        *(("revoked", 7), ("revoked", 20), ("revoked", 30)),
    ]
    assert member.points == (0, 0, 0)
    assert member.account.holdings.lots == {}


def test_as_many_returns_may_wait_as_shopping_can_lead_to() -> None:
    member = Member(timeline(WINDOW))
    member.give_back("2017-01-02", "A", "r")
    (waiting,) = member.account.waiting["A"]
    full = {"A": (waiting,) * (WAITING_MAX - 2), "B": (waiting,)}
    member.account.waiting = full
    last = decide(member.account.fork(), back("C"), at("2017-01-02"), member.programs)
    assert outcome_of(last) == "waiting"
    member.account.waiting = {**full, "C": (waiting,)}
    more = decide(member.account.fork(), back("D"), at("2017-01-02"), member.programs)
    assert refused(more) == "too_many_waiting"


def back(order_id: str) -> inputs.PurchaseReturned:
    return inputs.PurchaseReturned(
        specversion="1.0", id=order_id, source="t", time=moment("2017-01-02"), subject="m1",
        data=inputs.ReturnData(order_id, f"r-{order_id}"),
    )  # fmt: skip
