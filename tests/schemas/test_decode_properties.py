"""Whatever arrives: `Malformed` or an event, and what is an event survives being written again."""

import copy
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.decode import decode_record, instant_of
from schemas.errors import Code, Malformed
from schemas.inputs import InputEvent
from schemas.json_schema import INPUT_STRUCTS
from schemas.normal import business_key, normal_content
from schemas.routing import key_of, topic_of
from tests.schemas.contract_samples import binary, record, valid

SETTINGS = settings(max_examples=200)
"""No deadline: a busy machine is no failure."""

TYPES = st.sampled_from(list(INPUT_STRUCTS))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(codec=None), max_size=140)  # with NUL and lone surrogates
    | st.sampled_from(["NaN", "1e999", "0.5", "2026-02-30", "9999-12-31T23:59:59.9999999Z", 2**64])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def read(value: bytes | None, headers: Any = ()) -> InputEvent | None:
    """The event, or None when it is refused as it should be."""
    try:
        event = decode_record(value, headers)
    except Malformed as error:
        refused = error
    else:
        check_event(event)
        return event
    assert refused.code in list(Code)
    assert refused.path.startswith("$")
    assert refused.message.isprintable()
    return None


def check_event(event: InputEvent) -> None:
    again = decode_record(msgspec.json.encode(event))
    assert again == event
    assert normal_content(again, instant_of(again)) == normal_content(event, instant_of(event))
    assert business_key(again) == business_key(event)
    assert key_of(event)
    assert topic_of(event) == topic_of(again)
    assert "\0" not in str(event)


@SETTINGS
@given(st.binary(max_size=200))
def test_any_bytes(value: bytes) -> None:
    read(value)


@SETTINGS
@given(TYPES, VALUES)
def test_any_data(event_type: str, data: object) -> None:
    read(record(valid(event_type) | {"data": data}))


@SETTINGS
@given(VALUES)
def test_any_json(document: object) -> None:
    read(record(document))


@SETTINGS
@given(TYPES, st.data())
def test_any_field_replaced_or_removed(event_type: str, data: st.DataObject) -> None:
    document = valid(event_type)
    node: Any = document
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if isinstance(node[key], (dict, list)) and node[key] and data.draw(st.booleans()):
            node = node[key]
            continue
        break
    if data.draw(st.booleans()):
        node[key] = data.draw(VALUES)
    elif isinstance(node, dict):
        del node[key]
    read(record(document))
    if isinstance(document.get("data"), dict):
        read(*binary(copy.deepcopy(document)))


@SETTINGS
@given(TYPES, st.data())
def test_any_bytes_changed(event_type: str, data: st.DataObject) -> None:
    value = bytearray(record(valid(event_type)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(value) - 1))
        value[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    read(bytes(value))


@SETTINGS
@given(st.lists(st.tuples(st.text(max_size=12), st.none() | st.binary(max_size=20)), max_size=6))
def test_any_headers(headers: list[tuple[str, bytes | None]]) -> None:
    prefixed = [(f"ce_{name}", value) for name, value in headers]
    read(record(valid()), headers)
    read(record(valid()["data"]), [("ce_specversion", b"1.0"), *prefixed, *headers])
