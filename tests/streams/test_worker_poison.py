"""Each kind of record that cannot be taken becomes one dead letter, and the rest goes on."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.streams.workers import (
    Event,
    Stage,
    event,
    make_stage,
    purchase,
    running,
    send,
    survey,
    until,
)

SOON = (datetime.now(UTC) + timedelta(hours=2)).isoformat()


@pytest.fixture(scope="module")
def stage(database: str, kafka_topics: str) -> Stage:
    return make_stage(database, kafka_topics)


def changed(change: Callable[[dict[str, object]], object], member: str) -> Event:
    """A purchase with something done to it."""
    topic, key, value = purchase(member, f"o-{member}")
    document = json.loads(value or b"")
    change(document)
    return topic, key, json.dumps(document).encode()


def line(line_id: str) -> dict[str, object]:
    return {"line_id": line_id, "sku": "a", "amount": 1}


POISON: list[tuple[str, Event]] = [
    ("empty", ("purchases", "p1", None)),
    ("not_json", ("purchases", "p2", b"{")),
    ("not_utf8", ("purchases", "p3", b'{"type": "\xff"}')),
    ("too_deep", ("purchases", "p4", b'{"x": ' + b"[" * 100_000)),
    ("unknown_type", changed(lambda e: e.update(type="purchase.dreamt.v1"), "p5")),
    ("missing_field", changed(lambda e: e.pop("id"), "p6")),
    ("unknown_field", purchase("p7", "o-p7", colour="red")),
    ("invalid_field", purchase("p8", "o-p8", lines=[{**line("1"), "amount": -5}])),
    ("invalid_field", purchase("p9", "o-p9", lines=[{**line("1"), "amount": 12.5}])),
    ("bad_quantity", purchase("p10", "o-p10", lines=[{**line("1"), "quantity": "1.2345"}])),
    ("duplicate_line_id", purchase("p11", "o-p11", lines=[line("1"), line("1")])),
    ("nul_character", purchase("p12", "o-p12", lines=[line("a\x00b")])),
    ("invalid_field", purchase("nobody@example.org", "o-p13")),
    ("from_future", purchase("p14", "o-p14", SOON)),
    ("no_program", purchase("p15", "o-p15", "2022-12-31T23:59:59Z")),
    ("other_currency", purchase("p16", "o-p16", currency="EUR")),
    ("wrong_topic", ("purchases", *survey("p17", "s-p17")[1:])),
    ("conflict", purchase("good", "o-good", lines=[line("other")])),
]


def test_each_kind_of_poison_is_one_dead_letter(stage: Stage, tmp_path: Path) -> None:
    send(stage.bootstrap, [purchase("good", "o-good")])
    records = [poison for _, poison in POISON]
    mixed = [record for n, poison in enumerate(records) for record in (poison, good(n))]
    published = 1 + send(stage.bootstrap, mixed)
    with running(stage, tmp_path / "log") as worker:
        until(lambda: stage.handled() == published, "all were handled")
        assert worker.metric("points_dead_letters_total") == len(POISON)
        assert worker.terminate() == 0, worker.errors()
    assert stage.outcomes() == {
        ("purchases", "applied"): 1 + len(POISON),
        ("purchases", "dead_lettered"): len(POISON),
    }
    letters = stage.ask("SELECT code, value, source, message FROM ledger.dead_letters")
    assert sorted(code for code, *_ in letters) == sorted(code for code, _ in POISON)
    assert {value for _, value, *_ in letters} == {value for _, _, value in records}
    assert all(message for *_, message in letters)


def good(n: int) -> Event:
    return purchase(f"g{n}", f"o-g{n}")


def test_dead_letters_are_listed_shown_retried_and_discarded(stage: Stage) -> None:
    found = json.loads(stage.points("dead-letters", "list", "--json").stdout)["dead_letters"]
    assert len(found) == len(POISON)
    number = {letter["code"]: str(letter["id"]) for letter in found}
    shown = json.loads(stage.points("dead-letters", "show", number["not_json"], "--json").stdout)
    assert (shown["value"], shown["source"], shown["key"]) == ("{", "purchases", "p2")
    # Retrying does not help what is still wrong …
    retried = json.loads(stage.points("dead-letters", "retry", number["not_json"], "--json").stdout)
    assert retried["retried"][0]["outcome"] == "dead_lettered"
    # … and takes effect once where the reason is gone (here: someone corrected the bytes).
    _, _, corrected = purchase("p15", "o-p15")
    stage.change(
        "UPDATE ledger.dead_letters SET value = %s WHERE id = %s", corrected, number["no_program"]
    )
    answer = stage.points("dead-letters", "retry", "--code", "no_program")
    assert "applied" in answer.stdout, answer
    again = stage.points("dead-letters", "retry", number["no_program"])
    assert again.returncode == 1
    assert "retried before" in again.stderr
    assert stage.points("dead-letters", "discard", number["not_json"]).returncode == 0
    assert stage.points("dead-letters", "discard", number["not_json"]).returncode == 1
    assert stage.points("dead-letters", "retry").returncode == 1
    assert stage.points("dead-letters", "list", "--status", "lost").returncode == 2
    assert stage.outcomes() == {
        ("purchases", "applied"): 2 + len(POISON),
        ("purchases", "dead_lettered"): len(POISON) - 1,
    }


def test_a_record_on_the_wrong_partition_is_right_but_counted(stage: Stage, tmp_path: Path) -> None:
    before = stage.handled()
    for partition in range(8):
        send(stage.bootstrap, [survey("stray", f"stray-{partition}")], partition)
    with running(stage, tmp_path / "log") as worker:
        until(lambda: stage.handled() == before + 8, "all were handled")
        assert worker.metric("points_misrouted_total") == 7
    outcomes = stage.outcomes()
    assert outcomes["surveys", "applied"] == 1
    assert outcomes["surveys", "refused"] == 7


def test_binary_mode_is_taken_too(stage: Stage, tmp_path: Path) -> None:
    value = event("survey.completed.v1", "binary", "b1", "2023-04-01T12:00:00Z", {})
    assert value
    before = stage.outcomes()["surveys", "applied"]
    with running(stage, tmp_path / "log", "--until-idle", "0.5") as worker:
        send_binary(stage)
        until(lambda: stage.outcomes()["surveys", "applied"] == before + 1, "taken")
        assert worker.wait() == 0, worker.errors()


def send_binary(stage: Stage) -> None:
    import asyncio

    from aiokafka import AIOKafkaProducer

    async def produce() -> None:
        async with AIOKafkaProducer(bootstrap_servers=stage.bootstrap) as producer:
            await producer.send_and_wait(
                "surveys",
                b'{"survey_id": "welcome", "completion_id": "b1"}',
                key=b"binary",
                headers=[
                    ("ce_specversion", b"1.0"),
                    ("ce_id", b"b1"),
                    ("ce_source", b"test"),
                    ("ce_type", b"survey.completed.v1"),
                    ("ce_time", b"2023-04-01T12:00:00Z"),
                    ("ce_subject", b"binary"),
                ],
            )

    asyncio.run(produce())
