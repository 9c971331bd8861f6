"""Input events for the tests of the ledger, as short as they can be said."""

from datetime import UTC, datetime, timedelta
from typing import Any

from ledger.received import Received, RecordRef, SourcePosition, TopicMove, received
from ledger.sharding import shard_of
from schemas import inputs
from schemas.inputs import InputEvent, PurchaseLine

START = datetime(2017, 1, 2, 12, tzinfo=UTC)
SHARDS = 4
PARTITIONS = 4
GROUP = "test"


def day(number: float) -> datetime:
    """Noon of the `number`th day."""
    return START + timedelta(days=number)


def head(subject: str | None, name: str, at: float) -> dict[str, Any]:
    """The attributes of an event."""
    return {
        "specversion": "1.0",
        "id": name,
        "source": "test",
        "time": day(at),
        "subject": subject,
    }


def purchase(
    member: str | None, order: str, at: float = 0, amount: int = 10_000, **data: Any
) -> inputs.PurchaseCompleted:
    """A purchase of one line."""
    return inputs.PurchaseCompleted(
        **head(member, f"purchase-{order}", at),
        data=inputs.PurchaseData(
            order_id=order,
            store_id="s1",
            channel="store",
            currency=data.pop("currency", "USD"),
            lines=(PurchaseLine(line_id="1", sku="1", amount=amount),),
            **data,
        ),
    )


def returned(member: str, order: str, name: str, at: float = 1) -> inputs.PurchaseReturned:
    """A return of a whole order."""
    return inputs.PurchaseReturned(
        **head(member, f"return-{name}", at),
        data=inputs.ReturnData(order_id=order, return_id=name),
    )


def survey(member: str, at: float = 0, name: str = "c1") -> inputs.SurveyCompleted:
    """The survey that the program rewards."""
    return inputs.SurveyCompleted(
        **head(member, f"survey-{member}-{name}", at),
        data=inputs.SurveyData(survey_id="household-profile", completion_id=f"{member}-{name}"),
    )


def activity(
    member: str, name: str, reference: str, at: float = 10, store: str | None = None
) -> inputs.ActivityCompleted:
    """A completed activity."""
    return inputs.ActivityCompleted(
        **head(member, f"{name}-{reference}", at),
        data=inputs.ActivityData(name, reference, store),
    )


def referral(referee: str, referrer: str, at: float = 0) -> inputs.ReferralRegistered:
    """`referrer` brought `referee` in."""
    return inputs.ReferralRegistered(
        **head(referee, f"referral-{referee}-{referrer}", at),
        data=inputs.ReferralData(referrer_id=referrer, code="friend"),
    )


def updated(member: str, name: str, at: float = 0, **profile: Any) -> inputs.MemberUpdated:
    """A change of a profile."""
    return inputs.MemberUpdated(
        **head(member, name, at), data=inputs.MemberData(profile=inputs.Profile(**profile))
    )


def erased(member: str, at: float = 5) -> inputs.MemberErased:
    """The member asked to be forgotten."""
    return inputs.MemberErased(**head(member, f"erase-{member}", at))


def reward(member: str, name: str, at: float = 0) -> inputs.RewardGranted:
    """The reward for having referred m2, who then bought."""
    return inputs.RewardGranted(
        **head(member, name, at),
        data=inputs.RewardEffectData(
            kind="referral", referee_id="m2", order_id="o1", points=100, program_version="v"
        ),
    )


def reserve(member: str, name: str, at: float = 0) -> inputs.PointsReserve:
    """Hold one point."""
    return inputs.PointsReserve(
        **head(member, f"reserve-{name}", at),
        data=inputs.ReserveData(reservation_id=name, points=1),
    )


def claim(member: str, name: str, reward_id: str, at: float = 1) -> inputs.RewardClaim:
    """Take a reward of the catalogue."""
    return inputs.RewardClaim(
        **head(member, f"claim-{name}", at), data=inputs.ClaimData(reward_id=reward_id)
    )


def merged(member: str, into: str, at: float = 1) -> inputs.AccountMerge:
    """The member's account goes over into another."""
    return inputs.AccountMerge(
        **head(member, f"merge-{member}", at),
        data=inputs.MergeData(into=into, actor="clerk-7", reason="two cards"),
    )


def direct(*events: InputEvent) -> list[Received]:
    """Inputs that did not come from Kafka."""
    return [received(event) for event in events]


def records(
    events: list[InputEvent], first: int = 0, topic: str = "purchases", partition: int = 0
) -> list[Received]:
    """The events as records of one topic-partition."""
    return [
        received(event, RecordRef(topic, partition, offset, b"k", b"{}"))
        for offset, event in enumerate(events, first)
    ]


def stretch(start: int, end: int, topic: str = "purchases", partition: int = 0) -> SourcePosition:
    """The position of a batch that covers [start, end) of one topic."""
    return SourcePosition(GROUP, partition, (TopicMove(topic, start, end, b"sum"),))


def shares_shard(member: str, count: int) -> list[str]:
    """`count` other members of the member's shard."""
    shard = shard_of(member, SHARDS)
    names = (f"{member}-{number}" for number in range(100_000))
    return [name for name in names if shard_of(name, SHARDS) == shard][:count]
