"""The generated files are current, valid and complete."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec

from ledger.settings import Settings
from schemas import asyncapi, feeds, files
from schemas.decode import decode_record
from schemas.inputs import TOPIC_OF_TYPE
from schemas.json_schema import INPUT_STRUCTS
from schemas.outcomes import OUTCOME_TYPE
from schemas.texts import FIELDS, TITLES
from streams.topics import COMMAND_OUTCOMES

DOCUMENT: dict[str, Any] = json.loads((files.FOLDER / "asyncapi.json").read_bytes())


def resolve(reference: str) -> Any:
    node: Any = DOCUMENT
    for part in reference.removeprefix("#/").split("/"):
        node = node[part]
    return node


def references(node: Any) -> list[str]:
    if isinstance(node, list):
        return [found for child in node for found in references(child)]
    if isinstance(node, dict):
        here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return here + [found for child in node.values() for found in references(child)]
    return []


def test_committed_files_are_what_the_types_say() -> None:
    assert files.stale() == [], "run `points schemas`"


def test_writing_changes_only_what_differs(tmp_path: Path) -> None:
    assert set(files.write(tmp_path)) == set(files.generated())
    assert files.write(tmp_path) == []
    (tmp_path / "json" / "gone.v1.json").write_text("{}")
    (tmp_path / "asyncapi.json").write_text("{}")
    assert files.write(tmp_path) == ["asyncapi.json", "json/gone.v1.json"]
    assert files.stale(tmp_path) == []


def test_schemas_satisfy_the_meta_schema() -> None:
    for name in files.generated():
        if name.startswith("json/"):
            schema = json.loads((files.FOLDER / name).read_bytes())
            jsonschema.Draft202012Validator.check_schema(schema)
            assert schema["title"]
            assert schema["description"]


def test_every_field_of_the_inputs_is_described() -> None:
    used: set[str] = set()
    for event_type in INPUT_STRUCTS:
        schema = json.loads((files.FOLDER / "json" / f"{event_type}.json").read_bytes())
        for definition in [schema, *schema["$defs"].values()]:
            for field, content in definition["properties"].items():
                assert content.get("description"), f"{event_type}: {field} has no text"
                used.add(content["description"])
    told = ["CommandOutcome", "CommandOutcomeData", "CommandRecord", "BalanceAfter"]
    told += [one for one in vars(feeds) if f"{one}.data" in FIELDS or f"{one}.version" in FIELDS]
    told += ["BalanceStep", "TierSpan", "SegmentSpan"]
    for name in told:
        for field, content in DOCUMENT["components"]["schemas"][name]["properties"].items():
            assert content.get("description"), f"{name}: {field} has no text"
            used.add(content["description"])
    left_over = {name for name, text in FIELDS.items() if text not in used}
    assert not left_over, "texts without a field"
    assert set(TITLES) == {*INPUT_STRUCTS, OUTCOME_TYPE, *map(feeds.feed_type, feeds.FEEDS)}


def test_a_log_event_satisfies_its_schema() -> None:
    schema = json.loads((files.FOLDER / "json" / "log.json").read_bytes())
    value = (files.EXAMPLES / "purchase.completed.v1.valid.json").read_bytes()
    purchase = json.loads(msgspec.json.encode(decode_record(value).data))
    event = {
        "type": "AnonymousPurchaseRecorded",
        "occurred_at": 1,
        "purchase": purchase,
        "postings": [["issued", -1, 1, 1], ["pending", 1, 1, 1]],
    }
    jsonschema.Draft202012Validator(schema).validate(event)
    assert not jsonschema.Draft202012Validator(schema).is_valid({**event, "occurred_at": 1.5})


# --- AsyncAPI 3.0, by its specification ------------------------------------------------------


def test_asyncapi_has_the_parts_that_the_specification_asks_for() -> None:
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(DOCUMENT["info"])
    allowed = {"asyncapi", "id", "info", "servers", "defaultContentType", "channels", "operations"}
    assert set(DOCUMENT) <= allowed | {"components"}
    for server in DOCUMENT["servers"].values():
        assert {"host", "protocol"} <= set(server)
    for name, operation in DOCUMENT["operations"].items():
        assert operation["action"] in ("send", "receive")
        channel = operation["channel"]["$ref"]
        for message in operation["messages"]:
            assert message["$ref"].startswith(f"{channel}/messages/"), name


def test_asyncapi_references_resolve() -> None:
    found = references(DOCUMENT)
    assert len(found) > 40
    for reference in found:
        assert isinstance(resolve(reference), dict), reference


def test_asyncapi_channels_are_the_topics() -> None:
    topic_of_type = {**TOPIC_OF_TYPE, OUTCOME_TYPE: COMMAND_OUTCOMES}
    topic_of_type |= {feeds.feed_type(topic): topic for topic in feeds.FEEDS}
    assert set(DOCUMENT["channels"]) == set(topic_of_type.values())
    for topic, channel in DOCUMENT["channels"].items():
        assert channel["address"] == topic
        assert set(channel["messages"]) == {n for n, on in topic_of_type.items() if on == topic}
        kafka = channel["bindings"]["kafka"]
        assert kafka["partitions"] == Settings.model_fields["partitions"].default
    assert "murmur2_random" in DOCUMENT["info"]["description"]
    assert set(DOCUMENT["operations"]) == {
        *(f"read-{topic}" for topic in TOPIC_OF_TYPE.values()),
        "write-effects",
        "write-command_outcomes",
        *(f"write-{topic}" for topic in feeds.FEEDS),
    }
    assert DOCUMENT["operations"]["write-command_outcomes"]["action"] == "send"


def test_asyncapi_payloads_are_draft_07_and_take_their_examples() -> None:
    for message in DOCUMENT["components"]["messages"].values():
        payload = {**message["payload"], "components": DOCUMENT["components"]}
        jsonschema.Draft7Validator.check_schema(resolve(message["payload"]["$ref"]))
        assert message["bindings"]["kafka"]["key"]["type"] == "string"
        for example in message["examples"]:
            jsonschema.Draft7Validator(payload).validate(example["payload"])
            changed = {**example["payload"], "specversion": "0.3"}
            assert not jsonschema.Draft7Validator(payload).is_valid(changed)


def test_defaults_named_in_the_document_are_those_of_the_settings() -> None:
    fields = Settings.model_fields
    assert fields["partitions"].default == asyncapi.PARTITIONS_DEFAULT
    if "group" in fields:
        assert fields["group"].default == asyncapi.GROUP_DEFAULT
