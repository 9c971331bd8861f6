"""Each kind of record that cannot be taken becomes one dead letter, and the rest goes on."""

import asyncio
import getpass
import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from ledger.headers import read_headers
from ledger.sharding import partition_of
from tests.services import PARTITIONS
from tests.streams.raw_batches import BAD_NAME, MARK, Row, batch, send_batch
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

P15 = (purchase("p15", "o-p15", "2022-12-31T23:59:59Z")[2] or b"").decode()

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
    ("not_json", ("purchases", "p18", random.Random(1).randbytes(1_000_000))),
    ("invalid_field", purchase("p19", "o-p19", lines=[{**line("1"), "amount": 10**30}])),
    ("from_future", purchase("p20", "o-p20", "2062-01-01T00:00:00Z")),
    ("time_out_of_range", purchase("p21", "o-p21", "2962-01-01T00:00:00Z")),
    ("not_json", ("purchases", "p22", b"\x00" * 1_000)),
    ("missing_field", ("purchases", "p23", b"{}")),
    ("invalid_field", ("purchases", "p24", b"[]")),
]

RAW_POISON: list[tuple[str, Row]] = [
    ("not_utf8", (b"r1", purchase("r1", "o-r1")[2], [(MARK, b"x")])),
    ("not_utf8", (b"r2", b"{}", [("ce_specversion", b"1.0"), ("ce_id", b"\xff")])),
    ("content_type", (b"r3", b"{}", [("content-type", b"application/cloudevents+avro")])),
    ("too_large", (b"r4", b"{}", [("ce_specversion", b"1.0"), ("ce_id", b"x" * 20_000)])),
]
"""What only a batch made by hand can hold; a good record follows each."""

RAW_GOOD: list[Row] = [
    (b"h1", purchase("h1", "o-h1")[2], [(f"trace-{n}", b"") for n in range(5_000)]),
    (b"h2", purchase("h2", "o-h2")[2], [("trace", b"\xff"), ("note", None)]),
    (b"", purchase("h3", "o-h3")[2], []),
    (None, purchase("h4", "o-h4")[2], []),
]
"""Odd, and right all the same."""


async def send_raw(bootstrap: str) -> int:
    """The raw ones in one batch of each compression, on one partition; how many records."""
    mixed = [row for n, (_, row) in enumerate(RAW_POISON) for row in (row, raw_good(n))]
    rows = mixed + RAW_GOOD
    await send_batch(bootstrap, "purchases", 3, batch(rows), len(rows))
    for codec in (1, 2, 3, 4):
        one = raw_good(100 + codec)
        await send_batch(bootstrap, "purchases", 4, batch([one], codec), 1)
    return len(rows) + 4


def raw_good(n: int) -> Row:
    _, key, value = purchase(f"raw{n}", f"o-raw{n}")
    return (key or "").encode(), value, []


DEAD = len(POISON) + len(RAW_POISON)


def test_each_kind_of_poison_is_one_dead_letter(stage: Stage, tmp_path: Path) -> None:
    send(stage.bootstrap, [purchase("good", "o-good")])
    records = [poison for _, poison in POISON]
    mixed = [record for n, poison in enumerate(records) for record in (poison, good(n))]
    published = 1 + send(stage.bootstrap, mixed) + asyncio.run(send_raw(stage.bootstrap))
    with running(stage, tmp_path / "log") as worker:
        until(lambda: stage.handled() == published, "all were handled")
        worker.counts("points_dead_letters_total", DEAD)
        assert worker.terminate() == 0, worker.errors()
    assert stage.outcomes() == {
        ("purchases", "applied"): published - DEAD,
        ("purchases", "dead_lettered"): DEAD,
    }
    letters = stage.ask("SELECT key, code, value, source, message FROM ledger.dead_letters")
    expected = [(key, code, value) for code, (_, key, value) in POISON]
    expected += [(key.decode(), code, value) for code, (key, value, _) in RAW_POISON if key]
    found = [(bytes(key).decode(), code, value) for key, code, value, *_ in letters]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert all(message for *_, message in letters)
    # What came after each was not disturbed, and nothing of a letter was decided.
    decided = {member for (member,) in stage.ask("SELECT DISTINCT member_id FROM ledger.events")}
    assert decided >= {f"g{n}" for n in range(len(POISON))} | {"h1", "h2", "h3", "h4"}
    assert not decided & {key for _, (_, key, _) in POISON if key != "good"}


