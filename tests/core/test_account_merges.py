"""Two accounts that become one: what goes over, what a later input finds, what is refused."""

import json

import msgspec
import pytest

from ledger.core import merging
from ledger.core.account import Account
from ledger.core.kept import Kept
from ledger.core.pairs import other_of
from schemas import inputs
from schemas.decisions import Effect, Facts, PurchaseReturned
from tests.core.account_tools import MINIMAL, Member, at, merge, refused, timeline, transfer

PENDING = MINIMAL.replace("immediately", "{after: P14D}")
TIERS = """
tiers:
  qualify_by: {amount_spent: {window: calendar_year}}
  levels: [{id: silver, at_least: 10000}, {id: gold, at_least: 20000}]
"""
REFERRAL = """
referral: {qualifies: {purchase: {at_least: 1000}}, referrer: {fixed: 100}, referee: {fixed: 10}}
"""


def two(program: str = MINIMAL) -> tuple[Member, Member]:
    """`old` with 100 points of 1 January 2020, `new` with 50 of 1 February."""
    programs = timeline(program)
    old, new = Member(programs, "old"), Member(programs, "new")
    old.buy("2020-01-01", "o1", 10_000)
    new.buy("2020-02-01", "n1", 5_000)
    return old, new


def test_a_merge_concerns_the_account_that_it_goes_into() -> None:
    old, new = two()
    data = inputs.MergeData(new.id, "anna", "one person")
    assert other_of(inputs.AccountMerge(**old.head("2020-03-01"), data=data)) == new.id


def test_lots_go_over_with_their_expiry() -> None:
    old, new = two()
    assert merge(old, new, "2020-03-01") is None
    assert old.points == (0, 0, 0)
    assert new.points == (150, 0, 0)
    assert (old.account.status, old.account.merged_into) == ("merged", "new")
    assert new.account.merged_from == ("old",)
    assert new.account.granted == 50, "what went over was granted elsewhere"
    new.tick("2021-01-01")
    assert new.points == (50, 0, 0)
    new.tick("2021-02-01")
    assert new.points == (0, 0, 0)


def test_pending_points_activate_when_they_would_have() -> None:
    old, new = two(PENDING)
    old.buy("2020-02-20", "o2", 3_000)
    assert merge(old, new, "2020-03-01") is None
    assert new.points == (150, 30, 0)
    new.tick("2020-03-05")
    assert new.points == (180, 0, 0)


def test_pending_points_that_are_due_in_the_other_account_activate_at_once() -> None:
    old, new = two(PENDING)
    old.buy("2020-02-20", "o2", 3_000)
    new.tick("2020-06-01")
    new.buy("2020-06-01", "n2", 100)
    assert merge(old, new, "2020-03-01") is None
    assert new.points == (180, 1, 0)


def test_a_debt_goes_over_and_is_paid() -> None:
    old, new = two()
    transfer_on, _ = two(MINIMAL + "transfers: {}\n")
    other = Member(transfer_on.programs, "other")
    other.buy("2020-01-01", "x1", 100)
    transfer(transfer_on, other, "2020-01-02", 100)
    transfer_on.give_back("2020-01-03", "o1", "back")
    assert transfer_on.points == (-100, 0, 0)
    rich = Member(transfer_on.programs, "rich")
    rich.buy("2020-01-01", "r1", 30_000)
    assert merge(transfer_on, rich, "2020-03-01") is None
    assert rich.points == (200, 0, 0)
    assert transfer_on.points == (0, 0, 0)
    assert merge(old, new, "2020-03-01") is None


def test_the_debt_of_the_account_that_stays_is_paid_by_what_comes() -> None:
    old, new = two()
    new.reserve("2020-02-01T01:00:00Z", "r1", 50)
    new.confirm("2020-02-01T01:00:00Z", "r1")
    new.give_back("2020-02-02", "n1", "back")
    assert new.points == (-50, 0, 0)
    merge(old, new, "2020-03-01")
    assert new.points == (50, 0, 0)


