"""The committed examples: what the reader and the JSON Schema files say of each."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from schemas import files
from schemas.decode import decode_record
from schemas.errors import Malformed
from schemas.json_schema import INPUT_STRUCTS
from schemas.routing import type_of

INDEX: dict[str, dict[str, str]] = json.loads((files.EXAMPLES / "index.json").read_bytes())
VALID = sorted(path.name for path in files.EXAMPLES.glob("*.valid*.json"))


def type_in(name: str) -> str:
    return name.partition(".v1.")[0] + ".v1"


def validator(event_type: str, *, formats: bool = False) -> Any:
    schema = json.loads((files.FOLDER / "json" / f"{event_type}.json").read_bytes())
    checker = jsonschema.FormatChecker(["date"]) if formats else None
    return jsonschema.Draft202012Validator(schema, format_checker=checker)


@pytest.mark.parametrize("name", VALID)
def test_valid_examples_are_read(name: str) -> None:
    value = (files.EXAMPLES / name).read_bytes()
    assert type_of(decode_record(value)) == type_in(name)
    validator(type_in(name), formats=True).validate(json.loads(value))


@pytest.mark.parametrize("name", sorted(INDEX))
def test_invalid_examples_are_refused_with_code_and_path(name: str) -> None:
    with pytest.raises(Malformed) as refused:
        decode_record((files.EXAMPLES / name).read_bytes())
    assert (refused.value.code, refused.value.path) == (INDEX[name]["code"], INDEX[name]["path"])
    assert refused.value.message.endswith((".", "?"))


@pytest.mark.parametrize("name", sorted(INDEX))
def test_json_schema_refuses_what_it_can_express(name: str) -> None:
    expected = INDEX[name]["json_schema"]
    value = (files.EXAMPLES / name).read_bytes()
    if expected == "not_json":
        with pytest.raises(ValueError, match=r"."):
            json.loads(value)
        return
    accepted = validator(type_in(name)).is_valid(json.loads(value))
    assert accepted == (expected != "refuses")


def test_every_type_has_one_valid_and_several_invalid_examples() -> None:
    for event_type in INPUT_STRUCTS:
        assert f"{event_type}.valid.json" in VALID
        assert sum(type_in(name) == event_type for name in INDEX) >= 2


def test_every_example_file_is_listed() -> None:
    on_disk = {path.name for path in Path(files.EXAMPLES).glob("*.json")}
    assert on_disk == {*VALID, *INDEX, "index.json"}
