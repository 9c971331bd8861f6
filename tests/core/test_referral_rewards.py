"""What the referrer gets: fixed, a share of the first orders, or both; limits; what goes back."""

import msgspec
import pytest

from schemas.decisions import (
    AccountEvent,
    Facts,
    PurchaseRewarded,
    ReferralAccepted,
    RewardReceived,
    RewardTakenBack,
)
from schemas.inputs import RewardEffectData
from tests.core.account_tools import MINIMAL, Member, at, refused, timeline

SHARE = "share: {rate: {points: 5, per_amount: 100}, orders: ORDERS}"
PROGRAM = (
    MINIMAL.replace("{after: P12M}", "never")
    + """
referral:
  qualifies: {QUALIFIES}
  referrer: {REWARD}
  LIMIT
"""
)


class Two:
    """A referee and the referrer; effects reach the referrer at once."""

    def __init__(
        self,
        reward: str,
        limit: str = "",
        qualifies: str = "first_purchase: {at_least: 1000}",
        orders: int = 1,
    ) -> None:
        text = PROGRAM.replace("REWARD", reward).replace("LIMIT", limit)
        text = text.replace("QUALIFIES", qualifies).replace("ORDERS", str(orders))
        self.programs = timeline(text)
        self.referee = Member(self.programs, "friend")
        self.referrer = Member(self.programs, "referrer")

    def carry(self, events: list[AccountEvent]) -> list[AccountEvent]:
        """Let the effects arrive; the referrer's events."""
        arrived: list[AccountEvent] = []
        for event in events:
            for effect in event.effects:
                assert effect.target == "referrer"
                arrived += self.referrer.effect(effect.occurred_at, effect.type, bytes(effect.data))
        return arrived

    def refer(self, when: str) -> None:
        self.carry(self.referee.referred(when, "referrer", Facts(referrer_status="open")))

    def buy(self, when: str, order_id: str, *amounts: int) -> list[AccountEvent]:
        return self.carry(self.referee.buy(when, order_id, *amounts))

    def give_back(self, when: str, order_id: str, **lines: int) -> list[AccountEvent]:
        named = {name[1:]: amount for name, amount in lines.items()} or None
        return self.carry(self.referee.give_back(when, order_id, f"{order_id}{when}", named))

    @property
    def points(self) -> int:
        return self.referrer.points[0]


def test_a_hundred_for_the_first_order_and_a_share_of_its_check_to_the_kopeck() -> None:
    two = Two("fixed: 10000, " + SHARE)
    two.refer("2017-02-01")
    (event,) = two.buy("2017-02-02", "A", 129_990, 45_051)
    assert isinstance(event, RewardReceived)
    # 5 % of 1,750.41 is 87.5205.
    assert [(award.kind, award.points, award.lot) for award in event.awards] == [
        ("referrer", 10_000, 1),
        ("share", 8_752, 1),
    ]
    assert two.points == 18_752
    two.buy("2017-02-03", "B", 100_000)
    assert two.points == 18_752, "the share was of the first order"


def test_a_share_of_the_first_orders() -> None:
    two = Two(SHARE, orders=3)
    two.refer("2017-02-01")
    for number, amount in enumerate((1_000, 200, 10, 5_000)):
        two.buy(f"2017-02-0{number + 2}", f"O{number}", amount)
    assert two.points == 50 + 10, "5 % of 10 minor units are none, and the third order all the same"
    referral = two.referee.account.referral
    assert referral is not None
    assert referral.shared == (("O0", 50), ("O1", 10), ("O2", 0))


def test_without_a_share_of_more_orders_a_later_purchase_has_no_effect() -> None:
    two = Two("fixed: 100")
    two.refer("2017-02-01")
    two.buy("2017-02-02", "A", 1_000)
    (event,) = two.referee.buy("2017-02-03", "B", 1_000)
    assert isinstance(event, PurchaseRewarded)
    assert (event.effects, event.shared) == ((), ())


def test_each_return_takes_the_share_back_in_proportion_and_the_last_one_exactly() -> None:
    two = Two(SHARE, orders=2)
    two.refer("2017-02-01")
    two.buy("2017-02-02", "A", 10_000)
    two.buy("2017-02-03", "B", 333, 334)
    assert two.points == 500 + 33
    (event,) = two.give_back("2017-02-04", "B", l1=100)
    assert isinstance(event, RewardTakenBack)
    assert two.points == 500 + 33 - 4, "33 × 100 ÷ 667 are 4.9"
    two.give_back("2017-02-05", "B", l1=233)
    assert two.points == 500 + 33 - 16
    assert len(two.referrer.account.rewards) == 2
    two.give_back("2017-02-06", "B", l2=334)
    assert two.points == 500
    assert len(two.referrer.account.rewards) == 1


def test_a_return_of_a_few_minor_units_takes_nothing_back() -> None:
    two = Two(SHARE)
    two.refer("2017-02-01")
    two.buy("2017-02-02", "A", 2_000)
    assert two.give_back("2017-02-03", "A", l1=1) == []
    assert two.points == 100


def test_the_share_goes_in_proportion_the_fixed_reward_when_nothing_qualifies() -> None:
    two = Two("fixed: 100, " + SHARE)
    two.refer("2017-02-01")
    two.buy("2017-02-02", "A", 1_000, 1_000)
    assert two.points == 200
    two.give_back("2017-02-03", "A", l1=500)
    assert two.points == 175
    two.give_back("2017-02-04", "A", l1=500)
    assert two.points == 150
    (event,) = two.give_back("2017-02-05", "A", l2=1)
    assert isinstance(event, RewardTakenBack)
    assert two.points == 0, "999 are left, which do not qualify"
    assert not two.referrer.account.rewards
    assert two.give_back("2017-02-06", "A", l2=999) == []


