"""Reading a record: both CloudEvents modes, and what types alone cannot refuse."""

from decimal import Decimal
from typing import Any

import pytest

from schemas.decode import (
    HEADERS_BYTES_MAX,
    ONE,
    VALUE_BYTES_MAX,
    decode_record,
    instant_of,
    normal_quantity,
)
from schemas.errors import MESSAGE_MAX, Code, Malformed
from schemas.inputs import PurchaseCompleted
from schemas.json_schema import INPUT_STRUCTS
from tests.schemas.contract_samples import Document, binary, record, valid

HEADERS: list[tuple[str, bytes | None]] = [("content-type", b"application/cloudevents+json")]


def refusal(value: bytes | None, headers: Any = ()) -> tuple[str, str]:
    with pytest.raises(Malformed) as refused:
        decode_record(value, headers)
    assert refused.value.message
    return refused.value.code, refused.value.path


def purchase(document: Document) -> PurchaseCompleted:
    event = decode_record(record(document))
    assert isinstance(event, PurchaseCompleted)
    return event


@pytest.mark.parametrize("event_type", INPUT_STRUCTS)
def test_both_modes_say_the_same(event_type: str) -> None:
    document = valid(event_type)
    event = decode_record(record(document), HEADERS)
    assert event == decode_record(record(document))
    assert event == decode_record(*binary(document))


def test_binary_mode_reports_the_same_paths() -> None:
    document = valid()
    document["data"]["lines"][1]["amount"] = 1.5
    assert refusal(*binary(document)) == (Code.INVALID_FIELD, "$.data.lines[1].amount")
    value, headers = binary(valid())
    without_id = [header for header in headers if header[0] != "ce_id"]
    assert refusal(value, without_id) == (Code.MISSING_FIELD, "$.id")
    assert refusal(value, [*without_id, ("ce_id", b"\xff")]) == (Code.NOT_UTF8, "$.id")
    assert refusal(value, [*without_id, ("ce_id", None)]) == (Code.INVALID_FIELD, "$.id")
    assert refusal(value, [*without_id, ("ce_id", b"a\0b")]) == (Code.NUL_CHARACTER, "$.id")
    large = [*headers, ("ce_trace", b"x" * HEADERS_BYTES_MAX)]
    assert refusal(value, large) == (Code.TOO_LARGE, "$")


def test_binary_mode_data_cannot_add_attributes() -> None:
    value, headers = binary(valid())
    assert refusal(value + b', "subject": "someone-else"', headers)[0] == Code.NOT_JSON


def test_other_content_types_are_refused() -> None:
    value, headers = binary(valid())
    batch = [("content-type", b"application/cloudevents-batch+json")]
    assert refusal(value, batch) == (Code.CONTENT_TYPE, "$")
    avro = [*headers[:-1], ("content-type", b"application/avro")]
    assert refusal(value, avro) == (Code.CONTENT_TYPE, "$.datacontenttype")


def test_foreign_headers_do_not_matter() -> None:
    headers: list[tuple[str, bytes | None]] = [("traceparent", b"\xff\0"), ("x", None)]
    assert decode_record(record(valid()), headers) == decode_record(record(valid()))


@pytest.mark.parametrize("value", [None, b""])
def test_no_value(value: bytes | None) -> None:
    assert refusal(value) == (Code.EMPTY, "$")


def test_size_and_depth_are_bounded() -> None:
    assert refusal(b" " * (VALUE_BYTES_MAX + 1)) == (Code.TOO_LARGE, "$")
    deep = b'{"type":"survey.completed.v1","x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    assert refusal(deep) == (Code.TOO_DEEP, "$")
    assert refusal(b'{"x":' * 100_000)[0] == Code.TOO_DEEP


@pytest.mark.parametrize(
    "value", [b"{", b"nonsense", b'{"id": "', b"\xef\xbb\xbf{}", b"{'a': 1}", b"\0", b'{"id": NaN}']
)
def test_what_is_not_json(value: bytes) -> None:
    assert refusal(value) == (Code.NOT_JSON, "$")


def test_text_that_no_database_stores() -> None:
    document = valid()
    document["data"]["lines"][1]["brand"] = "a\0b"
    assert refusal(record(document)) == (Code.NUL_CHARACTER, "$.data.lines[1].brand")
    document["data"]["lines"][1]["brand"] = "\udc00"
    assert refusal(record(document)) == (Code.LONE_SURROGATE, "$")
    document["data"]["lines"][1]["brand"] = r"C:\u0000 \ud800"  # backslashes, no escapes
    assert purchase(document).data.lines[1].brand == r"C:\u0000 \ud800"
    document["data"]["lines"][1]["brand"] = "\U0001f345"
    assert purchase(document).data.lines[1].brand == "\U0001f345"
    assert refusal(record(valid()).replace(b"Farm", b"\xff\xfe"))[0] == Code.NOT_UTF8


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (1, "1"),
        (1.0, "1"),
        ("1.500", "1.5"),
        ("0.482", "0.482"),
        (0.482, "0.482"),
        ("1e3", "1000"),
        ("-0", "0"),
        ("0E-99999", "0"),
        ("1000000000", "1000000000"),
    ],
)
def test_quantities_have_one_spelling(written: object, read: str) -> None:
    document = valid()
    document["data"]["lines"][0]["quantity"] = written
    for _ in range(2):  # the second time it is remembered
        quantity = purchase(document).data.lines[0].quantity
        assert str(quantity) == read
    assert (quantity is ONE) == (read == "1")


