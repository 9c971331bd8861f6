"""Frozen and closed accounts: what they refuse, what they still do, when points are forfeited."""

import msgspec

from schemas import inputs
from schemas.decisions import AccountClosed, AccountSettled, Facts
from tests.core.account_tools import MINIMAL, Member, at, refused, timeline

FREEZE, UNFREEZE, CLOSE = inputs.AccountFreeze, inputs.AccountUnfreeze, inputs.AccountClose
NOTICE = MINIMAL + "closing: {notice: P30D}\n"
REFERRAL = MINIMAL + "referral: {qualifies: {purchase: {}}, referrer: {fixed: 100}}\n"


def rich(program: str = MINIMAL) -> Member:
    """A member with 100 points from 1 January 2020 on."""
    member = Member(timeline(program))
    member.buy("2020-01-01", "o1", 10_000)
    assert member.points == (100, 0, 0)
    return member


def test_a_frozen_account_earns_and_cannot_spend() -> None:
    member = rich()
    member.standing("2020-01-02", FREEZE)
    member.buy("2020-01-03", "o2", 5_000)
    assert member.points == (150, 0, 0)
    assert refused(member.reserve("2020-01-03", "r1", 10)) == "account_frozen"
    member.standing("2020-01-04", UNFREEZE)
    member.reserve("2020-01-04", "r2", 10)
    assert member.points == (140, 0, 10)


def test_what_was_reserved_before_the_freeze_can_be_confirmed_or_cancelled() -> None:
    member = rich()
    member.reserve("2020-01-02T00:00:00Z", "r1", 40)
    member.reserve("2020-01-02T00:00:00Z", "r2", 30)
    member.standing("2020-01-02T00:01:00Z", FREEZE)
    member.confirm("2020-01-02T00:02:00Z", "r1")
    member.cancel("2020-01-02T00:03:00Z", "r2")
    assert member.points == (60, 0, 0)


def test_freezing_twice_and_unfreezing_an_open_account_are_refused() -> None:
    member = rich()
    assert refused(member.standing("2020-01-02", UNFREEZE)) == "not_frozen"
    member.standing("2020-01-02", FREEZE)
    assert refused(member.standing("2020-01-03", FREEZE)) == "already_frozen"


def test_without_a_notice_a_closed_account_forfeits_at_once() -> None:
    member = rich()
    member.reserve("2020-01-02", "r1", 40)
    (closed,) = member.standing("2020-01-02", CLOSE)
    assert isinstance(closed, AccountClosed)
    assert closed.forfeits_at is None
    revoked = [p.points for p in closed.postings if p.account == "revoked"]
    assert sorted(revoked) == [40, 60]
    assert member.points == (0, 0, 0)


def test_after_the_notice_the_balance_is_forfeited_by_time_alone() -> None:
    member = rich(NOTICE)
    member.standing("2020-01-02", CLOSE)
    member.tick("2020-01-31T23:59:59Z")
    assert member.points == (100, 0, 0)
    (settled,) = member.tick("2020-02-01")
    assert isinstance(settled, AccountSettled)
    assert settled.forfeited
    assert {p.effective_at for p in settled.postings} == {at("2020-02-01")}
    assert member.points == (0, 0, 0)
    assert member.tick("2021-06-01") == []


def test_what_expires_at_the_instant_of_the_forfeit_expires() -> None:
    program = MINIMAL.replace("after: P12M", "after: P31D") + "closing: {notice: P30D}\n"
    member = rich(program)
    member.standing("2020-01-02", CLOSE)
    (settled,) = member.tick("2020-02-01")
    assert {p.account for p in settled.postings if p.points > 0} == {"expired"}


def test_reserved_points_are_forfeited_too_and_pending_ones() -> None:
    member = Member(timeline(NOTICE.replace("immediately", "{after: P90D}")))
    member.buy("2020-01-01", "o1", 10_000)
    member.standing("2020-01-02", CLOSE)
    member.tick("2020-02-01")
    assert member.points == (0, 0, 0)


def test_a_closed_account_refuses_every_input_but_the_erasure() -> None:
    member = rich(NOTICE)
    member.reserve("2020-01-01T01:00:00Z", "r1", 40, ttl=86_400)
    member.standing("2020-01-01T02:00:00Z", CLOSE)
    refusals = [
        member.buy("2020-01-01T03:00:00Z", "o2", 5_000),
        member.give_back("2020-01-01T03:00:00Z", "o1", "back"),
        member.confirm("2020-01-01T03:00:00Z", "r1"),
        member.profile("2020-01-01T03:00:00Z", tags=("vip",)),
        member.standing("2020-01-01T03:00:00Z", CLOSE),
    ]
    assert {refused(events) for events in refusals} == {"account_closed"}
    member.erase("2020-01-01T04:00:00Z")
    assert member.points == (0, 0, 0)
    assert member.tick("2020-03-01") == []
    assert refused(member.buy("2020-03-02", "o3", 5_000)) == "account_erased"


def test_returns_that_wait_are_refused_when_the_account_closes() -> None:
    member = rich(NOTICE)
    member.give_back("2020-01-02", "o9", "early", facts=Facts(order_known=False))
    (closed,) = member.standing("2020-01-02", CLOSE)
    assert isinstance(closed, AccountClosed)
    assert closed.refused_returns == ("early",)
    assert member.account.waiting == {}


def test_a_debt_ends_with_the_account() -> None:
    member = rich()
    member.reserve("2020-01-01T01:00:00Z", "r1", 80)
    member.confirm("2020-01-01T01:00:00Z", "r1")
    member.give_back("2020-01-02", "o1", "back")
    assert member.points == (-80, 0, 0)
    member.standing("2020-01-03", CLOSE)
    assert member.points == (0, 0, 0)


def test_the_scheduler_is_told_when_the_notice_ends() -> None:
    from ledger.core.settle import next_due

    member = rich(NOTICE)
    member.standing("2020-01-02", CLOSE)
    assert next_due(member.account, member.programs) == at("2020-02-01")


def test_a_late_closing_whose_notice_is_over_forfeits_at_once() -> None:
    member = rich(NOTICE)
    member.buy("2020-03-01", "o2", 5_000)
    (closed,) = member.standing("2020-01-02", CLOSE)
    assert isinstance(closed, AccountClosed)
    assert closed.forfeits_at is None
    assert member.points == (0, 0, 0)


def test_a_referral_by_a_closed_member_is_refused() -> None:
    member = Member(timeline(REFERRAL))
    events = member.referred("2020-01-01", "m2", Facts(referrer_status="closed"))
    assert refused(events) == "referrer_closed"
    member.referred("2020-01-01", "m3", Facts(referrer_status="frozen"))
    referral = member.account.referral
    assert referral is not None
    assert referral.referrer_id == "m3"


def test_an_open_referral_ends_with_the_account() -> None:
    member = Member(timeline(REFERRAL))
    member.referred("2020-01-01", "m2", Facts(referrer_status="open"))
    member.standing("2020-01-02", CLOSE)
    referral = member.account.referral
    assert referral is not None
    assert referral.status == "closed"


def test_a_reward_does_not_reach_a_closed_account() -> None:
    member = rich(REFERRAL)
    member.standing("2020-01-02", CLOSE)
    data = inputs.RewardEffectData("referral", "m9", "o9", 100, "v")
    events = member.effect("2020-01-03", "effect.reward.v1", msgspec.json.encode(data))
    assert refused(events) == "account_closed"
