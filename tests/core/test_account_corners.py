"""What happens seldom: points that come back after they were gone, debts beside reservations,
lots that end twice, purchases that are known by hearsay."""

from zoneinfo import ZoneInfo

import msgspec
import pytest

from ledger.core.calendar import add
from ledger.core.program.duration import Duration
from schemas.decisions import (
    AccountSettled,
    Posting,
    PurchaseReturned,
    PurchaseRewarded,
    ReferralAccepted,
    ReservationCancelled,
    ReservationConfirmed,
    RewardReceived,
    RewardTakenBack,
)
from schemas.inputs import RevokeEffectData, RewardEffectData
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
  - {id: s, award: {fixed: 20}, expiry: {after: P9D}}
  - {id: never, award: {fixed: 20}, expiry: never}
returns: {policy: debt, window: P3M}
redemption: {reservation_ttl: P20D, restore_grace: GRACE}
referral:
  qualifies: {first_purchase: {at_least: 800, within: P60D}}
  referrer: {fixed: 100, activation: {after: P2D}, expiry: {after: P5D}}
  referee: {fixed: 50}
"""

REWARD = msgspec.json.encode(RewardEffectData("referral", "m2", "O", 100, "v"))
REVOKE = msgspec.json.encode(RevokeEffectData("referral", "m2", "O"))


def member_of(grace: str = "P0D") -> Member:
    return Member(timeline(PROGRAM.replace("GRACE", grace)))


def posted(member: Member, account: str) -> list[Posting]:
    """What the last event posted to an account."""
    return [p for p in member.events[-1].postings if p.account == account]


def test_a_lot_that_expires_in_two_parts_counts_as_expired_in_all() -> None:
    member = member_of()
    member.buy("2017-01-02", "X", 1000)
    member.reserve("2017-01-30", "v", 4)
    member.tick("2017-02-02")
    assert member.points == (0, 0, 4)
    assert member.account.expired == 6
    member.cancel("2017-02-03", "v")
    assert member.account.expired == 10
    (returned,) = member.give_back("2017-02-04", "X", "r")
    assert isinstance(returned, PurchaseReturned)
    assert [(c.taken, c.expired, c.let_go) for c in returned.clawbacks] == [(0, 10, 0)]
    assert member.points == (0, 0, 0)


def test_points_given_back_to_an_account_in_debt_pay_it_at_once() -> None:
    for give_back, kind in (
        (lambda m: m.cancel("2017-01-05", "v"), ReservationCancelled),
        (lambda m: m.confirm("2017-01-05", "v", 5), ReservationConfirmed),
        (lambda m: m.tick("2017-01-23"), AccountSettled),
    ):
        member = member_of()
        member.survey("2017-01-02", "never")
        member.buy("2017-01-02", "X", 1000)
        member.reserve("2017-01-03", "w", 10)
        member.confirm("2017-01-03", "w")
        member.reserve("2017-01-03", "v", 20)
        member.give_back("2017-01-04", "X", "r")
        assert member.points == (-10, 0, 20)
        event = give_back(member)[-1]  # type: ignore[no-untyped-call]
        assert isinstance(event, kind)
        assert member.account.balances().debt == 0
        assert member.points == ((10, 0, 0) if kind is not ReservationConfirmed else (5, 0, 0))
        when = at("2017-01-23") if kind is AccountSettled else at("2017-01-05")
        paid = [p for p in event.postings if p.account == "available" and p.lot == 0]
        assert paid == [Posting("available", 10, 0, when)]


def test_a_lot_that_was_restored_and_spent_again_keeps_its_expiry() -> None:
    member = member_of()
    member.survey("2017-01-02", "s")
    member.reserve("2017-01-02", "v", 20)
    member.confirm("2017-01-02", "v")
    member.buy("2017-01-02", "X", 500, 500, redemption_id="v")
    member.give_back("2017-01-03", "X", "r1", {"1": 500})
    member.reserve("2017-01-03", "w", 10)
    member.confirm("2017-01-03", "w")
    assert 1 not in member.account.holdings.lots
    member.give_back("2017-01-04", "X", "r2", {"2": 500})
    lot = member.account.holdings.lots[1]
    assert (lot.left, lot.expires_at) == (10, at("2017-01-11"))
    member.tick("2017-01-11")
    assert 1 not in member.account.holdings.lots


def test_a_confirmation_that_gives_back_to_an_expired_lot_tells_its_new_expiry() -> None:
    member = member_of("P2D")
    member.survey("2017-01-02", "s")
    member.reserve("2017-01-05", "v", 20)
    member.tick("2017-01-12")
    event = member.confirm("2017-01-13", "v", 5)[-1]
    assert isinstance(event, ReservationConfirmed)
    assert event.lot_expiries == ((1, at("2017-01-15")),)
    assert member.points == (15, 0, 0)
    member.tick("2017-01-15")
    assert member.points == (0, 0, 0)


def test_a_referrer_s_reward_tells_its_rule_and_has_the_form_s_dates() -> None:
    member = Member(timeline(PROGRAM.replace("GRACE", "P0D")), "old")
    event = member.effect("2017-01-02", "effect.reward.v1", REWARD)[-1]
    assert isinstance(event, RewardReceived)
    (award,) = event.awards
    assert (award.rule, award.kind, award.value, award.points) == ("referral", "referrer", 100, 100)
    assert (award.activates_at, award.expires_at) == (at("2017-01-04"), at("2017-01-09"))
    assert (event.kind, event.referee_id, event.order_id) == ("referral", "m2", "O")
    assert event.returnable_until == at("2017-04-02")
    assert member.points == (0, 100, 0)


def test_a_reward_that_expired_counts_as_taken_back() -> None:
    member = Member(timeline(PROGRAM.replace("GRACE", "P0D")), "old")
    member.effect("2017-01-02", "effect.reward.v1", REWARD)
    member.reserve("2017-01-05", "v", 30)
    member.confirm("2017-01-05", "v")
    member.tick("2017-01-09")
    event = member.effect("2017-01-10", "effect.revoke.v1", REVOKE)[-1]
    assert isinstance(event, RewardTakenBack)
    assert [(c.award, c.line, c.points, c.taken, c.expired) for c in event.clawbacks] == [
        (0, -1, 100, 30, 70)
    ]
    assert member.points == (-30, 0, 0)
    assert member.account.rewards == {}
    assert member.account.expired_unspent == {}


def test_what_expired_of_a_reward_is_forgotten_with_it() -> None:
    member = Member(timeline(PROGRAM.replace("GRACE", "P0D")), "old")
    member.effect("2017-01-02", "effect.reward.v1", REWARD)
    member.tick("2017-02-01")
    assert member.account.expired_unspent == {1: 100}
    member.buy("2018-01-01", "X", 100)
    assert member.account.rewards == {}
    assert member.account.expired_unspent == {}


def test_what_expired_of_an_order_is_forgotten_with_it() -> None:
    member = member_of()
    member.buy("2017-01-02", "X", 1000)
    member.tick("2017-03-01")
    assert member.account.expired_unspent == {1: 10}
    member.buy("2018-01-01", "Y", 100)
    assert set(member.account.orders) == {"Y"}
    assert member.account.expired_unspent == {}


@pytest.mark.parametrize(("amount", "verdict"), [(800, "qualified"), (799, "closed")])
def test_a_very_late_referral_is_judged_by_a_first_purchase_that_is_forgotten(
    amount: int, verdict: str
) -> None:
    member = member_of()
    member.buy("2017-01-05", "X", amount)
    member.buy("2018-01-05", "Y", 5000)
    assert set(member.account.orders) == {"Y"}
    event = member.referred("2017-01-04", "old")[-1]
    assert isinstance(event, ReferralAccepted)
    assert event.referral == verdict
    if verdict == "qualified":
        assert event.order_id == "X"
        # The points of that time have expired since.
        assert member.account.granted == 8 + 50 + 50
        assert member.points == (0 + 50, 0, 0)
        (effect,) = event.effects
        assert msgspec.json.decode(effect.data)["order_id"] == "X"


def test_a_referral_after_the_first_purchase_counts_what_is_left_of_it() -> None:
    member = member_of()
    member.buy("2017-01-05", "X", 500, 500)
    member.give_back("2017-01-06", "X", "r", {"1": 300})
    event = member.referred("2017-01-04", "old")[-1]
    assert isinstance(event, ReferralAccepted)
    assert event.referral == "closed", "700 are left, 800 are needed"


def test_a_purchase_paid_with_points_is_found_by_either_name() -> None:
    """The purchase names the redemption, or the confirmation names the order."""
    for named_by_purchase in (True, False):
        member = member_of()
        member.survey("2017-01-02", "never")
        member.reserve("2017-01-02", "v", 20)
        if named_by_purchase:
            member.confirm("2017-01-02", "v")
            bought = member.buy("2017-01-02", "X", 1000, redemption_id="v")[-1]
        else:
            bought = member.buy("2017-01-02", "X", 1000)[-1]
            member.confirm("2017-01-02", "v", order="X")
        assert isinstance(bought, PurchaseRewarded)
        member.give_back("2017-01-03", "X", "r")
        assert member.points == (20, 0, 0)
        assert posted(member, "redeemed") == [Posting("redeemed", -20, 1, at("2017-01-03"))]


def test_a_redemption_pays_for_one_order_only() -> None:
    member = member_of()
    member.survey("2017-01-02", "never")
    member.reserve("2017-01-02", "v", 20)
    member.confirm("2017-01-02", "v")
    member.buy("2017-01-02", "X", 1000, redemption_id="v")
    member.buy("2017-01-02", "Y", 1000, redemption_id="v")
    member.give_back("2017-01-03", "Y", "r1")
    assert posted(member, "redeemed") == []
    member.give_back("2017-01-03", "X", "r2")
    assert [p.points for p in posted(member, "redeemed")] == [-20]
    assert refused(member.give_back("2017-01-03", "X", "r3")) == "returned_more_than_bought"


def test_each_partial_return_restores_its_part_of_what_was_spent() -> None:
    member = member_of()
    member.survey("2017-01-02", "never")
    member.survey("2017-01-02", "s")
    member.reserve("2017-01-02", "v", 30)
    member.confirm("2017-01-02", "v")
    member.buy("2017-01-02", "X", 300, 300, 400, redemption_id="v")
    restored: list[list[tuple[int, int]]] = []
    for line, amount in (("1", 300), ("2", 150), ("2", 150), ("3", 400)):
        member.give_back("2017-01-03", "X", f"{line}-{len(restored)}", {line: amount})
        restored.append([(p.lot, -p.points) for p in posted(member, "redeemed")])
    # First to the lot that was drawn on first: 20 of the survey that expires, then the other.
    assert restored == [[(2, 9)], [(2, 4)], [(2, 5)], [(2, 2), (1, 10)]]
    assert member.points == (40, 0, 0)


def test_of_several_purchases_before_a_late_referral_the_earliest_that_qualifies_counts() -> None:
    text = PROGRAM.replace("GRACE", "P0D").replace("first_purchase", "purchase")
    member = Member(timeline(text))
    member.buy("2017-01-20", "C", 900)
    member.buy("2017-01-10", "B", 800)
    member.buy("2017-01-05", "A", 100)
    event = member.referred("2017-01-04", "old")[-1]
    assert isinstance(event, ReferralAccepted)
    assert (event.referral, event.order_id) == ("qualified", "B")
    assert event.effects[0].occurred_at == at("2017-01-10")


def test_a_grace_that_was_given_is_kept_when_the_lot_is_restored_again() -> None:
    member = member_of("P10D")
    member.survey("2017-01-02", "s")
    member.reserve("2017-01-02", "v", 20)
    member.confirm("2017-01-02", "v")
    member.buy("2017-01-02", "X", 500, 500, redemption_id="v")
    member.give_back("2017-01-15", "X", "r1", {"1": 500})
    assert member.account.holdings.lots[1].expires_at == at("2017-01-25")
    member.reserve("2017-01-16", "w", 10)
    member.confirm("2017-01-16", "w")
    assert 1 not in member.account.holdings.lots
    (returned,) = member.give_back("2017-01-20", "X", "r2", {"2": 500})
    assert isinstance(returned, PurchaseReturned)
    assert returned.lot_expiries == (), "the lot has not expired: it lives until the 25th"
    assert member.account.holdings.lots[1].expires_at == at("2017-01-25")


def test_a_purchase_says_whether_its_redemption_is_known() -> None:
    member = member_of()
    (plain,) = member.buy("2017-01-02", "W", 100)
    (unknown,) = member.buy("2017-01-02", "X", 100, redemption_id="v")
    member.survey("2017-01-02", "never")
    member.reserve("2017-01-02", "v", 20)
    (reserved,) = member.buy("2017-01-02", "Y", 100, redemption_id="v")
    member.confirm("2017-01-02", "v")
    (confirmed,) = member.buy("2017-01-02", "Z", 100, redemption_id="v")
    told = [e.redemption_unknown for e in (plain, unknown, reserved, confirmed)]  # type: ignore[union-attr]
    assert told == [False, True, False, False]


def test_a_confirmation_after_the_purchase_that_names_it_pays_for_that_purchase() -> None:
    member = member_of()
    member.survey("2017-01-02", "never")
    member.reserve("2017-01-02", "v", 20)
    member.buy("2017-01-02", "W", 1000)
    member.buy("2017-01-02", "X", 1000, redemption_id="v")
    member.buy("2017-01-02", "Y", 1000, redemption_id="vv")
    member.confirm("2017-01-02", "v")
    assert member.account.redemptions["v"].order_id == "X"
    for order, restored in (("W", []), ("Y", []), ("X", [-20])):
        member.give_back("2017-01-03", order, f"r-{order}")
        assert [p.points for p in posted(member, "redeemed")] == restored


def test_what_is_paid_late_can_be_restored_as_long_as_its_order_can_come_back() -> None:
    member = member_of()
    member.survey("2017-01-02", "never")
    member.reserve("2017-01-02", "v", 20)
    member.buy("2017-01-20", "X", 1000, redemption_id="v")
    member.confirm("2017-01-05", "v")
    assert member.account.redemptions["v"].returnable_until == at("2017-04-20")
    member.survey("2017-01-21", "s")
    member.reserve("2017-01-21", "w", 20)
    member.confirm("2017-01-21", "w")
    member.buy("2017-01-25", "Y", 1000, redemption_id="w")
    assert member.account.redemptions["w"].returnable_until == at("2017-04-25")


def test_a_referee_s_reward_that_expired_counts_as_taken_back_with_its_order() -> None:
    member = member_of()
    member.buy("2017-01-05", "X", 1000)
    (accepted,) = member.referred("2017-01-04", "old")
    assert isinstance(accepted, ReferralAccepted)
    assert accepted.referral == "qualified"
    member.tick("2017-02-10")
    assert member.account.expired == 10 + 50
    (returned,) = member.give_back("2017-02-10", "X", "r")
    assert isinstance(returned, PurchaseReturned)
    assert sorted((c.points, c.expired, c.taken) for c in returned.clawbacks) == [
        (10, 10, 0), (50, 50, 0),
    ]  # fmt: skip
    assert member.points == (0, 0, 0)


def test_a_late_purchase_pays_a_debt_at_its_own_moment() -> None:
    member = member_of()
    member.survey("2017-01-02", "never")
    member.buy("2017-01-02", "X", 1000)
    member.reserve("2017-01-03", "v", 30)
    member.confirm("2017-01-03", "v")
    member.give_back("2017-01-04", "X", "r")
    member.survey("2017-01-20", "s")
    member.reserve("2017-01-20", "w", 10)
    member.confirm("2017-01-20", "w")
    member.buy("2017-01-21", "Z", 100)
    member.give_back("2017-01-22", "Z", "r2")
    assert member.points == (0, 0, 0)
    member.buy("2017-01-22", "W", 1000)
    member.reserve("2017-01-23", "t", 10)
    member.confirm("2017-01-23", "t")
    member.give_back("2017-01-24", "W", "r3")
    assert member.points == (-10, 0, 0)
    member.buy("2017-01-10", "Y", 400)
    assert member.points == (-6, 0, 0)
    assert [p for p in posted(member, "available") if p.lot == 0] == [
        Posting("available", 4, 0, at("2017-01-10"))
    ]


def test_a_referral_that_rewards_the_referee_alone_is_taken_back_alone() -> None:
    text = "\n".join(line for line in PROGRAM.splitlines() if "referrer:" not in line)
    member = Member(timeline(text.replace("GRACE", "P0D")))
    member.referred("2017-01-01", "old")
    (bought,) = member.buy("2017-01-02", "X", 1000)
    assert (bought.effects, member.points) == ((), (60, 0, 0))
    (returned,) = member.give_back("2017-01-03", "X", "r")
    assert isinstance(returned, PurchaseReturned)
    assert (returned.referral, returned.effects) == ("taken_back", ())
    assert member.points == (0, 0, 0)


def test_an_expiry_in_the_hour_of_a_change_by_half_an_hour_is_the_calendar_s() -> None:
    """On 2017-10-01 the clocks of Lord Howe went from 02:00 to 02:30: no shift fits the hour."""
    zone = ZoneInfo("Australia/Lord_Howe")
    text = PROGRAM.replace("GRACE", "P0D").replace("UTC", zone.key)
    member = Member(timeline(text.replace("expiry: {after: P1M}", "expiry: {after: P6M}")))
    start = at("2017-04-01T02:00:00+11:00")
    for minute in range(0, 60, 5):
        when = start + minute * 60_000_000
        (bought,) = member.buy(when, f"X{minute}", 100)
        assert isinstance(bought, PurchaseRewarded)
        (award,) = bought.awards
        assert award.expires_at == add(when, Duration(months=6), zone)
