"""Records as producers send them: CloudEvents of each input type, and poison.

Written by hand from docs/events.md; nothing is taken from the ledger's own types, so that a mistake
there is not repeated here. A record is bytes from the beginning: what is sent again is the same.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Literal, NamedTuple

Outcome = Literal["applied", "duplicate", "refused", "dead_lettered", "waiting"]

CURRENCY = "EUR"

PURCHASE = "purchase.completed.v1"
RETURN = "purchase.returned.v1"
REFERRAL = "referral.registered.v1"
SURVEY = "survey.completed.v1"
ENROLLED = "member.enrolled.v1"
UPDATED = "member.updated.v1"
ACTIVITY = "activity.completed.v1"
RESERVE = "command.reserve.v1"
CONFIRM = "command.confirm.v1"
CANCEL = "command.cancel.v1"
ADJUST = "command.adjust.v1"
TRANSFER = "command.transfer.v1"

COMMANDS = (RESERVE, CONFIRM, CANCEL, ADJUST, TRANSFER)

COMMAND = "command"
"""Any of them: all are known by their source and id."""

BY_ID = (ENROLLED, UPDATED, *COMMANDS)
"""Known by the event's own id, and not by a number of the business."""

TOPIC = {
    PURCHASE: "purchases",
    RETURN: "purchases",
    REFERRAL: "referrals",
    SURVEY: "surveys",
    ENROLLED: "members",
    UPDATED: "members",
    ACTIVITY: "activities",
    **dict.fromkeys(COMMANDS, "commands"),
}

GARBAGE_BYTES = 900_000
"""A large record that the broker still takes (its limit is 1 MiB)."""

DEEP = 5_000
"""Lists in one another: more than any parser should follow."""


class Record(NamedTuple):
    """What goes to Kafka. `partition` None: by the key. `event` is what the value says, for the
    reference model; None for poison."""

    topic: str
    key: str | None
    value: bytes | None
    partition: int | None = None
    event: Mapping[str, Any] | None = None


class Expected(NamedTuple):
    """A record and how it must end: `outcome` once everything sent is handled, `code` for a dead
    letter, and of a refused command. `type` is "" where the record does not tell one."""

    record: Record
    type: str
    outcome: Outcome
    code: str | None = None


def event(
    kind: str, subject: str | None, number: str, at: datetime, data: Mapping[str, Any]
) -> dict[str, Any]:
    """A CloudEvent."""
    envelope = {
        "specversion": "1.0",
        "id": number,
        "source": "/campaign",
        "type": kind,
        "time": at.astimezone(UTC).isoformat(),
        "data": dict(data),
    }
    return envelope if subject is None else {**envelope, "subject": subject}


def record(document: Mapping[str, Any], *, key: str | None, partition: int | None = None) -> Record:
    """The record of an event."""
    value = json.dumps(document).encode()
    return Record(TOPIC[document["type"]], key, value, partition, document)


def rewritten(record: Record, rng: Random) -> Record:
    """The same content in other words: keys in another order, blanks, another number of the event
    (where `id` is not what the ledger knows the event by)."""
    assert record.event is not None
    document = dict(reversed(list(record.event.items())))
    if document["type"] not in BY_ID and rng.random() < 0.5:
        document["id"] = f"again-{rng.getrandbits(40):x}"
    value = json.dumps(document, indent=rng.choice((None, 1))).encode()
    return record._replace(value=value, event=document)


def purchase_data(order_id: str, lines: list[dict[str, Any]], channel: str) -> dict[str, Any]:
    """What a purchase says."""
    return {
        "order_id": order_id,
        "store_id": "s1",
        "channel": channel,
        "currency": CURRENCY,
        "lines": lines,
    }


def _changed(sound: Mapping[str, Any], **data: Any) -> bytes:
    return json.dumps({**sound, "data": {**sound["data"], **data}}).encode()


def _line(**changes: Any) -> list[dict[str, Any]]:
    return [{"line_id": "1", "sku": "a", "quantity": 1, "amount": 100, **changes}]


def poison(
    member: str, number: str, at: datetime, rng: Random, large: bool = False
) -> list[Expected]:
    """One record of each kind that cannot be taken, under the key of `member`; garbage of nearly
    1 MB only when `large`. `number` is used in no other event."""
    sound = event(PURCHASE, member, number, at, purchase_data(number, _line(), "store"))
    survey = event(SURVEY, member, number, at, {"survey_id": "welcome", "completion_id": number})
    size = GARBAGE_BYTES if large else 1_000
    far = at.replace(year=2062, day=1) + timedelta(hours=1)

    def one(code: str, value: bytes | None, kind: str = PURCHASE) -> Expected:
        return Expected(Record("purchases", member, value), kind, "dead_lettered", code)

    return [
        one("empty", None, ""),
        one("not_json", b"{", ""),
        one("not_utf8", b'{"type": "\xff"}', ""),
        one("not_json", b"{" + rng.randbytes(size // 2).hex().encode(), ""),
        one("too_deep", b'{"x": ' + b"[" * DEEP + b"]" * DEEP + b"}", ""),
        one("unknown_type", json.dumps({**sound, "type": "purchase.dreamt.v1"}).encode(), ""),
        one("missing_field", json.dumps({k: v for k, v in sound.items() if k != "id"}).encode()),
        one("unknown_field", _changed(sound, colour="red")),
        one("invalid_field", _changed(sound, lines=_line(amount=-5))),
        one("invalid_field", _changed(sound, lines=_line(amount=12.5))),
        one("invalid_field", _changed(sound, lines=_line(amount=10**29))),
        one("bad_quantity", _changed(sound, lines=_line(quantity="1.2345"))),
        one("duplicate_line_id", _changed(sound, lines=_line() * 2)),
        one("nul_character", _changed(sound, lines=_line(sku="a\x00b"))),
        one("invalid_field", json.dumps({**sound, "subject": "nobody@example.org"}).encode()),
        one("from_future", json.dumps({**sound, "time": far.isoformat()}).encode()),
        one("no_program", json.dumps({**sound, "time": "2019-12-31T22:00:00Z"}).encode()),
        one("other_currency", _changed(sound, currency="USD")),
        one("wrong_topic", json.dumps(survey).encode(), SURVEY),
    ]


def command_poison(member: str, number: str, at: datetime) -> list[Expected]:
    """Commands that cannot be taken, each of which has an outcome all the same."""
    data = {"reservation_id": number, "points": 100}
    sound = event(RESERVE, member, number, at, data)
    survey = event(SURVEY, member, number, at, {"survey_id": "welcome", "completion_id": number})

    def one(code: str, value: bytes, kind: str = RESERVE) -> Expected:
        return Expected(Record("commands", member, value), kind, "dead_lettered", code)

    return [
        one("not_json", b"{", ""),
        one("invalid_field", _changed(sound, points=-100)),
        one("unknown_field", _changed(sound, colour="red")),
        one("wrong_topic", json.dumps(survey).encode(), SURVEY),
    ]
