"""Events for the tests of the contracts, as JSON documents and as records."""

import copy
import json
from typing import Any

from schemas import files

Document = dict[str, Any]


def valid(event_type: str = "purchase.completed.v1") -> Document:
    """The committed valid example of a type, free to be changed."""
    example = copy.deepcopy(files.valid_example(event_type))
    assert isinstance(example, dict)
    return example


def record(document: object) -> bytes:
    """The document as the value of a record."""
    return json.dumps(document).encode()


def binary(document: Document) -> tuple[bytes, list[tuple[str, bytes | None]]]:
    """The same event in CloudEvents' binary mode: value and headers."""
    headers: list[tuple[str, bytes | None]] = [
        (f"ce_{name}", str(value).encode())
        for name, value in document.items()
        if name not in ("data", "datacontenttype")
    ]
    headers.append(("content-type", b"application/json; charset=utf-8"))
    return record(document["data"]), headers