def test_a_header_comes_back_as_it_came(stage: Stage) -> None:
    ((number, headers),) = stage.ask(
        "SELECT id, headers FROM ledger.dead_letters WHERE key = 'r1'::bytea"
    )
    assert read_headers(headers) == ((BAD_NAME.decode("utf-8", "surrogateescape"), b"x"),)
    shown = json.loads(stage.points("dead-letters", "show", str(number), "--json").stdout)
    assert shown["headers"][0][0].startswith("\\xff\\xfe")
    assert "\\xff" in stage.points("dead-letters", "show", str(number)).stdout
    again = stage.points("dead-letters", "retry", str(number))
    assert again.returncode == 1
    assert "[not_utf8]" in again.stdout


def test_strays_are_counted_and_told(stage: Stage, tmp_path: Path) -> None:
    """By their subject they are decided, wherever they lie."""
    before = stage.outcomes()["purchases", "applied"]
    _, _, keyless = purchase("stray1", "o-stray1")
    _, _, carded = purchase("stray2", "o-stray2")
    home = partition_of("stray3", PARTITIONS)
    send(stage.bootstrap, [("purchases", None, keyless), ("purchases", "card-7", carded)])
    send(stage.bootstrap, [purchase("stray3", "o-stray3")], (home + 1) % PARTITIONS)
    with running(stage, tmp_path / "log") as worker:
        until(lambda: stage.outcomes()["purchases", "applied"] == before + 3, "all were taken")
        worker.counts("points_misrouted_total", 3)
        metrics = worker.get("/metrics")[1]
        log = (tmp_path / "log").read_text()
    for reason in ("no_key", "other_key", "other_partitioner"):
        assert f'points_misrouted_total{{reason="{reason}",topic="purchases"}} 1.0' in metrics
        assert f'"reason": "{reason}"' in log


def good(n: int) -> Event:
    return purchase(f"g{n}", f"o-g{n}")


def test_dead_letters_are_listed_shown_retried_and_discarded(stage: Stage) -> None:
    applied = stage.outcomes()["purchases", "applied"]
    found = json.loads(stage.points("dead-letters", "list", "--json").stdout)["dead_letters"]
    assert len(found) == DEAD
    number = {
        letter["code"]: str(letter["id"]) for letter in found if letter["value"] in ("{", P15)
    }
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
    discard = ("dead-letters", "discard", number["not_json"])
    assert stage.points(*discard).returncode == 2, "a reason is asked for"
    assert stage.points(*discard, "--reason", "  ").returncode == 2
    assert stage.points(*discard, "--reason", "a till in training").returncode == 0
    assert stage.points(*discard, "--reason", "once more").returncode == 1
    given_up = json.loads(stage.points("dead-letters", "show", discard[2], "--json").stdout)
    assert given_up["status"] == "discarded"
    assert given_up["discard_reason"] == "a till in training"
    assert given_up["discarded_by"] == getpass.getuser()
    assert given_up["closed_at"] is not None
    assert "a till in training" in stage.points("dead-letters", "show", discard[2]).stdout
    purge = ("dead-letters", "purge", "--older-than")
    assert stage.points(*purge, "soon").returncode == 2
    assert stage.points(*purge, "1d").stdout == "0 purged\n"
    assert stage.points("dead-letters", "retry").returncode == 1
    assert stage.points("dead-letters", "list", "--status", "lost").returncode == 2
    assert stage.outcomes()["purchases", "applied"] == applied + 1
    assert stage.outcomes()["purchases", "dead_lettered"] == DEAD - 1


def test_a_record_on_the_wrong_partition_is_right_but_counted(stage: Stage, tmp_path: Path) -> None:
    before = stage.handled()
    for partition in range(8):
        send(stage.bootstrap, [survey("stray", f"stray-{partition}")], partition)
    with running(stage, tmp_path / "log") as worker:
        until(lambda: stage.handled() == before + 8, "all were handled")
        worker.counts("points_misrouted_total", 7)  # the eighth is at home
    outcomes = stage.outcomes()
    assert outcomes["surveys", "applied"] == 1
    assert outcomes["surveys", "refused"] == 7


def test_binary_mode_is_taken_too(stage: Stage, tmp_path: Path) -> None:
    value = event("survey.completed.v1", "binary", "b1", "2023-04-01T12:00:00Z", {})
    assert value
    before = stage.outcomes()["surveys", "applied"]
    send_binary(stage)
    with running(stage, tmp_path / "log", "--until-idle", "0.5") as worker:
        assert worker.wait() == 0, worker.errors()
    assert stage.outcomes()["surveys", "applied"] == before + 1


def send_binary(stage: Stage) -> None:
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