def test_when_the_order_no_longer_qualifies_the_later_shares_go_too() -> None:
    two = Two("fixed: 100, " + SHARE, orders=4)
    two.refer("2017-02-01")
    two.buy("2017-02-02", "A", 1_000)
    two.buy("2017-02-03", "B", 2_000)
    two.buy("2017-02-04", "C", 3_000)
    two.give_back("2017-02-05", "C")
    assert two.points == 150 + 100
    taken = two.give_back("2017-02-06", "A")
    assert [event.order_id for event in taken if isinstance(event, RewardTakenBack)] == ["A", "B"]
    assert two.points == 0
    assert two.buy("2017-02-07", "D", 9_000) == [], "that referral stays closed"


def test_a_referral_that_arrives_late_shares_in_all_that_followed() -> None:
    two = Two("fixed: 100, " + SHARE, orders=2)
    two.buy("2017-02-02", "A", 1_000, 1_000)
    two.give_back("2017-02-03", "A", l1=500)
    two.buy("2017-02-04", "B", 400)
    two.buy("2017-02-05", "C", 400)
    two.refer("2017-02-01")
    (event,) = [e for e in two.referee.events if isinstance(e, ReferralAccepted)]
    assert event.shared == (("A", 100), ("B", 20))
    assert two.points == 100 + 75 + 20
    two.give_back("2017-02-06", "A", l1=500)
    assert two.points == 100 + 50 + 20


def test_what_was_spent_meanwhile_is_owed() -> None:
    two = Two(SHARE)
    two.refer("2017-02-01")
    two.buy("2017-02-02", "A", 2_000)
    two.referrer.reserve("2017-02-03", "r", 100)
    two.referrer.confirm("2017-02-03", "r")
    two.give_back("2017-02-04", "A", l1=500)
    assert two.points == -25


LIMIT = "per_referrer: {times: 2, per: PER}"


def rewarded(two: Two, when: str, referee: str, order_id: str) -> list[AccountEvent]:
    data = RewardEffectData("referral", referee, order_id, 100, "v")
    return two.referrer.effect(when, "effect.reward.v1", msgspec.json.encode(data))


@pytest.mark.parametrize(
    ("per", "again"), [("day", "2017-02-02"), ("month", "2017-03-01"), ("year", "2018-01-01")]
)
def test_so_many_rewards_per_referrer_and_period(per: str, again: str) -> None:
    two = Two("fixed: 100", LIMIT.replace("PER", per))
    rewarded(two, "2017-02-01", "f1", "A")
    rewarded(two, "2017-02-01", "f2", "B")
    assert refused(rewarded(two, "2017-02-01", "f3", "C")) == "referrer_limit"
    assert two.points == 200
    rewarded(two, again, "f4", "D")
    assert two.points == 300


def test_over_a_lifetime_is_for_ever_and_a_reward_taken_back_whole_makes_room() -> None:
    two = Two("fixed: 100", LIMIT.replace("PER", "lifetime"))
    rewarded(two, "2017-02-01", "f1", "A")
    rewarded(two, "2017-02-01", "f2", "B")
    assert refused(rewarded(two, "2017-02-02", "f3", "C")) == "referrer_limit"
    gone = two.referrer.effect(
        "2017-03-01",
        "effect.revoke.v1",
        b'{"kind":"referral","referee_id":"f1","order_id":"A","points":99}',
    )
    assert isinstance(gone[-1], RewardTakenBack)
    assert gone[-1].counters == ()
    gone = two.referrer.effect(
        "2017-03-01", "effect.revoke.v1", b'{"kind":"referral","referee_id":"f1","order_id":"A"}'
    )
    assert isinstance(gone[-1], RewardTakenBack)
    assert gone[-1].clawbacks[0].points == 1
    rewarded(two, "2017-04-01", "f4", "D")
    assert two.points == 200
    assert refused(rewarded(two, "2027-02-01", "f5", "E")) == "referrer_limit"


def test_the_share_of_each_order_counts_as_a_reward() -> None:
    two = Two(SHARE, LIMIT.replace("PER", "lifetime"), orders=3)
    two.refer("2017-02-01")
    two.buy("2017-02-02", "A", 1_000)
    two.buy("2017-02-03", "B", 1_000)
    assert refused(two.buy("2017-02-04", "C", 1_000)) == "referrer_limit"
    assert refused(two.give_back("2017-02-05", "C")) == "unknown_reward"
    assert two.points == 100
    assert two.referrer.account.used == {"/referral/lifetime/all": (100, 2)}


def test_an_erased_referrer_gets_nothing() -> None:
    two = Two("fixed: 100, " + SHARE)
    two.referrer.buy("2017-01-01", "own", 100)
    two.refer("2017-02-01")
    two.referrer.erase("2017-02-01")
    assert refused(two.buy("2017-02-02", "A", 1_000)) == "account_erased"


def test_a_purchase_before_the_referral_that_arrives_late_is_not_shared() -> None:
    two = Two(SHARE, orders=3, qualifies="purchase: {at_least: 1000}")
    two.refer("2017-02-01")
    two.buy("2017-02-02", "A", 1_000)
    assert two.buy("2017-01-15", "early", 5_000) == []
    assert two.points == 50
    assert at("2017-01-15") < at("2017-02-01")
