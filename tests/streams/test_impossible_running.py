"""Situations that must not be and come up under a running worker: it stops before it stores
anything of what came after."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from streams.topics import CONSUMED
from tests.services import fresh_topics
from tests.streams.workers import Event, Stage, make_stage, purchase, running, send, until

MEMBERS = 40

HEADS_BACK = """
UPDATE ledger.heads h SET position = coalesce(e.position, 0), hash = coalesce(e.hash, h.hash)
FROM ledger.heads o LEFT JOIN LATERAL (
    SELECT position, hash FROM ledger.events WHERE shard = o.shard ORDER BY position DESC LIMIT 1
) e ON true
WHERE o.shard = h.shard
"""
"""The repair that a person would do."""


@pytest.fixture(scope="module")
def stage(database: str, kafka_topics: str) -> Stage:
    return make_stage(database, kafka_topics)


def round_of(name: str) -> list[Event]:
    """A purchase of each member: every partition gets some."""
    return [purchase(f"m{n}", f"{name}-{n}") for n in range(MEMBERS)]


def stopped_by(
    stage: Stage, log: Path, what: Callable[[], object], code: str, *, frozen: bool = False
) -> None:
    """A worker takes a round; then `what` happens and another round comes."""
    handled = stage.handled()
    send(stage.bootstrap, round_of(f"before-{log.parent.name}"))
    with running(stage, log, "--history", session_timeout_seconds=60) as worker:
        until(
            lambda: stage.handled() >= handled + MEMBERS or worker.process.poll() is not None,
            "the first round",
        )
        until(lambda: worker.metric("points_lag_records") == 0, "all is told")
        if frozen:
            worker.freeze()
        what()
        before = stage.fingerprint()
        send(stage.bootstrap, round_of(f"after-{log.parent.name}"))
        worker.thaw()
        assert worker.wait() == 1
        message = worker.errors()
    assert f"error [{code}] " in message
    assert len(message.strip().splitlines()) == 1, message
    assert stage.fingerprint() == before


@pytest.mark.parametrize(
    ("change", "code", "back"),
    [
        (
            "UPDATE ledger.heads SET position = position - 1 WHERE position > 0",
            "log_went_back",
            HEADS_BACK,
        ),
        (
            "UPDATE ledger.heads SET position = position + 7",
            "head_differs",
            HEADS_BACK,
        ),
        (
            "UPDATE ledger.heads SET hash = decode(md5('x') || md5('y'), 'hex') WHERE position > 0",
            "head_differs",
            HEADS_BACK,
        ),
        (
            "UPDATE ledger.stream_positions SET next_offset = next_offset - 1",
            "offset_gap",
            "UPDATE ledger.stream_positions SET next_offset = next_offset + 1",
        ),
        (
            "UPDATE ledger.stream_positions SET topic_id = decode(md5('x'), 'hex')",
            "other_topic",
            "UPDATE ledger.stream_positions SET topic_id = NULL",
        ),
        ("DELETE FROM ledger.stream_positions", "offset_gone", None),
    ],
)
def test_a_database_that_is_changed(
    stage: Stage, tmp_path: Path, change: str, code: str, back: str | None
) -> None:
    try:
        stopped_by(stage, tmp_path / "log", lambda: stage.change(change), code)
    finally:
        if back is not None:
            stage.change(back)
    # Put right, the next worker goes on; what was not stored then is taken now.
    handled = stage.outcomes()["purchases", "applied"]
    with running(stage, tmp_path / "again", "--history", "--until-idle", "0.2") as worker:
        assert worker.wait() == 0, worker.errors()
    assert stage.outcomes()["purchases", "applied"] == handled + MEMBERS


def test_topics_created_again_and_filled_between_two_fetches(stage: Stage, tmp_path: Path) -> None:
    """The new log goes past the offset that is read next: by offsets alone it is the old one."""

    def recreate() -> None:
        asyncio.run(fresh_topics(stage.bootstrap))
        for name in range(20):
            send(stage.bootstrap, round_of(f"new-{name}"))

    stopped_by(stage, tmp_path / "log", recreate, "topic_recreated", frozen=True)
    assert stage.points("kafka", "adopt").returncode == 0


@pytest.mark.long
def test_topics_that_are_deleted(stage: Stage, tmp_path: Path) -> None:
    """Half a minute passes before it is sure that they are not only away."""

    async def delete() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=stage.bootstrap)
        await admin.start()
        await admin.delete_topics(list(CONSUMED))
        await admin.close()

    with running(stage, tmp_path / "before", "--history", "--until-idle", "0.2") as worker:
        assert worker.wait() == 0, worker.errors()
    with running(stage, tmp_path / "log", "--history") as worker:
        until(worker.ready, "ready")
        before = stage.fingerprint()
        asyncio.run(delete())
        assert worker.wait() == 1
        message = worker.errors()
    assert "[topics_missing]" in message or "[input_lost]" in message, message
    assert stage.fingerprint() == before
