"""JSON Schema (2020-12) of every contract, generated from the types.

The files are for producers and consumers in other languages. They say all that JSON Schema can say
of what `schemas.decode` checks; what it cannot (a line_id used twice, more than three places of a
number, the range of `time`) is in the descriptions. Never edited by hand: `points schemas`.
"""

import inspect
from collections.abc import Sequence
from typing import Any, get_args

import msgspec
from msgspec import Struct

from schemas.decisions import LogEvent
from schemas.feeds import FEED_STRUCTS
from schemas.inputs import InputEvent
from schemas.outcomes import CommandOutcome
from schemas.texts import FIELDS, TITLES

JsonSchema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
LOG_NAME = "log"
"""Name of the one schema of all events of the log."""

INPUT_STRUCTS: dict[str, type[Struct]] = {
    str(struct.__struct_config__.tag): struct for struct in get_args(InputEvent)
}
"""The struct of each CloudEvents `type`, in the order of the contract."""


def input_schema(event_type: str, example: object | None = None) -> JsonSchema:
    """The self-contained schema of one input. Raises KeyError for an unknown type."""
    struct = INPUT_STRUCTS[event_type]
    _, definitions = _components([struct], "#/$defs/{name}")
    body = definitions.pop(struct.__name__)
    body["title"] = TITLES[event_type]
    body["description"] = f"{event_type}. {body['description']}"
    if example is not None:
        body["examples"] = [example]
    return (
        {"$schema": DIALECT, "$id": f"urn:points-ledger:{event_type}"}
        | body
        | {"$defs": definitions}
    )


def log_schema() -> JsonSchema:
    """One schema of every event of the log, told apart by `type`."""
    structs = list(get_args(LogEvent))
    schemas, definitions = _components(structs, "#/$defs/{name}")
    return {
        "$schema": DIALECT,
        "$id": f"urn:points-ledger:{LOG_NAME}",
        "title": "An event of the log",
        "description": "One decision of the ledger. Moments are microseconds since 1970 UTC.",
        "oneOf": schemas,
        "$defs": definitions,
    }


def input_components(event_types: list[str], template: str) -> dict[str, JsonSchema]:
    """The schemas of several inputs and all that they use, by struct name; for AsyncAPI."""
    return _components([INPUT_STRUCTS[name] for name in event_types], template)[1]


def outcome_components(template: str) -> dict[str, JsonSchema]:
    """The same of what is told of a command."""
    return _components([CommandOutcome], template)[1]


def feed_components(template: str) -> dict[str, JsonSchema]:
    """The same of the change feeds."""
    return _components([*FEED_STRUCTS.values()], template)[1]


def _components(
    structs: Sequence[type[Struct]], template: str
) -> tuple[list[JsonSchema], dict[str, JsonSchema]]:
    schemas, definitions = msgspec.json.schema_components(structs, ref_template=template)
    for name, definition in definitions.items():
        _tidy(definition)
        for field, schema in definition.get("properties", {}).items():
            text = FIELDS.get(f"{name}.{field}") or _envelope_text(name, field)
            if text:
                schema["description"] = text
    return list(schemas), dict(definitions)


def _envelope_text(name: str, field: str) -> str | None:
    envelopes: tuple[type[Struct], ...] = (*INPUT_STRUCTS.values(), CommandOutcome)
    is_envelope = any(struct.__name__ == name for struct in envelopes)
    return FIELDS.get(field) if is_envelope else None


def _tidy(node: object) -> None:
    """In place: whole sentences, `const` for an enum of one, decimals as numbers or strings."""
    if isinstance(node, list):
        for child in node:
            _tidy(child)
        return
    if not isinstance(node, dict):
        return
    if isinstance(description := node.get("description"), str):
        node["description"] = " ".join(inspect.cleandoc(description).split())
    if isinstance(values := node.get("enum"), list) and len(values) == 1:
        node["const"] = node.pop("enum")[0]
    if node.get("format") == "decimal":  # numbers are read exactly, so they are welcome too
        del node["format"]
        node["type"] = ["number", "string"]
    for child in node.values():
        _tidy(child)