def test_a_return_finds_the_order_and_its_own_lot() -> None:
    old, new = two()
    merge(old, new, "2020-03-01")
    (returned,) = new.give_back("2020-03-02", "o1", "back", {"1": 4_000})
    assert isinstance(returned, PurchaseReturned)
    assert new.points == (110, 0, 0)
    lots = new.account.holdings.lots
    assert sorted((lot.source, lot.available) for lot in lots.values()) == [("n1", 50), ("o1", 60)]


def test_points_spent_before_are_restored_after() -> None:
    old, new = two()
    old.reserve("2020-01-05", "r1", 100)
    old.confirm("2020-01-05", "r1", order="o2")
    old.buy("2020-01-05", "o2", 1_000, redemption_id="r1")
    assert old.points == (10, 0, 0)
    merge(old, new, "2020-03-01")
    assert new.points == (60, 0, 0)
    new.give_back("2020-03-02", "o2", "back")
    assert new.points == (150, 0, 0)
    new.tick("2021-01-01")
    assert new.points == (50, 0, 0), "what came back expires with the lot it was drawn from"


def test_points_spent_before_come_back_as_far_as_purchases_had_moved_them() -> None:
    old, new = two(MINIMAL.replace("after: P12M", "after_inactivity: P6M"))
    old.reserve("2020-02-01", "h", 100)
    old.confirm("2020-02-01", "h")
    old.buy("2020-02-01", "o2", 100, redemption_id="h")
    old.buy("2020-05-01", "o3", 100)  # moves all of them on to 1 November, spent ones too
    assert merge(old, new, "2020-06-01") is None
    new.give_back("2020-06-02", "o2", "back")
    new.tick("2020-10-31")
    assert new.points == (101, 0, 0)
    new.tick("2020-11-01")
    assert new.points == (0, 0, 0)


def test_points_that_expired_unspent_count_as_taken_back() -> None:
    program = MINIMAL.replace("after: P12M", "after: P1M")
    old, new = two(program)
    old.tick("2020-02-15")
    merge(old, new, "2020-02-20")
    new.give_back("2020-02-21", "o1", "back")
    assert new.points == (50, 0, 0)


def test_what_expires_while_it_goes_over_counts_as_taken_back_too() -> None:
    old, new = two(MINIMAL.replace("after: P12M", "after: P3M"))
    new.buy("2020-08-01", "n2", 100)
    merge(old, new, "2020-03-01")
    assert new.points == (1, 0, 0)
    new.give_back("2020-08-02", "o1", "back")
    assert new.points == (1, 0, 0)


def test_a_reservation_goes_over_and_can_be_confirmed() -> None:
    old, new = two()
    old.reserve("2020-03-01T00:00:00Z", "r1", 40)
    merge(old, new, "2020-03-01T00:10:00Z")
    assert new.points == (110, 0, 40)
    new.confirm("2020-03-01T00:20:00Z", "r1", 30)
    assert new.points == (120, 0, 0)


def test_a_reservation_that_went_over_lapses() -> None:
    old, new = two()
    old.reserve("2020-03-01T00:00:00Z", "r1", 40)
    merge(old, new, "2020-03-01T00:10:00Z")
    new.tick("2020-03-01T00:30:00Z")
    assert new.points == (150, 0, 0)


def test_reservations_of_one_id_are_told_apart_by_their_members() -> None:
    old, new = two()
    old.reserve("2020-03-01T00:00:00Z", "r1", 40)
    new.reserve("2020-03-01T00:00:00Z", "r1", 20)
    merge(old, new, "2020-03-01T00:10:00Z")
    assert new.points == (90, 0, 60)
    new.confirm("2020-03-01T00:20:00Z", "r1")
    assert new.points == (90, 0, 40)
    head = {**new.head("2020-03-01T00:21:00Z"), "subject": "old"}
    new.forwarded(inputs.ReservationCancel(**head, data=inputs.CancelData("r1")))
    assert new.points == (130, 0, 0)


