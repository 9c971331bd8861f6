"""The AsyncAPI 3.0 document: which topics there are, what goes over them and how it is keyed.

Generated from the same types as the JSON Schema files. Payload schemas are in the draft-07 dialect
that AsyncAPI reads by default, so a description never stands beside a `$ref` there.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec

from schemas.feeds import (
    BALANCES,
    FEED_STRUCTS,
    FEEDS,
    LEDGER_EVENTS,
    SEGMENTS,
    TIERS,
    BalanceChanged,
    BalanceState,
    BalanceStep,
    FeedEvent,
    LedgerEventRecorded,
    LoggedEvent,
    SegmentsChanged,
    SegmentSpan,
    SegmentsState,
    TierChanged,
    TierSpan,
    TierState,
    feed_type,
)
from schemas.inputs import TOPIC_OF_TYPE
from schemas.json_schema import (
    INPUT_STRUCTS,
    feed_components,
    input_components,
    outcome_components,
)
from schemas.outcomes import (
    OUTCOME_TYPE,
    BalanceAfter,
    CommandOutcome,
    CommandOutcomeData,
    CommandRecord,
)
from schemas.texts import INTERNAL_PREFIXES, TITLES

VERSION = "1.0.0"
"""Version of the contracts: the last number for texts, the middle one for optional fields; a
change of meaning is a new event type (`.v2`), never a new first number alone."""

KAFKA_BINDING = "0.5.0"
"""Version of AsyncAPI's Kafka bindings that the document uses."""

PARTITIONS_DEFAULT = 8
"""Partitions of a topic unless POINTS_PARTITIONS says otherwise: the same for all topics."""

GROUP_DEFAULT = "points-ledger"
"""The ledger's consumer group unless POINTS_GROUP says otherwise."""

CONTENT_TYPE = "application/cloudevents+json"

_DESCRIPTION = (
    "What the points ledger reads, and what it tells of commands. CloudEvents 1.0 as structured"
    " JSON; the binary mode (attributes in ce_ headers, data as value) is read too. The record's"
    " key is the event's subject, the member_id; a purchase without a member is keyed by its"
    " order_id. All topics have the same"
    " number of partitions, and the partitioner is murmur2, the Java client's default: clients on"
    " librdkafka set partitioner=murmur2_random, or one member's events of different topics meet"
    " in different partitions. Events of one member are decided in the order in which they arrive."
)
_KEY = {
    "type": "string",
    "pattern": "^[A-Za-z0-9._:-]{1,128}$",
    "description": "The subject (member_id); the order_id of an anonymous purchase.",
}
OUTCOMES = "command_outcomes"
"""The topic that the ledger writes for others."""

_CHANNEL_TEXTS = {
    "purchases": "Purchases and returns, from tills and shops.",
    "referrals": "Referrals, from the app or the CRM.",
    "surveys": "Completed surveys, from the survey tool.",
    "activities": "Reviews, visits and the like, from the web shop, the app, the gate.",
    "members": "Profiles, from the CRM.",
    "effects": "Rewards on other accounts. Written and read by the ledger; not for producers.",
    "commands": "What a till or an app asks of the ledger. Each record has its outcome.",
    OUTCOMES: "How each record of commands ended. Written by the ledger, read by who sent it.",
    BALANCES: "Change feed: what each member has and will have. Compacted.",
    TIERS: "Change feed: each member's tier and progress. Compacted.",
    SEGMENTS: "Change feed: each member's segments. Compacted.",
    LEDGER_EVENTS: "Change feed: every event of the log.",
}


def document(examples: dict[str, object]) -> dict[str, Any]:
    """The whole document; `examples`: one valid event per type."""
    types = list(TOPIC_OF_TYPE)
    topics = list(dict.fromkeys(TOPIC_OF_TYPE.values()))
    template = "#/components/schemas/{name}"
    schemas = input_components(types, template)
    schemas |= outcome_components(template) | feed_components(template)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Points Ledger",
            "version": VERSION,
            "description": _DESCRIPTION,
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "kafka": {
                "host": "{bootstrap}",
                "protocol": "kafka",
                "description": "The Kafka cluster of POINTS_KAFKA_BOOTSTRAP.",
                "variables": {"bootstrap": {"default": "localhost:9092"}},
            }
        },
        "channels": {topic: _channel(topic) for topic in (*topics, OUTCOMES, *FEEDS)},
        "operations": _operations(topics)
        | {f"write-{OUTCOMES}": _operation("send", OUTCOMES, [OUTCOME_TYPE])}
        | {f"write-{name}": _operation("send", name, [feed_type(name)]) for name in FEEDS},
        "components": {
            "messages": {name: _message(name, examples[name]) for name in types}
            | {OUTCOME_TYPE: _outcome()}
            | {feed_type(name): _feed(name) for name in FEEDS},
            "schemas": {name: _draft_07(schema) for name, schema in schemas.items()},
        },
    }


def _types_of(topic: str) -> list[str]:
    if topic == OUTCOMES:
        return [OUTCOME_TYPE]
    if topic in FEED_STRUCTS:
        return [feed_type(topic)]
    return [name for name, on in TOPIC_OF_TYPE.items() if on == topic]


