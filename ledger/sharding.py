"""Which shard an account lives in, and which Kafka partition feeds it.

murmur2 as Java's default partitioner computes it, so that a record of a member arrives on the
partition whose worker owns the member's shard (librdkafka clients set partitioner=murmur2_random).
The result is part of the stored data: it must never change.
"""

from functools import lru_cache
from struct import unpack_from

from schemas.normal import ANONYMOUS_SUBJECT

SYSTEM_SHARD = -1
"""The shard of what belongs to no member: the ledger's creation, program versions, RFM bounds."""

SHARED_INPUTS = "inputs_system"
"""The partition of the dedupe rows that all shards share: keys of requests for what has no member.
No head guards it, only that no key can be in it twice."""

SYSTEM_MEMBER = "~system"
"""The account of the system shard. No MemberId may hold `~`."""

ANONYMOUS_MEMBER = ANONYMOUS_SUBJECT
"""The account of each shard that holds purchases without a member."""

HASHES_CACHED = 262_144
"""Ids whose hash is remembered, about 40 MB: a hash costs 2 µs anew, 0.1 µs remembered."""

# The constants of Kafka's Utils.murmur2: its own seed, and murmur2's multiplier, which with the
# shifts below (24, 13, 15 bits) mixes 32-bit words. Other values would send members elsewhere.
_SEED = 0x9747B28C
_M = 0x5BD1E995
_MASK = 0xFFFFFFFF  # Java's int wraps at 32 bits, Python's does not


def murmur2(data: bytes) -> int:
    """The unsigned 32-bit hash, equal to org.apache.kafka.common.utils.Utils.murmur2."""
    length = len(data)
    words = length >> 2
    h = _SEED ^ length
    for k in unpack_from(f"<{words}I", data):
        k = (k * _M) & _MASK
        h = ((h * _M) ^ ((k ^ (k >> 24)) * _M)) & _MASK
    rest = data[words << 2 :]
    if rest:
        h = ((h ^ int.from_bytes(rest, "little")) * _M) & _MASK
    h = ((h ^ (h >> 13)) * _M) & _MASK
    return h ^ (h >> 15)


@lru_cache(maxsize=HASHES_CACHED)
def key_hash(key: str) -> int:
    """What the default partitioner takes modulo the number of partitions: 0 to 2**31 - 1."""
    return murmur2(key.encode()) & 0x7FFFFFFF  # without the sign bit, as Utils.toPositive


def shard_of(key: str, shards: int) -> int:
    """The shard of a member_id (or, for an anonymous purchase, of its order_id)."""
    return key_hash(key) % shards


def partition_of(key: str, partitions: int) -> int:
    """The Kafka partition of a record key: shard % partitions, as partitions divide shards."""
    return key_hash(key) % partitions
