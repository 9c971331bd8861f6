"""By what an input is known for ever, and how its content is compared.

Key: (input type, subject, business key), or (input type, subject, source and id) where the type
has no business key. Content: subject, time and data as decoded and encoded again, so that spaces,
key order and delivery details do not matter. Both are stored as 16 bytes in the input's shard. The
content hash of an input with profile data is keyed per member, so that it tells nothing once the
key is erased.
"""

import hmac
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import msgspec

from ledger.sharding import ANONYMOUS_MEMBER
from schemas.fields import Instant
from schemas.inputs import (
    ActivityCompleted,
    InputEvent,
    MemberEnrolled,
    MemberUpdated,
    PurchaseCompleted,
    PurchaseReturned,
    ReferralRegistered,
    RewardGranted,
    RewardRevoked,
    SurveyCompleted,
)

HASH_BYTES = 16
"""Of 32: a collision among 10**12 inputs has a chance below 10**-14 and would be a dead letter."""

MEMBER_KEY_BYTES = 32
"""Length of the key of a member's profile hashes: that of the hash itself."""

WITH_PROFILE = (MemberEnrolled, MemberUpdated)
"""Inputs whose data is personal."""

_encode = msgspec.json.Encoder(decimal_format="string").encode

_BUSINESS_KEYS: dict[type, Callable[[Any], list[str]]] = {
    PurchaseCompleted: lambda event: [event.data.order_id],
    PurchaseReturned: lambda event: [event.data.return_id],
    SurveyCompleted: lambda event: [event.data.completion_id],
    ActivityCompleted: lambda event: [event.data.activity, event.data.reference],
    ReferralRegistered: lambda event: [event.data.referrer_id],
    RewardGranted: lambda event: [event.id],
    RewardRevoked: lambda event: [event.id],
}
# Commands and members have none: a client's source and id (its idempotency key) are theirs.


def type_of(event: InputEvent) -> str:
    """The CloudEvents type."""
    return str(event.__struct_config__.tag)


def subject_of(event: InputEvent) -> str:
    """The account that the input addresses."""
    return event.subject or ANONYMOUS_MEMBER


def key_of(event: InputEvent) -> bytes:
    """The 16 bytes by which the input is known within its shard."""
    business = _BUSINESS_KEYS.get(type(event))
    if business is None:
        return key_hash(type_of(event), subject_of(event), "id", event.source, event.id)
    return key_hash(type_of(event), subject_of(event), "key", *business(event))


def key_hash(*parts: str) -> bytes:
    """The hash of (type, subject, "key" | "id", …); no part can hold what separates them."""
    return sha256("\x00".join(parts).encode()).digest()[:HASH_BYTES]


def purchase_key(subject: str, order_id: str) -> bytes:
    """The key of the purchase `order_id` of a member."""
    return key_hash("purchase.completed.v1", subject, "key", order_id)


def return_key(subject: str, return_id: str) -> bytes:
    """The key of the return `return_id` of a member."""
    return key_hash("purchase.returned.v1", subject, "key", return_id)


def content_of(event: InputEvent, occurred_at: Instant, member_key: bytes | None = None) -> bytes:
    """The 16 bytes that stand for what the input says. With `member_key` an HMAC."""
    text = _encode((subject_of(event), occurred_at, event.data))
    if member_key is None:
        return sha256(text).digest()[:HASH_BYTES]
    return hmac.digest(member_key, text, "sha256")[:HASH_BYTES]
