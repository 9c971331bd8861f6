"""What Kafka tells of the input topics: their ids, their partitions, the cluster they are in.

A topic's id is new each time a topic of that name is created; the pinned aiokafka does not ask for
it, so the request is written here (Metadata, version 12: brokers from 3.1). An answer's bytes are
kept unparsed: two answers that are equal say the same. Brokers that are older tell no ids.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_METADATA = 3
_VERSION = 12
_NO_ID = bytes(16)

CONNECTION = 2
"""aiokafka's group of connections for these requests: on the one that fetches they would wait
behind a fetch that the broker holds, on the coordinator's behind a rebalance."""


class Topic(NamedTuple):
    """`topic_id`: 16 bytes, None if the broker does not tell."""

    topic_id: bytes | None
    partitions: int


class Described(NamedTuple):
    """The topics that exist, by name, and the id of their cluster (None: not told)."""

    cluster_id: str | None
    topics: Mapping[str, Topic]

    def partitions(self) -> dict[str, int]:
        """The number of partitions of each."""
        return {name: topic.partitions for name, topic in self.topics.items()}

    def ids(self) -> dict[str, bytes]:
        """The id of each, as far as they are told."""
        return {
            name: topic.topic_id
            for name, topic in self.topics.items()
            if topic.topic_id is not None
        }


class _Raw(AbstractType[bytes]):  # type: ignore[misc]
    """Bytes as they are: `SIZE` of them, or all that is left."""

    SIZE: int | None = None

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        return data.read(cls.SIZE)


class _Bytes16(_Raw):
    SIZE = 16


class _Answer(Response):  # type: ignore[misc]
    API_KEY = _METADATA
    API_VERSION = _VERSION
    SCHEMA = Schema(("throttle_ms", Int32), ("rest", _Raw))


class _Question(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = _METADATA
    API_VERSION = _VERSION
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Bytes16), ("name", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _Describe(Request[_Question]):  # type: ignore[misc]
    API_KEY = _METADATA

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_Question]) -> _Question:
        """Called by aiokafka; never asks the broker to create a topic."""
        return request_struct_class([(_NO_ID, name, {}) for name in self._names], False, False, {})


_BROKERS = CompactArray(
    ("node_id", Int32),
    ("host", CompactString("utf-8")),
    ("port", Int32),
    ("rack", CompactString("utf-8")),
    ("tags", TaggedFields),
)
_TOPICS = CompactArray(
    ("error_code", Int16),
    ("name", CompactString("utf-8")),
    ("topic_id", _Bytes16),
    ("is_internal", Boolean),
    (
        "partitions",
        CompactArray(
            ("error_code", Int16),
            ("partition", Int32),
            ("leader", Int32),
            ("leader_epoch", Int32),
            ("replicas", CompactArray(Int32)),
            ("in_sync", CompactArray(Int32)),
            ("offline", CompactArray(Int32)),
            ("tags", TaggedFields),
        ),
    ),
    ("authorized_operations", Int32),
    ("tags", TaggedFields),
)
_CLUSTER_ID = CompactString("utf-8")


async def ask(client: Any, node_id: int, names: Sequence[str]) -> bytes | None:
    """A broker's answer about these topics, unparsed; None if it is too old to know ids.

    `client` is an AIOKafkaClient. Raises KafkaError.
    """
    try:
        answer = await client.send(node_id, _Describe(names), group=CONNECTION)
    except NotImplementedError:  # what aiokafka raises for a broker of an older version
        return None
    rest: bytes = answer.rest
    return rest


def parse(answer: bytes) -> Described:
    """What `ask` was answered."""
    data = BytesIO(answer)
    _BROKERS.decode(data)
    cluster_id = _CLUSTER_ID.decode(data)
    Int32.decode(data)  # the controller
    topics = {
        name: Topic(None if topic_id == _NO_ID else topic_id, len(partitions))
        for error, name, topic_id, _, partitions, *_ in _TOPICS.decode(data)
        if error == 0
    }
    return Described(cluster_id, topics)