def test_an_order_that_both_accounts_have_stays_as_the_other_has_it() -> None:
    old, new = two()
    new.buy("2020-02-02", "o1", 10_000)
    merge(old, new, "2020-03-01")
    assert new.points == (250, 0, 0)
    new.give_back("2020-03-02", "o1", "back")
    assert new.points == (150, 0, 0)


def test_counters_and_tiers_are_summed() -> None:
    limited = (MINIMAL + TIERS).replace(
        "per_amount: 100}}", "per_amount: 100}}, limits: [{per: year, points: 160}]"
    )
    old, new = two(limited)
    assert old.account.tier == "silver"
    merge(old, new, "2020-03-01")
    assert new.account.tier == "silver", "150.00 in all"
    assert old.account.tier == "none"
    new.buy("2020-03-02", "n2", 5_000)
    assert new.points == (160, 0, 0), "of 160 points a year 150 were earned by the two"
    assert new.account.tier == "gold"
    assert new.account.purchases == 3


def test_what_counts_for_tiers_and_the_first_purchase_are_those_of_both() -> None:
    old, new = two()
    merge(old, new, "2020-03-01")
    assert new.account.lifetime == (15_000, 150, 2)
    assert new.account.months == {
        at("2020-01-01"): (10_000, 100, 1),
        at("2020-02-01"): (5_000, 50, 1),
    }
    assert new.account.first_purchase is not None
    assert new.account.first_purchase.order_id == "o1"
    other, stays = two()
    merge(stays, other, "2020-03-01")
    assert other.account.first_purchase is not None
    assert other.account.first_purchase.order_id == "o1"


def test_points_of_a_reservation_that_went_over_live_on_for_the_grace() -> None:
    program = MINIMAL.replace("after: P12M", "after: P1M") + "redemption: {restore_grace: P7D}\n"
    old, new = two(program)
    old.reserve("2020-01-31T12:00:00Z", "r1", 40, ttl=86_400)
    new.reserve("2020-02-01T00:30:00Z", "r2", 20, ttl=86_400)
    merge(old, new, "2020-02-01T01:00:00Z")
    assert new.points == (30, 0, 60), "60 of the 100 expired at midnight"
    new.cancel("2020-02-01T01:00:00Z", "r1")
    assert new.points == (70, 0, 20)
    new.tick("2020-02-08T00:59:59Z")
    assert new.points == (90, 0, 0)
    new.tick("2020-02-08T01:00:00Z")
    assert new.points == (50, 0, 0)


def test_a_waiting_return_goes_over_and_is_decided_by_its_purchase() -> None:
    old, new = two()
    old.give_back("2020-01-02", "o9", "early", facts=Facts(order_known=False))
    merge(old, new, "2020-03-01")
    (waiting,) = new.account.waiting["o9"]
    assert waiting.name == "old/early"
    events = new.buy("2020-03-02", "o9", 1_000)
    assert isinstance(events[-1], PurchaseReturned)
    assert events[-1].addressed == "old"
    assert new.points == (150, 0, 0)


def test_returns_that_waited_in_both_accounts_for_one_order_are_both_decided() -> None:
    old, new = two()
    unknown = Facts(order_known=False)
    old.give_back("2020-01-02", "o9", "theirs", {"1": 300}, facts=unknown)
    new.give_back("2020-01-03", "o9", "own", {"1": 200}, facts=unknown)
    merge(old, new, "2020-03-01")
    assert {each.name for each in new.account.waiting["o9"]} == {"old/theirs", "own"}
    new.buy("2020-03-02", "o9", 1_000)
    assert new.points == (155, 0, 0), "10 less 3 less 2"


def test_a_waiting_return_that_went_over_is_refused_at_its_deadline_under_its_own_name() -> None:
    old, new = two(MINIMAL + "returns: {window: P30D}\n")
    old.give_back("2020-01-02", "o9", "early", facts=Facts(order_known=False))
    merge(old, new, "2020-01-20")
    events = new.tick("2020-02-02")
    assert [e.refused_returns for e in events if hasattr(e, "refused_returns")] == [("old/early",)]
    assert new.account.waiting == {}


