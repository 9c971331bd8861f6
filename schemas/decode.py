"""From the bytes of a Kafka record to a typed input event, or `Malformed`.

Reads CloudEvents 1.0 over Kafka: the structured mode (the value is the whole event as JSON) and the
binary mode (attributes in `ce_` headers, the value is `data`). One pass of msgspec checks types and
bounds; what it cannot say (NUL, quantities, duplicate lines, the range of `time`) is checked after.
Whatever the bytes are, nothing but `Malformed` may come out of here, and nothing is repaired: the
only thing changed is the spelling of quantities (1.50 becomes 1.5), so that equal purchases are
equal. Of a key that an object names twice the last counts; `points publish` refuses such a line.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal

import msgspec
from msgspec.structs import force_setattr

from schemas.errors import Code, Malformed
from schemas.explain import explain, find_nul
from schemas.fields import QUANTITY_MAX, QUANTITY_PLACES, Instant
from schemas.inputs import (
    InputEvent,
    MemberEnrolled,
    MemberErased,
    PointsAdjust,
    PurchaseCompleted,
    PurchaseLine,
    PurchaseReturned,
    ReturnedLine,
    TierOverride,
)

VALUE_BYTES_MAX = 1 << 20
"""Largest record value, 1 MiB: Kafka's own default limit, and one append's bound."""

HEADERS_BYTES_MAX = 16 << 10
"""Largest sum of `ce_` headers, 16 KiB: six attributes of at most 128 characters and extensions."""

Headers = Iterable[tuple[str, bytes | None]]

ONE = PurchaseLine("", "", 0).quantity
"""The quantity of a line that names none: this very object, so that encoding leaves it out."""

_PLACES = Decimal(1).scaleb(-QUANTITY_PLACES)
_ATTRIBUTES = ("specversion", "id", "source", "time", "subject", "type")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(2201, 1, 1, tzinfo=UTC)
_JSON = "application/json"
_STRUCTURED = "application/cloudevents"
_USUAL_HEADER = ("content-type", b"application/cloudevents+json")
_USUAL = ((_USUAL_HEADER,), [_USUAL_HEADER])

QUANTITIES_KNOWN_MAX = 4_096
"""Quantities whose check is remembered (about 400 kB): tills repeat 1, 2 and few weights."""

KNOWN_QUANTITIES: dict[Decimal, Decimal] = {ONE: ONE}
"""Quantities in their one spelling; each leads to itself."""

_decode = msgspec.json.Decoder(InputEvent).decode
_decode_raw = msgspec.json.Decoder(msgspec.Raw).decode


def decode_record(value: bytes | None, headers: Headers = ()) -> InputEvent:
    """The input event that a record holds. Raises `Malformed`, and nothing else."""
    if not value:
        raise Malformed(Code.EMPTY, "$", "The record has no value; send the event as JSON.")
    if len(value) > VALUE_BYTES_MAX:
        raise Malformed(
            Code.TOO_LARGE,
            "$",
            f"The value is larger than {VALUE_BYTES_MAX} bytes; split the order.",
        )
    try:
        if headers:
            value = _structured(value, headers)
        if b"\\" in value and b"\\u0000" in value:
            _refuse_nul(value)
        event: InputEvent = _decode(value)
        _check(event, value)
    except Malformed:
        raise
    except (ValueError, RecursionError, OverflowError, ArithmeticError) as error:
        raise explain(error, value) from None
    return event


def instant_of(event: InputEvent) -> Instant:
    """`occurred_at`: the event's `time` in microseconds since 1970-01-01T00:00:00Z."""
    since = event.time - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def normal_quantity(quantity: Decimal) -> Decimal:
    """The one spelling of a quantity: no trailing zeros, no exponent, 0 without a sign.

    Raises ValueError when it is not finite, below 0, above QUANTITY_MAX or has more than
    QUANTITY_PLACES places.
    """
    if not quantity.is_finite():  # first: a signalling NaN can neither be hashed nor compared
        raise ValueError(f"quantity must be a decimal number from 0 to {QUANTITY_MAX}")
    known = KNOWN_QUANTITIES.get(quantity)
    if known is not None:
        return known
    if not 0 <= quantity <= QUANTITY_MAX:
        raise ValueError(f"quantity must be a decimal number from 0 to {QUANTITY_MAX}")
    rounded = quantity.quantize(_PLACES)
    if rounded != quantity:
        raise ValueError(f"quantity must have at most {QUANTITY_PLACES} decimal places")
    normal = Decimal(f"{abs(rounded):f}".rstrip("0").rstrip("."))
    if normal == ONE:
        return ONE
    if normal and len(KNOWN_QUANTITIES) < QUANTITIES_KNOWN_MAX:
        KNOWN_QUANTITIES[normal] = normal
    return normal


