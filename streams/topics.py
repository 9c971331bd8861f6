"""The topics of the worker: their names, their rank in a tie, and how they are created.

All have the same number of partitions, because the topics of one partition number are merged.
Nothing here changes a topic that exists: another partition number would send a member's next
record elsewhere, so a mismatch is an error for a human.
"""

import asyncio
import time
from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from ledger.errors import StartRefused
from streams.described import Described, Topic, ask, parse

CONSUMED: tuple[str, ...] = (
    *("members", "referrals", "surveys", "activities", "purchases", "effects", "commands"),
)
"""What the worker consumes, in the order in which equal instants are decided."""

EFFECTS = "effects"
"""Written by the effects publisher, read by the worker."""

COMMAND_OUTCOMES = "command_outcomes"
"""Written by the worker, read by those who sent commands."""

TOPICS: tuple[str, ...] = (*CONSUMED, COMMAND_OUTCOMES)
"""All topics of the ledger: read or written."""

TOPIC_CONFIG: Mapping[str, str] = {
    # The broker's clock bounds what `from_future` believes of a till's clock.
    "message.timestamp.type": "LogAppendTime",
}


VISIBLE_SECONDS = 30.0
"""How long new topics may take until the brokers tell of them: usually below one second."""

VISIBLE_PAUSE_SECONDS = 0.1
"""Between two looks, each one request to a broker: a start is at most that much later."""


async def ensure_topics(bootstrap: str, partitions: int, replication: int = 1) -> None:
    """Create the topics that do not exist; what exists is checked, never changed.

    Raises: StartRefused (topic_partitions_differ, topics_not_created).
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        found = await _partitions_of(admin)
        missing = [name for name in TOPICS if name not in found]
        if missing:
            await _create(admin, missing, partitions, replication)
            found = await _visible(admin)
        check_partitions(found, partitions)
    finally:
        await admin.close()


async def topic_partitions(bootstrap: str) -> dict[str, int]:
    """The number of partitions of each topic that exists."""
    return (await describe(bootstrap)).partitions()


async def describe(bootstrap: str) -> Described:
    """The topics that exist. Raises KafkaError."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        answer = await ask(admin._client, admin._client.get_random_node(), TOPICS)
        if answer is not None:
            return parse(answer)
        found = await _partitions_of(admin)
        return Described(None, {name: Topic(None, count) for name, count in found.items()})
    finally:
        await admin.close()


def inputs_of(described: Described) -> Described:
    """Of what was described, the topics that are consumed."""
    consumed = {name: topic for name, topic in described.topics.items() if name in CONSUMED}
    return Described(described.cluster_id, consumed)


def check_partitions(found: Mapping[str, int], expected: int) -> None:
    """Raises: StartRefused (topics_missing, topic_partitions_differ)."""
    missing = [name for name in TOPICS if name not in found]
    if missing:
        raise StartRefused(
            f"The Kafka topics {', '.join(missing)} do not exist: create them with {expected} "
            "partitions each, or run `points init PROGRAM`.",
            "topics_missing",
        )
    for name in TOPICS:
        if found[name] != expected:
            raise StartRefused(
                f"Topic {name} has {found[name]} partitions, not the {expected} of "
                "POINTS_PARTITIONS: every topic must have the same number, because they are "
                "merged by partition number. Correct the setting or recreate the topic.",
                "topic_partitions_differ",
            )


async def _partitions_of(admin: AIOKafkaAdminClient) -> dict[str, int]:
    described = await admin.describe_topics(list(TOPICS))
    return {
        topic["topic"]: len(topic["partitions"]) for topic in described if topic["error_code"] == 0
    }


async def _visible(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """The topics once all are known to the brokers, or what is known when the time is over."""
    deadline = time.monotonic() + VISIBLE_SECONDS
    while True:
        found = await _partitions_of(admin)
        if len(found) == len(TOPICS) or time.monotonic() > deadline:
            return found
        await asyncio.sleep(VISIBLE_PAUSE_SECONDS)


async def _create(
    admin: AIOKafkaAdminClient, names: list[str], partitions: int, replication: int
) -> None:
    response = await admin.create_topics(
        [
            NewTopic(
                name=name,
                num_partitions=partitions,
                replication_factor=replication,
                topic_configs=dict(TOPIC_CONFIG),
            )
            for name in names
        ]
    )
    for name, code, *detail in response.topic_errors:
        error = for_code(code)
        if code != 0 and error is not TopicAlreadyExistsError:
            raise StartRefused(
                f"Kafka did not create topic {name} ({error.__name__} {detail or ''}): "
                "create it by hand, or give this user the right to.",
                "topics_not_created",
            )