def test_chains_end_at_the_account_that_stays() -> None:
    old, new = two()
    last = Member(old.programs, "last")
    last.buy("2020-01-01", "l1", 100)
    merge(old, new, "2020-03-01")
    merge(new, last, "2020-03-02")
    assert last.points == (151, 0, 0)
    assert last.account.merged_from == ("old", "new")
    last.give_back("2020-03-03", "o1", "back")
    assert last.points == (51, 0, 0)


def test_merges_that_make_no_sense_are_refused() -> None:
    old, new = two()
    assert merge(old, old, "2020-03-01") == "merge_into_self"
    assert merge(old, Member(old.programs, "stranger"), "2020-03-01") == "receiver_unknown"
    merge(old, new, "2020-03-01")
    third = Member(old.programs, "third")
    third.buy("2020-01-01", "t1", 100)
    assert merge(third, old, "2020-03-02") == "receiver_merged"
    assert merge(old, third, "2020-03-02") == "account_merged"
    new.standing("2020-03-03", inputs.AccountClose)
    assert merge(third, new, "2020-03-04") == "receiver_closed"
    assert merge(new, third, "2020-03-04") == "account_closed"
    new.erase("2020-03-05")
    assert merge(third, new, "2020-03-06") == "receiver_erased"


def test_a_frozen_account_cannot_be_emptied_by_a_merge() -> None:
    old, new = two()
    old.standing("2020-03-01", inputs.AccountFreeze)
    assert merge(old, new, "2020-03-02") == "account_frozen"


def test_the_number_of_accounts_in_one_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "MERGED_MAX", 1)
    old, new = two()
    assert merge(old, new, "2020-03-01") is None
    third = Member(old.programs, "third")
    third.buy("2020-01-01", "t1", 100)
    assert merge(third, new, "2020-03-02") == "too_many_merges"
    assert merge(new, third, "2020-03-02") == "too_many_merges", "what it took over counts too"


def test_a_merged_account_keeps_its_profile_and_its_standing_to_itself() -> None:
    old, new = two()
    merge(old, new, "2020-03-01")
    assert refused(old.profile("2020-03-02", tags=("vip",))) == "account_merged"
    assert refused(old.standing("2020-03-02", inputs.AccountClose)) == "account_merged"
    old.erase("2020-03-03")
    assert old.account.status == "erased"
    assert new.points == (150, 0, 0)


def test_an_order_known_under_the_other_id_is_not_taken_again() -> None:
    old, new = two()
    merge(old, new, "2020-03-01")
    head = {**new.head("2020-03-02"), "subject": "old"}
    line = inputs.PurchaseLine("1", "sku", 5_000)
    data = inputs.PurchaseData("n1", "s1", "store", "RUB", (line,))
    events = new.forwarded(inputs.PurchaseCompleted(**head, data=data))
    assert refused(events) == "order_taken_before"
    assert events[-1].addressed == "old"


def test_a_referral_goes_over_and_its_reward_can_be_taken_back() -> None:
    programs = timeline(MINIMAL + REFERRAL)
    old, new = Member(programs, "old"), Member(programs, "new")
    old.referred("2020-01-01", "friend", Facts(referrer_status="open"))
    old.buy("2020-01-02", "o1", 10_000)
    new.profile("2020-01-03", enrolled=True)
    merge(old, new, "2020-01-04")
    (returned,) = new.give_back("2020-01-05", "o1", "back")
    (effect,) = returned.effects
    assert isinstance(effect, Effect)
    assert (effect.target, effect.type) == ("friend", "effect.revoke.v1")
    assert json.loads(bytes(effect.data))["referee_id"] == "old", "as the reward was given for"


def test_an_open_referral_ends_when_the_other_account_had_bought_before() -> None:
    programs = timeline(MINIMAL + REFERRAL)
    old, new = Member(programs, "old"), Member(programs, "new")
    old.buy("2020-01-01", "o1", 10_000)
    new.referred("2020-01-02", "friend", Facts(referrer_status="open"))
    merge(old, new, "2020-01-03")
    (bought,) = new.buy("2020-01-04", "n1", 10_000)
    assert bought.effects == ()