@pytest.mark.parametrize(
    "written",
    ["NaN", "sNaN", "-NaN", "Infinity", "-1", "1E-9", "0.0001", "1000000000.001", "1E+99999999"],
)
def test_quantities_out_of_bounds(written: object) -> None:
    assert_bad_quantity(written)


@pytest.mark.parametrize("written", ["", "x", True, None, [], -0.5, 1e300])
def test_quantities_that_are_no_number(written: object) -> None:
    assert_bad_quantity(written)


def assert_bad_quantity(written: object) -> None:
    document = valid()
    document["data"]["lines"][1]["quantity"] = written
    assert refusal(record(document)) == (Code.BAD_QUANTITY, "$.data.lines[1].quantity")


def test_normal_quantity_raises_for_what_is_out_of_bounds() -> None:
    assert normal_quantity(Decimal("2.50")) == Decimal("2.5")
    with pytest.raises(ValueError, match="3 decimal places"):
        normal_quantity(Decimal("0.0005"))


def test_line_ids_are_unique_in_purchases_and_returns() -> None:
    for event_type in ("purchase.completed.v1", "purchase.returned.v1"):
        document = valid(event_type)
        lines = document["data"]["lines"]
        lines.append(dict(lines[0]))
        place = f"$.data.lines[{len(lines) - 1}].line_id"
        assert refusal(record(document)) == (Code.DUPLICATE_LINE_ID, place)


@pytest.mark.parametrize(
    "time", ["1969-12-31T23:59:59Z", "1970-01-01T00:00:00+01:00", "2201-01-01T00:00:00Z"]
)
def test_times_out_of_range(time: str) -> None:
    assert refusal(record(valid() | {"time": time})) == (Code.TIME_OUT_OF_RANGE, "$.time")


@pytest.mark.parametrize(
    ("event_type", "field"), [("command.adjust.v1", "expires_at"), ("command.tier.v1", "until")]
)
@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
def test_moments_of_the_data_out_of_range(event_type: str, field: str, time: str) -> None:
    document = valid(event_type)
    document["data"][field] = time
    assert refusal(record(document)) == (Code.TIME_OUT_OF_RANGE, f"$.data.{field}")


def test_instants_are_exact() -> None:
    for time, instant in {
        "1970-01-01T00:00:00Z": 0,
        "1970-01-01T01:00:00.000001+01:00": 1,
        "2200-12-31T23:59:59.999999Z": 7_289_654_399_999_999,
        "2026-01-10T12:30:00.25+03:00": 1_768_037_400_250_000,
    }.items():
        assert instant_of(purchase(valid() | {"time": time})) == instant


def test_anonymous_purchases() -> None:
    document = valid()
    del document["subject"]
    assert purchase(document).subject is None
    assert purchase(document | {"subject": None}).subject is None
    assert refusal(record(document | {"subject": ""})) == (Code.INVALID_FIELD, "$.subject")
    document["data"]["redemption_id"] = "res-1"
    expected = (Code.ANONYMOUS_REDEMPTION, "$.data.redemption_id")
    assert refusal(record(document)) == expected
    returned = valid("purchase.returned.v1")
    del returned["subject"]
    assert refusal(record(returned)) == (Code.MISSING_FIELD, "$.subject")


@pytest.mark.parametrize("subject", ["m 1", "m@1", "m\n", "ä", "m" * 129, "~anonymous"])
def test_member_ids_are_opaque(subject: str) -> None:
    assert refusal(record(valid() | {"subject": subject})) == (Code.INVALID_FIELD, "$.subject")


def test_extensions_are_allowed_and_data_base64_is_not() -> None:
    document = valid("member.enrolled.v1") | {"traceparent": "00-1", "x": {"y": [1]}}
    assert decode_record(record(document)) == decode_record(record(valid("member.enrolled.v1")))
    del document["data"]
    assert decode_record(record(document))
    document["data_base64"] = "e30="
    assert refusal(record(document)) == (Code.UNKNOWN_FIELD, "$.data_base64")


def test_messages_are_short_and_printable() -> None:
    document = valid()
    document["data"]["\x1b[31m" + "x" * 5_000] = 1
    with pytest.raises(Malformed) as refused:
        decode_record(record(document))
    assert refused.value.code == Code.UNKNOWN_FIELD
    for text in (refused.value.message, refused.value.path):
        assert text.isprintable()
        assert len(text) <= MESSAGE_MAX + 8


def test_suggestions() -> None:
    with pytest.raises(Malformed, match=r"did you mean purchase\.completed\.v1\?"):
        decode_record(record(valid() | {"type": "purchase.complete.v1"}))
    document = valid()
    document["data"]["order"] = document["data"].pop("order_id")
    with pytest.raises(Malformed, match=r"did you mean order_id\?|order_id is missing"):
        decode_record(record(document))


def test_the_last_of_a_repeated_key_counts() -> None:
    value = record(valid()).replace(b'"region": "moscow"', b'"region": "a", "region": "b"')
    event = decode_record(value)
    assert isinstance(event, PurchaseCompleted)
    assert event.data.region == "b"
