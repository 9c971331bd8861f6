"""The campaign's check of `command_outcomes` can fail: each kind of wrong outcome is refused."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.faults.outcomes import Outcomes, WrongOutcome
from tests.faults.records import RESERVE, Expected, command_poison, event, record

AT = datetime(2026, 3, 1, 8, tzinfo=UTC)
COMMAND = event(RESERVE, "ann", "e-1", AT, {"reservation_id": "r-1", "points": 100})
SENT = {
    (3, 0): Expected(record(COMMAND, key="ann"), RESERVE, "applied"),
    (3, 1): Expected(record(COMMAND, key="ann"), RESERVE, "duplicate"),
    (3, 2): command_poison("ann", "p-1", AT)[0],
}


def told(offset: int, outcome: str, **data: Any) -> bytes:
    document = {"specversion": "1.0", "type": "command.outcome.v1", "id": f"commands:3:{offset}"}
    if outcome != "dead_lettered":
        document["subject"] = "ann"
        data = {"command_id": "e-1", "shard": 5, "position": 9, **data}
    return json.dumps({**document, "data": {"outcome": outcome, **data}}).encode()


FIRST, AGAIN = told(0, "applied"), told(1, "duplicate")
POISON = told(2, "dead_lettered", code="not_json")


def test_what_is_right_may_be_told_twice() -> None:
    outcomes = Outcomes()
    for key, value in ((b"ann", FIRST), (b"ann", AGAIN), (b"ann", FIRST), (None, POISON)):
        outcomes.heard(key, value, SENT)
    outcomes.complete(SENT)
    assert (outcomes.told, outcomes.twice) == (3, 1)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        pytest.param(b"bob", AGAIN, id="another key"),
        pytest.param(b"ann", told(7, "applied"), id="never sent"),
        pytest.param(b"ann", told(0, "applied", balance={}), id="says something else"),
        pytest.param(b"ann", told(1, "applied"), id="another outcome"),
        pytest.param(b"ann", told(1, "duplicate", command_id="e-2"), id="another command"),
        pytest.param(b"ann", told(1, "duplicate", position=10), id="decided twice"),
        pytest.param(None, told(2, "dead_lettered", code="empty"), id="another code"),
    ],
)
def test_what_is_wrong_is_refused(key: bytes | None, value: bytes) -> None:
    outcomes = Outcomes()
    outcomes.heard(b"ann", FIRST, SENT)
    with pytest.raises(WrongOutcome):
        outcomes.heard(key, value, SENT)


def test_a_member_s_outcomes_come_in_order_and_none_is_missing() -> None:
    other = event(RESERVE, "ann", "e-2", AT, {"reservation_id": "r-2", "points": 100})
    sent = {**SENT, (3, 3): Expected(record(other, key="ann"), RESERVE, "applied")}
    outcomes = Outcomes()
    outcomes.heard(b"ann", FIRST, sent)
    with pytest.raises(WrongOutcome):
        outcomes.heard(b"ann", told(3, "applied", command_id="e-2", position=8), sent)
    with pytest.raises(WrongOutcome):
        outcomes.complete(SENT)