def _structured(value: bytes, headers: Headers) -> bytes:
    """The event in structured mode, whichever mode the headers tell. Raises `Malformed`."""
    if headers in _USUAL:
        return value
    attributes: dict[str, bytes] = {}
    content_type = ""
    size = 0
    for name, raw in headers:
        if not name.isascii():
            _check_name(name)
        key = name.lower()
        if key == "content-type":
            content_type = _text("$.datacontenttype", raw or b"").split(";")[0].strip().lower()
        elif key.startswith("ce_"):
            size += len(key) + len(raw or b"")
            attributes[key[3:]] = raw or b""
    if content_type.startswith(_STRUCTURED):
        if content_type not in (f"{_STRUCTURED}+json", _STRUCTURED):
            raise Malformed(
                Code.CONTENT_TYPE,
                "$",
                f"{content_type} is not read here; send application/cloudevents+json, one event"
                " per record.",
            )
        return value
    if "specversion" not in attributes:
        return value
    if size > HEADERS_BYTES_MAX:
        raise Malformed(
            Code.TOO_LARGE,
            "$",
            f"The ce_ headers are over {HEADERS_BYTES_MAX} bytes; shorten them.",
        )
    if content_type not in ("", _JSON):
        raise Malformed(
            Code.CONTENT_TYPE,
            "$.datacontenttype",
            f"{content_type} is not read here; send data as {_JSON}.",
        )
    event: dict[str, object] = {
        name: _text(f"$.{name}", attributes[name]) for name in _ATTRIBUTES if name in attributes
    }
    event["data"] = _decode_raw(value)
    return msgspec.json.encode(event)


def _check_name(name: str) -> None:
    """Raise `Malformed` if a header's name was not UTF-8: it comes with surrogate escapes."""
    try:
        name.encode()
    except UnicodeEncodeError:
        raise Malformed(
            Code.NOT_UTF8, "$", "The name of a header is not UTF-8; encode it so."
        ) from None


def _text(path: str, raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Malformed(Code.NOT_UTF8, path, "The header is not UTF-8; encode it so.") from None


def _refuse_nul(value: bytes) -> None:
    """Raise `Malformed` if a string really holds U+0000 (and not a backslash before `u0000`)."""
    path = find_nul(msgspec.json.decode(value))
    if path is not None:
        raise Malformed(
            Code.NUL_CHARACTER, path, "The string holds the character U+0000; remove it."
        )


def _check(event: InputEvent, value: bytes) -> None:
    """What types cannot say. Raises `Malformed`."""
    _check_time(event.time, "$.time", "Check the clock.")
    kind = type(event)
    if kind is PurchaseCompleted:
        _check_purchase(event)  # type: ignore[arg-type]
    elif kind is PurchaseReturned:
        _check_line_ids(event.data.lines or ())  # type: ignore[union-attr]
    elif kind in (MemberEnrolled, MemberErased) and b'"data_base64"' in value:
        raise Malformed(
            Code.UNKNOWN_FIELD, "$.data_base64", "data_base64 is not read; send data as JSON."
        )
    elif kind is PointsAdjust:
        expires_at = event.data.expires_at  # type: ignore[union-attr]
        if expires_at is not None:
            _check_time(expires_at, "$.data.expires_at", "Leave it out for the program's expiry.")
    elif kind is TierOverride:
        _check_time(event.data.until, "$.data.until", "Name an earlier end.")  # type: ignore[union-attr]


def _check_time(time: datetime, path: str, advice: str) -> None:
    """Raise `Malformed` for a moment that the ledger does not know, in whatever offset it is."""
    if not 1970 < time.year < 2200 and not _EPOCH <= time < _END:
        raise Malformed(
            Code.TIME_OUT_OF_RANGE,
            path,
            f"{path.rpartition('.')[2]} is {time.isoformat()}; it must be from 1970 to 2200."
            f" {advice}",
        )


def _check_purchase(event: PurchaseCompleted) -> None:
    data = event.data
    lines = data.lines
    for line in lines:
        quantity = line.quantity
        if quantity is not ONE:
            try:
                normal = KNOWN_QUANTITIES.get(quantity) or normal_quantity(quantity)
            except (ValueError, TypeError) as error:
                raise Malformed(
                    Code.BAD_QUANTITY,
                    f"$.data.lines[{lines.index(line)}].quantity",
                    f"{error}; write for instance 2 or 0.482.",
                ) from None
            if normal is not quantity:
                force_setattr(line, "quantity", normal)
    _check_line_ids(lines)
    if event.subject is None and data.redemption_id is not None:
        raise Malformed(
            Code.ANONYMOUS_REDEMPTION,
            "$.data.redemption_id",
            "Points were spent but no member is named; set subject to the member_id, or leave"
            " redemption_id out.",
        )


def _check_line_ids(lines: Sequence[PurchaseLine | ReturnedLine]) -> None:
    if len(lines) < 2 or len({line.line_id for line in lines}) == len(lines):
        return
    seen: dict[str, int] = {}
    for index, line in enumerate(lines):
        first = seen.setdefault(line.line_id, index)
        if first != index:
            raise Malformed(
                Code.DUPLICATE_LINE_ID,
                f"$.data.lines[{index}].line_id",
                f"lines[{first}] has the line_id {line.line_id!r} too; number the lines of an"
                " order uniquely.",
            )
