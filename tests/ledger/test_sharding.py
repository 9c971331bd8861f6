"""Shards must be those that Java's default partitioner would choose, for ever."""

import pytest
from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from ledger.sharding import key_hash, murmur2, partition_of, shard_of

# From org.apache.kafka.common.utils.UtilsTest, as unsigned numbers.
KNOWN = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize(("data", "signed"), KNOWN.items())
def test_vectors_of_apache_kafka(data: bytes, signed: int) -> None:
    assert murmur2(data) == signed % 2**32


@given(st.binary(max_size=64))
def test_same_as_the_client_library(data: bytes) -> None:
    assert murmur2(data) == reference(data)


@given(st.text(min_size=1, max_size=40).filter(lambda text: text.isprintable()))
def test_a_shard_belongs_to_one_partition(member_id: str) -> None:
    assert shard_of(member_id, 32) % 8 == partition_of(member_id, 8)
    assert 0 <= key_hash(member_id) < 2**31
