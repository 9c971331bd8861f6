"""What the OpenAPI document tells beyond the types: bounds of texts, moments, decimals in bodies.

The types' own JSON Schema is that of Kafka's contract; what the server refuses besides is added
here, to the schemas of request bodies only.
"""

from collections.abc import Iterator
from typing import Any

from api.moments import HAPPENED

Schema = dict[str, Any]

WITHOUT_NUL = r"^[^\u0000]*$"
"""The database's texts hold no NUL."""

QUANTUM = 0.001
"""The step of a quantity that is written as a JSON number."""

QUANTITY = r"^0*([0-9]{1,9}(\.[0-9]{1,3})?|1000000000(\.0{1,3})?)$(?!\n)"
"""A quantity as a text: JSON Schema compares no texts with a largest number."""

_PREFIX = "#/components/schemas/"


def bound_bodies(document: Schema) -> None:
    """Say of every text and moment in a request body what the server accepts."""
    components: dict[str, Schema] = document["components"]["schemas"]
    todo = [schema for operation in _operations(document) for schema in _bodies(operation)]
    done: set[str] = set()
    while todo:
        for node in _nodes(todo.pop()):
            name = str(node.get("$ref", "")).removeprefix(_PREFIX)
            if name and name not in done:
                done.add(name)
                todo.append(components[name])
            _bound(node)


def _operations(document: Schema) -> Iterator[Schema]:
    for methods in document["paths"].values():
        yield from methods.values()


def _bodies(operation: Schema) -> Iterator[Schema]:
    for media in operation.get("requestBody", {}).get("content", {}).values():
        yield media["schema"]


def _nodes(schema: object) -> Iterator[Schema]:
    """The schema and all schemas in it."""
    if isinstance(schema, dict):
        yield schema
        for value in schema.values():
            yield from _nodes(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from _nodes(value)


def _bound(node: Schema) -> None:
    kind = node.get("type")
    if node.get("format") == "decimal":
        node.update(type=["string", "number"], multipleOf=QUANTUM, pattern=QUANTITY)
    elif kind == "string" and node.get("format") == "date-time":
        node.setdefault("pattern", HAPPENED["pattern"])
    elif kind == "string" and not {"pattern", "format", "enum", "const"} & node.keys():
        node["pattern"] = WITHOUT_NUL
