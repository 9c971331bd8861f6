"""What senders and operators do to the topics under a worker: transactions, more partitions."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.structs import TopicPartition

from streams.topics import CONSUMED
from tests.services import PARTITIONS
from tests.streams.workers import Stage, make_stage, purchase, running, send, until


@pytest.fixture(scope="module")
def stage(database: str, kafka_topics: str) -> Stage:
    return make_stage(database, kafka_topics)


def test_an_aborted_transaction_of_a_sender_never_happened(stage: Stage, tmp_path: Path) -> None:
    async def produce() -> None:
        async with AIOKafkaProducer(
            bootstrap_servers=stage.bootstrap, transactional_id="till-1"
        ) as producer:
            for order, keep in (("aborted", False), ("kept", True), ("aborted-last", False)):
                topic, key, value = purchase("m1", order)
                await producer.begin_transaction()
                await producer.send_and_wait(topic, value, key=(key or "").encode())
                await (producer.commit_transaction() if keep else producer.abort_transaction())

    asyncio.run(produce())
    for run in ("first", "second"):
        with running(stage, tmp_path / run, "--until-idle", "0.5") as worker:
            assert worker.wait() == 0, worker.errors()
        assert stage.outcomes() == {("purchases", "applied"): 1}


def test_a_log_that_begins_behind_the_end_of_a_transaction_has_lost_nothing(
    stage: Stage, tmp_path: Path
) -> None:
    """All records were taken and then expired, the marks of transactions too: the log begins one
    or more offsets after the stored one."""
    (stored,) = stage.ask(
        "SELECT partition, next_offset, read_to FROM ledger.stream_positions"
        " WHERE topic = 'purchases'"
    )
    partition, next_offset, read_to = stored
    assert read_to > next_offset

    async def expire() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=stage.bootstrap)
        await admin.start()
        everything = RecordsToDelete(before_offset=-1)
        await admin.delete_records({TopicPartition("purchases", partition): everything})
        await admin.close()

    asyncio.run(expire())
    for number in range(2):
        send(stage.bootstrap, [purchase("m1", f"after-{number}")])
        with running(stage, tmp_path / str(number), "--until-idle", "0.5") as worker:
            assert worker.wait() == 0, worker.errors()
        assert stage.outcomes() == {("purchases", "applied"): 2 + number}


def test_more_partitions_under_a_worker_stop_it(stage: Stage, tmp_path: Path) -> None:
    """Members' next records go to other partitions: their order would no longer hold. The last
    test of its module: the topics cannot be made smaller again."""

    async def grow() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=stage.bootstrap)
        await admin.start()
        more = {topic: NewPartitions(total_count=PARTITIONS + 4) for topic in CONSUMED}
        await admin.create_partitions(more)
        await admin.close()

    with running(stage, tmp_path / "log") as worker:
        until(worker.ready, "ready")
        asyncio.run(grow())
        assert worker.wait() == 1
        assert "[topic_partitions_differ]" in worker.errors()