def test_a_reward_for_bringing_in_oneself_is_refused() -> None:
    programs = timeline(MINIMAL + REFERRAL)
    old, new = Member(programs, "old"), Member(programs, "new")
    old.buy("2020-01-01", "o1", 10_000)
    new.buy("2020-01-01", "n1", 10_000)
    merge(old, new, "2020-01-03")
    data = inputs.RewardEffectData("referral", "old", "o1", 100, "v")
    events = new.effect("2020-01-03", "effect.reward.v1", msgspec.json.encode(data))
    assert refused(events) == "self_referral"
    events = new.referred("2020-01-03", "old", Facts(referrer_status="merged"))
    assert refused(events) == "self_referral"


def test_a_reward_received_before_can_be_taken_back_after() -> None:
    programs = timeline(MINIMAL + REFERRAL)
    old, new = Member(programs, "old"), Member(programs, "new")
    data = inputs.RewardEffectData("referral", "m9", "o9", 100, "v")
    old.effect("2020-01-03", "effect.reward.v1", msgspec.json.encode(data))
    new.buy("2020-01-01", "n1", 10_000)
    merge(old, new, "2020-01-04")
    assert new.points == (200, 0, 0)
    revoke = inputs.RevokeEffectData("referral", "m9", "o9")
    new.effect("2020-01-05", "effect.revoke.v1", msgspec.json.encode(revoke))
    assert new.points == (100, 0, 0)


def test_nothing_that_an_account_remembers_is_forgotten_by_a_merge() -> None:
    """Whoever adds to the account's state says here what becomes of it."""
    own = {
        "member_id", "version", "settled_to", "status", "profile", "tiers", "forfeits_at",
        "merged_into", "holdings", "overrides",
    }  # fmt: skip
    assert set(Account.__struct_fields__) == own | set(Kept.__struct_fields__)


def test_a_late_merge_raises_the_tier_from_now_on() -> None:
    old, new = two(MINIMAL + TIERS)
    new.tick("2020-06-01")
    new.buy("2020-06-01", "n2", 100)
    merge(old, new, "2020-03-01")
    assert new.account.tiers == ((at("2020-06-01"), "silver"),)


TIMED = MINIMAL.replace("{after: P12M}", "{after_inactivity: P6M}").replace(
    "per_amount: 100}}}",
    "per_amount: 100}}}\n"
    "  - {id: waits, award: {fixed: 7}, activation: {on: review, within: P30D}}",
) + TIERS.replace("at_least: 10000}", "at_least: 10000, welcome: 15}")


def test_what_waits_and_what_purchases_move_on_does_so_in_the_account_that_stays() -> None:
    old, new = two(TIMED)
    assert old.points == (115, 7, 0)
    assert merge(old, new, "2020-02-15") is None
    assert new.points == (165, 7, 0), "the 7 of old were not activated by January's end"
    new.activity("2020-02-20", "review", "r")
    assert new.points == (172, 0, 0)
    new.buy("2020-05-01", "n2", 0)
    new.tick("2020-10-31")
    assert new.points == (172, 0, 0)
    new.tick("2020-11-01")
    assert new.points == (0, 0, 0)


def test_what_still_waits_goes_over() -> None:
    old, new = two(TIMED)
    old.buy("2020-02-10", "o2", 0)
    assert merge(old, new, "2020-02-15") is None
    assert new.points == (165, 14, 0)
    new.activity("2020-02-20", "review", "r")
    assert new.points == (179, 0, 0)


def test_a_level_that_welcomed_either_account_welcomes_no_more() -> None:
    old, new = two(TIMED)
    assert merge(old, new, "2020-02-15") is None
    assert new.account.tier == "silver"
    (welcome,) = new.account.welcomes
    assert welcome.level == "silver"
    assert new.account.holdings.lots[welcome.lot].source == "/silver"
    new.give_back("2020-02-16", "o1", "back")
    assert new.account.welcomes == (), "and a return takes it back here"
    assert new.account.tier == "none"
