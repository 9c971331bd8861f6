"""Starts that are refused before anything is consumed, and stops that are loud."""

from pathlib import Path

import pytest

from tests.streams.workers import Stage, make_stage, purchase, running, send, until


@pytest.fixture(scope="module")
def stage(database: str, kafka_topics: str) -> Stage:
    made = make_stage(database, kafka_topics)
    send(made.bootstrap, [purchase(f"m{n}", f"o{n}") for n in range(50)])
    return made


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"partitions": 4}, "topic_partitions_differ"),
        ({"partitions": 5}, "bad_setting"),
        ({"shards": 16}, "other_shards"),
        ({"program_id": "another"}, "other_program"),
        ({"grup": "mine"}, "unknown_setting"),
        ({"kafka_bootstrap": "127.0.0.1:1"}, "no_kafka"),
        ({"database_url": "postgresql://nobody@127.0.0.1:1/none"}, "no_connection"),
        ({"http_port": 1}, "port_in_use"),
    ],
)
def test_a_wrong_start_is_refused_with_a_sentence(
    stage: Stage, tmp_path: Path, settings: dict[str, object], code: str
) -> None:
    if code == "port_in_use":
        settings = {"http_port": stage.bootstrap.rpartition(":")[2]}
    with running(stage, tmp_path / "log", **settings) as worker:
        assert worker.wait() == 1
        message = worker.errors()
    assert f"[{code}]" in message
    assert len(message.strip().splitlines()) == 1
    assert stage.handled() == 0


def take_all(stage: Stage, log: Path) -> None:
    with running(stage, log, "--until-idle", "0.2") as worker:
        assert worker.wait() == 0, worker.errors()
    assert stage.outcomes() == {("purchases", "applied"): 50}


def test_lost_or_changed_input_stops_the_worker_loudly(stage: Stage, tmp_path: Path) -> None:
    take_all(stage, tmp_path / "first")
    stage.change("CREATE TABLE kept AS SELECT * FROM ledger.stream_positions")
    for change, code in (
        ("next_offset = next_offset + 1000", "input_lost"),
        ("last_checksum = decode('00', 'hex')", "input_changed"),
    ):
        stage.change(f"UPDATE ledger.stream_positions SET {change} WHERE topic = 'purchases'")
        with running(stage, tmp_path / code) as worker:
            assert worker.wait() == 1
            assert f"[{code}]" in worker.errors()
        stage.change("DELETE FROM ledger.stream_positions")
        stage.change("INSERT INTO ledger.stream_positions SELECT * FROM kept")
    # Put right, it goes on where it was.
    send(stage.bootstrap, [purchase("m1", "one-more")])
    with running(stage, tmp_path / "last") as worker:
        until(lambda: stage.handled() == 51, "the new purchase")
        assert worker.terminate() == 0
