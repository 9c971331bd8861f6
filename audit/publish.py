"""Checkpoints in Kafka: the topic `checkpoints`, one partition, kept for ever, in their order.

What a folder holds and the topic does not is published, the oldest first: a run that failed in
between is made up for by the next. A checkpoint may be there twice (the broker's answer was lost);
readers know them by number and hash.
"""

from collections.abc import Sequence
from pathlib import Path

import msgspec
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from audit.checkpoint import Checkpoint, encode
from audit.errors import AuditRefused

CHECKPOINTS = "checkpoints"

_CONFIG = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
"""Nothing is compacted or deleted: each checkpoint names the one before it."""

READ_MILLISECONDS = 10_000
"""For the topic's last record to come: a hundred times what a healthy broker takes."""

_PARTITION = TopicPartition(CHECKPOINTS, 0)


async def publish(
    bootstrap: str, checkpoints: Sequence[tuple[Path, Checkpoint]], replication: int = 1
) -> int:
    """Publish those that the topic does not have; how many. Raises AuditRefused (not_published)."""
    try:
        await _ensure_topic(bootstrap, replication)
        last = await _last(bootstrap)
        known = 0 if last is None else last.content.number
        ledger = None if last is None else last.content.ledger_id
        if checkpoints and ledger not in (None, checkpoints[0][1].content.ledger_id):
            raise AuditRefused(
                f"The topic {CHECKPOINTS} holds the checkpoints of the ledger {ledger}: each ledger"
                " needs a Kafka, or a topic, of its own.",
                "not_published",
            )
        missing = [each for _, each in checkpoints if each.content.number > known]
        producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, acks="all", enable_idempotence=True
        )
        await producer.start()
        try:
            for each in missing:
                await producer.send_and_wait(
                    CHECKPOINTS, encode(each), each.content.ledger_id.encode(), partition=0
                )
        finally:
            await producer.stop()
    except KafkaError as error:
        raise AuditRefused(
            f"Kafka did not take the checkpoints ({type(error).__name__}): they are in their"
            " folder, and the next `points audit checkpoint` publishes them.",
            "not_published",
        ) from error
    return len(missing)


async def _ensure_topic(bootstrap: str, replication: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        described = await admin.describe_topics([CHECKPOINTS])
        if described[0]["error_code"] == 0:
            return
        answer = await admin.create_topics(
            [NewTopic(CHECKPOINTS, 1, replication, topic_configs=_CONFIG)]
        )
        for _, code, *_ in answer.topic_errors:
            error = for_code(code)
            if code != 0 and error is not TopicAlreadyExistsError:
                raise error
    finally:
        await admin.close()


async def _last(bootstrap: str) -> Checkpoint | None:
    """The newest checkpoint of the topic. Raises AuditRefused (not_published)."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, enable_auto_commit=False, auto_offset_reset="none"
    )
    await consumer.start()
    try:
        consumer.assign([_PARTITION])
        end = (await consumer.end_offsets([_PARTITION]))[_PARTITION]
        begin = (await consumer.beginning_offsets([_PARTITION]))[_PARTITION]
        if end == begin:
            return None
        consumer.seek(_PARTITION, end - 1)
        found = await consumer.getmany(_PARTITION, timeout_ms=READ_MILLISECONDS)
        for record in found.get(_PARTITION, []):
            return msgspec.json.decode(record.value, type=Checkpoint)
    except msgspec.MsgspecError as error:
        raise AuditRefused(
            f"The last record of the topic {CHECKPOINTS} is no checkpoint ({error}): someone else"
            " writes to it; give it to nobody but who makes checkpoints.",
            "not_published",
        ) from error
    finally:
        await consumer.stop()
    raise AuditRefused(
        f"Kafka did not give the last record of the topic {CHECKPOINTS} within"
        f" {READ_MILLISECONDS // 1_000} s: see its brokers, then run the command again.",
        "not_published",
    )
