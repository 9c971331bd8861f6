"""Situations that must not be: the worker does not start, says why in a sentence, touches nothing.

Each is made on real services, the ledger's tables are compared before and after, and what a person
is told to do is done: then the worker goes on where it was.
"""

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, RecordsToDelete
from aiokafka.structs import TopicPartition

from deploy import embedded
from streams.topics import CONSUMED
from tests.services import PARTITIONS, fresh_topics
from tests.streams.workers import Event, Stage, make_stage, purchase, running, send

LOADED = 50


@pytest.fixture(scope="module")
def stage(database: str, kafka_topics: str, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    made = make_stage(database, kafka_topics)
    send(made.bootstrap, purchases(LOADED))
    take_all(made, tmp_path_factory.mktemp("loaded") / "log")
    assert made.outcomes() == {("purchases", "applied"): LOADED}
    return made


def purchases(count: int, first: int = 0) -> list[Event]:
    return [purchase(f"m{n}", f"o{n}") for n in range(first, first + count)]


def take_all(stage: Stage, log: Path) -> None:
    with running(stage, log, "--until-idle", "0.2", "--history") as worker:
        assert worker.wait() == 0, worker.errors()


def refused(stage: Stage, log: Path, code: str, **settings: object) -> str:
    """A worker that must end by itself with `code` and leave every table as it was; its words."""
    before = stage.fingerprint()
    with running(stage, log, "--history", **settings) as worker:
        assert worker.wait() == 1
        message = worker.errors()
    assert f"error [{code}] " in message
    assert len(message.strip().splitlines()) == 1, message
    assert stage.fingerprint() == before
    return message


@contextmanager
def changed(stage: Stage, table: str, change: str) -> Iterator[None]:
    """Rows of a table changed by hand, and put back."""
    stage.change("DROP TABLE IF EXISTS kept")
    stage.change(f"CREATE TABLE kept AS SELECT * FROM ledger.{table}")
    stage.change(change.replace("TABLE", f"ledger.{table}"))
    try:
        yield
    finally:
        stage.change(f"DELETE FROM ledger.{table}")
        stage.change(f"INSERT INTO ledger.{table} SELECT * FROM kept")


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"shards": 16}, "other_shards"),
        ({"partitions": 4}, "topic_partitions_differ"),
        ({"program_id": "another"}, "other_program"),
        ({"group": "another"}, "other_group"),
    ],
)
def test_settings_of_another_ledger(
    stage: Stage, tmp_path: Path, settings: dict[str, object], code: str
) -> None:
    refused(stage, tmp_path / "log", code, **settings)


@pytest.mark.parametrize(
    ("table", "change", "code"),
    [
        ("schema_version", "UPDATE TABLE SET version_num = '9999'", "newer_schema"),
        ("schema_version", "UPDATE TABLE SET version_num = '0001'", "older_schema"),
        ("ledger", "UPDATE TABLE SET currency = 'EUR'", "other_currency"),
        ("heads", "UPDATE TABLE SET position = position - 1 WHERE position > 2", "head_differs"),
        ("heads", "UPDATE TABLE SET position = position + 1", "head_differs"),
        ("heads", "UPDATE TABLE SET hash = sha256('x') WHERE shard = 31", "head_differs"),
        ("heads", "DELETE FROM TABLE WHERE shard = 7", "head_differs"),
        ("feed", "UPDATE TABLE SET cluster_id = 'another'", "other_kafka"),
        ("stream_positions", "UPDATE TABLE SET next_offset = next_offset + 1000", "input_lost"),
        ("stream_positions", "UPDATE TABLE SET topic_id = decode('00', 'hex')", "topic_recreated"),
        ("stream_positions", "UPDATE TABLE SET last_checksum = 'x'", "input_changed"),
    ],
)
def test_a_database_that_was_changed(
    stage: Stage, tmp_path: Path, table: str, change: str, code: str
) -> None:
    with changed(stage, table, change):
        refused(stage, tmp_path / "log", code)


