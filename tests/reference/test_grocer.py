"""The demo's two readers of the raw data, against each other and against what the data are known to
hold.
"""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from demo import grocer
from demo.reference import raw, reference_balances
from demo.reference.dates import instant

HOUSEHOLDS = 30

PROGRAM = """
program: small
currency: USD
time_zone: UTC
effective_from: 2017-01-01T00:00:00Z
activation: {after: P7D}
expiry: {after: P6M}
earn:
  - id: base
    award: {rate: {points: 1, per_amount: 100}}
surveys:
  - id: household-profile
    award: {fixed: 200}
    activation: immediately
"""


@pytest.fixture(scope="module")
def messages() -> list[grocer.Message]:
    return list(grocer.messages(grocer.choose(HOUSEHOLDS)))


def test_households_and_their_choice() -> None:
    assert len(grocer.households()) == 2_469
    assert grocer.choose(None) is None
    assert grocer.choose(3) == {1, 2, 3}


def test_messages_are_keyed_and_complete(messages: list[grocer.Message]) -> None:
    events = [(topic, key, orjson.loads(value)) for topic, key, value in messages]
    assert {topic for topic, _, _ in events} == {"referrals", "surveys", "purchases"}
    assert all(key.decode() == event["subject"] for _, key, event in events)
    ids = Counter(event["id"] for _, _, event in events)
    assert max(ids.values()) == 1
    assert len({event["subject"] for topic, _, event in events if topic == "purchases"}) == (
        HOUSEHOLDS
    )
    purchases = [event for topic, _, event in events if topic == "purchases"]
    order = [(event["time"], int(event["data"]["order_id"])) for event in purchases]
    assert order == sorted(order)
    for event in purchases:
        lines = event["data"]["lines"]
        assert [line["line_id"] for line in lines] == [str(n + 1) for n in range(len(lines))]
        assert all(type(line["amount"]) is int and line["amount"] >= 0 for line in lines)


def test_the_same_data_give_the_same_bytes(messages: list[grocer.Message]) -> None:
    assert list(grocer.messages(grocer.choose(HOUSEHOLDS))) == messages


def test_both_readers_say_the_same(messages: list[grocer.Message]) -> None:
    events = [orjson.loads(value) for _, _, value in messages]
    ours = [(instant(e["time"]), e["type"], e["subject"], e["data"]) for e in events]
    built = [make() for _, make in raw.inputs(HOUSEHOLDS)]
    theirs = [(e["time"], e["type"], e["subject"], e["data"]) for e in built]
    assert sorted(ours, key=repr) == sorted(theirs, key=repr)


def test_the_reference_runs_over_the_raw_data(tmp_path: Path) -> None:
    path = tmp_path / "program.yaml"
    path.write_text(PROGRAM, encoding="utf-8")
    calls: list[tuple[int, int]] = []
    at = datetime(2018, 1, 15, tzinfo=UTC)
    balances = reference_balances(path, at, 5, lambda done, total: calls.append((done, total)))
    assert sorted(balances) == ["1", "2", "3", "4", "5"]
    assert calls[-1][0] == calls[-1][1]
    granted: Counter[str] = Counter()
    for event in grocer.purchases(grocer.choose(5)):
        granted[event["subject"]] += sum(line["amount"] for line in event["data"]["lines"]) // 100
    for event in grocer.surveys(grocer.choose(5)):
        granted[event["subject"]] += 200
    assert {member: state["granted"] for member, state in balances.items()} == granted
    for state in balances.values():
        assert state["granted"] == int(state["available"]) + int(state["expired"])
