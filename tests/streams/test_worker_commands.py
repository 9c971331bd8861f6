"""A worker and the topic `commands`: each record has its outcome, in the order of the decisions."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.outcomes import CommandOutcome
from streams.topics import COMMAND_OUTCOMES
from tests.services import PARTITIONS
from tests.streams.workers import Event, Stage, event, make_stage, running, send, survey

AT = "2023-05-02T12:00:00Z"
MEMBERS = 12


@pytest.fixture(scope="module")
def stage(database: str, kafka_topics: str) -> Stage:
    return make_stage(database, kafka_topics)


def command(kind: str, member: str, name: str, **data: object) -> Event:
    return ("commands", member, event(f"command.{kind}.v1", member, name, AT, data))


async def told(bootstrap: str) -> list[CommandOutcome]:
    """Everything in the topic of outcomes."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="none")
    await consumer.start()
    try:
        tps = [TopicPartition(COMMAND_OUTCOMES, number) for number in range(PARTITIONS)]
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        ends = await consumer.end_offsets(tps)
        found = []
        while any([await consumer.position(tp) < ends[tp] for tp in tps]):
            for records in (await consumer.getmany(timeout_ms=100)).values():
                for record in records:
                    one = msgspec.json.decode(record.value, type=CommandOutcome)
                    if one.subject is not None:
                        assert record.key == one.subject.encode()
                    found.append(one)
        return found
    finally:
        await consumer.stop()


def test_each_command_has_its_outcome_and_later_ones_see_earlier_ones(
    stage: Stage, tmp_path: Path
) -> None:
    members = [f"m{n}" for n in range(MEMBERS)]
    events = [survey(member, f"s-{member}") for member in members]
    for member in members:
        events += [
            command("reserve", member, "1", reservation_id="r", points=100),
            command("reserve", member, "1", reservation_id="r", points=100),
            command("confirm", member, "2", reservation_id="r"),
            command("cancel", member, "3", reservation_id="r"),
        ]
    events.append(("commands", "m1", b"{"))
    sent = send(stage.bootstrap, events)
    with running(stage, tmp_path / "log", "--history", "--until-idle", "0.5") as worker:
        assert worker.wait() == 0
    assert stage.handled() == sent
    found = asyncio.run(told(stage.bootstrap))
    for member in members:
        own = [one for one in found if one.subject == member]
        assert [(one.data.command_id, one.data.outcome, one.data.code) for one in own] == [
            ("1", "applied", None),
            ("1", "duplicate", None),
            ("2", "applied", None),
            ("3", "refused", "reservation_closed"),
        ]
    (unread,) = (one for one in found if one.subject is None)
    assert unread.data.code == "not_json"
    assert stage.ask("SELECT count(*) FROM ledger.command_outcomes") == [(0,)]
