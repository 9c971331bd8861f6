"""What happens in the plays: the records of one partition number, with a bit of everything.

A referral, a return before its purchase, a dead letter, a refusal, a profile, an erasure; and a
batch that begins within the one before it, as after a rebalance.
"""

from typing import Any

from ledger.core.program.form import CatalogueReward
from ledger.received import Received, RecordRef, SourcePosition, TopicMove, received, undecodable
from schemas.inputs import InputEvent, MemberData, MemberEnrolled, Profile
from tests.ledger.events import (
    GROUP,
    claim,
    erased,
    head,
    purchase,
    referral,
    reserve,
    returned,
    survey,
    updated,
)

Batch = tuple[list[Received], SourcePosition]

BROKEN = b"{"


def enrolled(member: str, **profile: Any) -> MemberEnrolled:
    """A member joins."""
    return MemberEnrolled(
        **head(member, f"enrol-{member}", 0), data=MemberData(profile=Profile(**profile))
    )


MEMBERS: list[InputEvent | None] = [
    enrolled("m1", region="north"),
    enrolled("m2", region="south"),
    enrolled("m5"),
    updated("m1", "moves", at=2, region="south"),
    erased("m5", at=4),
]
REFERRALS: list[InputEvent | None] = [referral("m2", "m1"), referral("m3", "m1")]
SURVEYS: list[InputEvent | None] = [survey("m1"), survey("m4", at=1)]
PURCHASES: list[InputEvent | None] = [
    purchase("m1", "o1"),
    purchase("m4", "o2", at=1),
    None,  # cannot be decoded
    returned("m2", "o3", "r1", at=1.5),  # before its purchase
    purchase("m5", "o9", at=1.6),
    purchase("m2", "o3", at=1.2),  # releases the return; the referee's first
    purchase("m3", "o4", at=2),
    purchase("m4", "o2", at=1),  # a duplicate
    purchase("m4", "o2", at=1, amount=1),  # a conflict
    returned("m4", "o2", "r2", at=60),  # refused: too late
    purchase("m1", "o5", at=61, amount=200_000),
]
COMMANDS: list[InputEvent | None] = [
    reserve("m4", "h2", at=61),
    reserve("m4", "h2", at=61),  # a duplicate
    None,
    reserve("m6", "h3", at=61),  # refused: it has no points
    claim("m4", "1", "cup", at=61),
    claim("m1", "2", "cup", at=61),  # sold out
    claim("m4", "3", "cinema", at=61),
    claim("m1", "4", "cinema", at=61),
]

REWARDS = (
    CatalogueReward(id="cup", points=2, kind="gift", stock=1),
    CatalogueReward(id="cinema", points=3, kind="voucher"),
)
CODES = ["AAA", "BBB", "CCC"]
"""Of the voucher."""

DIRECT: list[InputEvent] = [reserve("m1", "h1", at=62), purchase("m3", "o6", at=62)]

RIGHT = purchase("m3", "o7", at=63)
"""What the record that could not be decoded should have said."""


def record(topic: str, offset: int, event: InputEvent | None) -> Received:
    """The event as a record of partition 0."""
    place = RecordRef(topic, 0, offset, b"m1", BROKEN)
    if event is None:
        return undecodable(place, "not_json", "$", "This is not JSON.")
    return received(event, place)


def stretch(**offsets: tuple[int, int]) -> Batch:
    """The records of these stretches, topic by topic."""
    topics = {
        "members": MEMBERS,
        "referrals": REFERRALS,
        "surveys": SURVEYS,
        "purchases": PURCHASES,
        "commands": COMMANDS,
    }
    items = [
        record(topic, offset, topics[topic][offset])
        for topic, (start, end) in offsets.items()
        for offset in range(start, end)
    ]
    moves = [TopicMove(topic, start, end, b"sum") for topic, (start, end) in offsets.items()]
    return items, SourcePosition(GROUP, 0, tuple(moves))


BATCHES: list[Batch] = [
    stretch(members=(0, 3), referrals=(0, 2), surveys=(0, 2), purchases=(0, 2)),
    stretch(purchases=(2, 5)),
    stretch(purchases=(3, 8)),  # two of them once more
    stretch(members=(3, 5), purchases=(8, 11)),
    stretch(commands=(0, 4)),
    stretch(commands=(4, 8)),
]
"""In the order in which a worker would append them."""
