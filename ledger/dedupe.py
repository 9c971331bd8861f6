"""By what an input is known for ever, and how its content is compared: the 16 bytes that are
stored of each in the input's shard.

What they are hashes of is said once, in `schemas.normal`. An input that is known by an id in its
data, from a sender who gives each change an idempotency key, has a second row: the key of the
request, with the key of the input as its content. So that key never stands for two inputs.

The content hash of an input with profile
data is keyed per member, so that it tells nothing once the key is erased.
"""

import hmac
from hashlib import sha256

from ledger.sharding import SYSTEM_SHARD
from schemas import normal
from schemas.fields import Instant
from schemas.inputs import InputEvent, MemberEnrolled, MemberUpdated

HASH_BYTES = 16
"""Of 32: a collision among 10**12 inputs has a chance below 10**-14 and would be a dead letter."""

MEMBER_KEY_BYTES = 32
"""Length of the key of a member's profile hashes: that of the hash itself."""

WITH_PROFILE = (MemberEnrolled, MemberUpdated)
"""Inputs whose data is personal."""


def _hash(text: bytes) -> bytes:
    return sha256(text).digest()[:HASH_BYTES]


def key_of(event: InputEvent) -> bytes:
    """The 16 bytes by which the input is known within its shard."""
    return _hash(normal.normal_key(event))


def purchase_key(subject: str, order_id: str) -> bytes:
    """The key of the purchase `order_id` of a member."""
    return _hash(normal.purchase_key(subject, order_id))


def return_key(subject: str, return_id: str) -> bytes:
    """The key of the return `return_id` of a member."""
    return _hash(normal.return_key(subject, return_id))


def request_key(event: InputEvent) -> bytes | None:
    """The key of the sender's request, where that is not what the input itself is known by."""
    text = normal.request_key(event)
    return None if text is None else _hash(text)


def request_key_of(type_name: str, subject: str, source: str, name: str) -> bytes:
    """The same, of an input of that type and subject that came from `source` as `name`."""
    return _hash(normal.request_key_of(type_name, subject, source, name))


def request_shard(subject: str, shard: int) -> int:
    """Where the row of a request is whose input is in `shard`: there; of an anonymous purchase,
    whose shard follows from its order_id, in the one that all shards share."""
    return SYSTEM_SHARD if subject == normal.ANONYMOUS_SUBJECT else shard


def content_of(event: InputEvent, occurred_at: Instant, member_key: bytes | None = None) -> bytes:
    """The 16 bytes that stand for what the input says. With `member_key` an HMAC."""
    text = normal.normal_content(event, occurred_at)
    if member_key is None:
        return _hash(text)
    return hmac.digest(member_key, text, "sha256")[:HASH_BYTES]
