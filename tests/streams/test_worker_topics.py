"""What senders and operators do to the topics under a worker: transactions, more partitions."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from streams.topics import CONSUMED
from tests.services import PARTITIONS
from tests.streams.workers import Stage, make_stage, purchase, running, until


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


def test_more_partitions_under_a_worker_stop_it(stage: Stage, tmp_path: Path) -> None:
    """Members' next records go to other partitions: their order would no longer hold. The last
    test of its module: the topics cannot be made smaller again."""

    async def grow() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=stage.bootstrap)
        await admin.start()
        more = {topic: NewPartitions(total_count=PARTITIONS + 4) for topic in CONSUMED}
        await admin.create_partitions(more)
        await admin.close()

    async def visit() -> None:
        """Another of the group comes and goes, so that partitions are assigned anew."""
        visitor = AIOKafkaConsumer(
            *CONSUMED,
            bootstrap_servers=stage.bootstrap,
            group_id="points-ledger",
            partition_assignment_strategy=[RangePartitionAssignor],
            enable_auto_commit=False,
        )
        await visitor.start()
        await visitor.stop()

    with running(stage, tmp_path / "log") as worker:
        until(worker.ready, "ready")
        asyncio.run(grow())
        asyncio.run(visit())
        assert worker.wait() == 1
        assert "[topic_partitions_differ]" in worker.errors()