def _channel(topic: str) -> dict[str, Any]:
    return {
        "address": topic,
        "title": topic,
        "description": _CHANNEL_TEXTS[topic],
        "servers": [{"$ref": "#/servers/kafka"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _types_of(topic)},
        "bindings": {
            "kafka": {
                "topic": topic,
                "partitions": PARTITIONS_DEFAULT,
                "bindingVersion": KAFKA_BINDING,
            }
        },
    }


def _operations(topics: list[str]) -> dict[str, Any]:
    operations: dict[str, Any] = {}
    for topic in topics:
        names = _types_of(topic)
        operations[f"read-{topic}"] = _operation("receive", topic, names) | {
            "bindings": {
                "kafka": {
                    "groupId": {"type": "string", "default": GROUP_DEFAULT},
                    "bindingVersion": KAFKA_BINDING,
                }
            }
        }
        if all(name.startswith(INTERNAL_PREFIXES) for name in names):
            operations[f"write-{topic}"] = _operation("send", topic, names)
    return operations


def _operation(action: str, topic: str, names: list[str]) -> dict[str, Any]:
    verb = "reads" if action == "receive" else "writes"
    return {
        "action": action,
        "summary": f"The ledger {verb} {topic}.",
        "channel": {"$ref": f"#/channels/{topic}"},
        "messages": [{"$ref": f"#/channels/{topic}/messages/{name}"} for name in names],
    }


def _message(name: str, example: object) -> dict[str, Any]:
    struct = INPUT_STRUCTS[name].__name__
    return {
        "name": name,
        "title": TITLES[name],
        "summary": f"CloudEvents type {name}.",
        "contentType": CONTENT_TYPE,
        "payload": {"$ref": f"#/components/schemas/{struct}"},
        "examples": [{"name": "valid", "payload": example}],
        "bindings": {"kafka": {"key": _KEY, "bindingVersion": KAFKA_BINDING}},
    }


def _outcome() -> dict[str, Any]:
    """The message that tells how a command ended."""
    example = CommandOutcome(
        specversion="1.0",
        id="commands:3:17",
        source="points-ledger",
        subject="m-1001",
        time="2026-01-25T12:00:00Z",
        data=CommandOutcomeData(
            "applied",
            CommandRecord(3, 17),
            command_type="command.redeem.v1",
            command_source="/pos/store-12",
            command_id="key-4",
            shard=11,
            position=204,
            balance=BalanceAfter(30, 0, 0),
        ),
    )
    return {
        "name": OUTCOME_TYPE,
        "title": TITLES[OUTCOME_TYPE],
        "summary": f"CloudEvents type {OUTCOME_TYPE}.",
        "contentType": CONTENT_TYPE,
        "payload": {"$ref": f"#/components/schemas/{CommandOutcome.__name__}"},
        "examples": [{"name": "valid", "payload": msgspec.to_builtins(example)}],
        "bindings": {"kafka": {"key": _KEY, "bindingVersion": KAFKA_BINDING}},
    }


_NOON = datetime(2026, 1, 25, 12, tzinfo=UTC)
_SUMMER = datetime(2026, 7, 25, 12, tzinfo=UTC)
_BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
_FEED_DATA: dict[str, BalanceState | TierState | SegmentsState] = {
    BALANCES: BalanceState(
        204, _BEGUN, _NOON, "open", None, 30, 0, 0, 0, 30, 0,
        (BalanceStep(_SUMMER, 0, 0, 0, 30, 30, 0),),
    ),
    TIERS: TierState(
        204, _NOON, (TierSpan("silver", _BEGUN, None),), 1, "amount_spent", None, None, 120_000,
        "gold", 250_000, 130_000,
    ),
    SEGMENTS: SegmentsState(204, (SegmentSpan("champions", _BEGUN, _SUMMER),)),
}  # fmt: skip


def _feed_example(topic: str) -> FeedEvent:
    source, member = "points-ledger/6f0c5ff0-4e8e-4f3b-9d7e-0f5a7f3f2f11", "m-1001"
    if topic == LEDGER_EVENTS:
        event = msgspec.Raw(b'{"type":"AccountSettled","occurred_at":1769342400000000}')
        data = LoggedEvent(17, 11, 204, _NOON, "5e" * 32, event)
        return LedgerEventRecorded(
            id="11:204", source=source, subject=member, time=_NOON, data=data
        )
    struct: Any = {BALANCES: BalanceChanged, TIERS: TierChanged, SEGMENTS: SegmentsChanged}[topic]
    told: FeedEvent = struct(
        id=f"{topic}:{member}:204",
        source=source,
        subject=member,
        time=_NOON,
        data=_FEED_DATA[topic],
    )
    return told


def _feed(topic: str) -> dict[str, Any]:
    """The message of a change feed."""
    name = feed_type(topic)
    example = msgspec.json.decode(msgspec.json.encode(_feed_example(topic)))
    return {
        "name": name,
        "title": TITLES[name],
        "summary": f"CloudEvents type {name}.",
        "contentType": CONTENT_TYPE,
        "payload": {"$ref": f"#/components/schemas/{FEED_STRUCTS[topic].__name__}"},
        "examples": [{"name": "valid", "payload": example}],
        "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": KAFKA_BINDING}},
    }


def _draft_07(node: Any) -> Any:
    """In draft-07 what stands beside a `$ref` is ignored: put the reference into `allOf`."""
    if isinstance(node, list):
        return [_draft_07(child) for child in node]
    if not isinstance(node, dict):
        return node
    node = {key: _draft_07(child) for key, child in node.items()}
    if "$ref" in node and len(node) > 1:
        node["allOf"] = [{"$ref": node.pop("$ref")}]
    return node