def test_what_was_put_back_goes_on(stage: Stage, tmp_path: Path) -> None:
    handled = stage.handled()
    send(stage.bootstrap, purchases(10, LOADED))
    take_all(stage, tmp_path / "log")
    assert stage.outcomes()["purchases", "applied"] == handled + 10


def test_a_program_in_another_currency_is_not_published(stage: Stage, tmp_path: Path) -> None:
    before = stage.fingerprint()
    text = Path(__file__).with_name("program.yaml").read_text()
    file = tmp_path / "program.yaml"
    file.write_text(text.replace("currency: USD", "currency: EUR"))
    answer = stage.points("program", "publish", str(file))
    assert answer.returncode == 1
    assert "[other_currency]" in answer.stderr
    assert stage.fingerprint() == before


def test_records_that_expired_unread(stage: Stage, tmp_path: Path) -> None:
    send(stage.bootstrap, purchases(40, 200))

    async def expire() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=stage.bootstrap)
        await admin.start()
        await admin.delete_records(
            {
                TopicPartition("purchases", partition): RecordsToDelete(before_offset=-1)
                for partition in range(PARTITIONS)
            }
        )
        await admin.close()

    asyncio.run(expire())
    assert "expired" in refused(stage, tmp_path / "log", "input_lost")


def test_topics_created_again(stage: Stage, tmp_path: Path) -> None:
    """Empty, and filled past the stored offsets: neither is the topic that was read."""
    asyncio.run(fresh_topics(stage.bootstrap))
    refused(stage, tmp_path / "empty", "topic_recreated")
    send(stage.bootstrap, purchases(LOADED + 30))
    refused(stage, tmp_path / "filled", "topic_recreated")


def test_what_a_person_adopts_is_read_from_its_beginning(stage: Stage, tmp_path: Path) -> None:
    shown = stage.points("kafka", "show")
    assert shown.stdout.count("group points-ledger") == 2, shown
    applied = stage.outcomes()["purchases", "applied"]
    answer = stage.points("kafka", "adopt")
    assert "stored offsets forgotten" in answer.stdout, answer
    take_all(stage, tmp_path / "log")
    assert stage.outcomes() == {
        ("purchases", "applied"): applied + 20,
        ("purchases", "duplicate"): LOADED + 10,
    }


def test_a_log_that_ends_before_the_stored_offset(
    stage: Stage, tmp_path: Path, services: embedded.Services
) -> None:
    """A broker comes back with an empty disk: the topics are there, what was in them is not."""
    running_now = embedded.start(services.data_dir)

    def wipe() -> None:
        for log in logs_of(running_now, "purchases"):
            shutil.rmtree(log)

    restart(running_now, wipe)
    assert "truncated" in refused(stage, tmp_path / "log", "input_lost")


def logs_of(services: embedded.Services, topic: str) -> list[Path]:
    """Of the topic as it is now: those of a deleted one stay for a minute as `…-delete`."""
    found = list((services.data_dir / "kafka" / "data").glob(f"{topic}-*"))
    found = [log for log in found if not log.name.endswith("-delete")]
    assert len(found) == PARTITIONS
    return found


def restart(services: embedded.Services, meanwhile: Callable[[], object]) -> None:
    """Kill Kafka and start it again on the same port."""
    process = psutil.Process(services.kafka_pid)
    os.kill(services.kafka_pid, signal.SIGKILL)
    psutil.wait_procs([process], timeout=30)
    try:
        meanwhile()
    finally:  # the tests after this one need it
        back = embedded.start(services.data_dir)
    assert back.kafka_bootstrap == services.kafka_bootstrap


def test_topics_with_more_partitions(stage: Stage, tmp_path: Path) -> None:
    """The last of its module: topics cannot be made smaller again."""

    async def grow() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=stage.bootstrap)
        await admin.start()
        await admin.create_partitions({name: NewPartitions(PARTITIONS + 4) for name in CONSUMED})
        await admin.close()

    asyncio.run(grow())
    refused(stage, tmp_path / "log", "topic_partitions_differ")
