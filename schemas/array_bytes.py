"""An array in PostgreSQL's binary form, as bytes.

psycopg writes an array item by item, as text with quotes. Here it is one join, and numbers are
packed without a call for each. How a statement takes the bytes is its callers' matter.
"""

from collections.abc import Callable, Sequence
from struct import pack
from typing import Any
from uuid import UUID

from schemas.fields import Instant

EPOCH_2000: Instant = 946_684_800_000_000
"""PostgreSQL counts microseconds from 2000-01-01, an Instant from 1970-01-01."""

_NULL = b"\xff\xff\xff\xff"
"""Instead of a length and a value."""


def _int4(value: int) -> bytes:
    return pack("!ii", 4, value)


def _int8(value: int) -> bytes:
    return pack("!iq", 8, value)


def _moment(value: Instant) -> bytes:
    return pack("!iq", 8, value - EPOCH_2000)


def _bytea(value: bytes) -> bytes:
    return pack("!i", len(value)) + value


def _text(value: str) -> bytes:
    return _bytea(value.encode())


def _uuid(value: UUID) -> bytes:
    return pack("!i16s", 16, value.bytes)


_TYPES: dict[str, tuple[int, Callable[..., bytes]]] = {
    "bytea": (17, _bytea),
    "int4": (23, _int4),
    "int8": (20, _int8),
    "text": (25, _text),
    "timestamptz": (1184, _moment),
    "uuid": (2950, _uuid),
}
"""PostgreSQL's number of the type, the same in every database, and an element with its length."""

_NUMBER_BYTES = {"int4": 4, "int8": 8, "timestamptz": 8}


def array_bytes(type_name: str, values: Sequence[Any], *, nulls: bool = True) -> bytes:
    """The array of values of a type by its name: of `bytea`, `int4`, `int8`, `text`, `uuid`,
    Instants of `timestamptz`. Only with `nulls` may some be None."""
    number, element = _TYPES[type_name]
    count = len(values)
    if not count:
        return pack("!iii", 0, 0, number)
    if nulls and None in values:
        body = [_NULL if value is None else element(value) for value in values]
        return pack("!5i", 1, 1, number, count, 1) + b"".join(body)
    start = pack("!5i", 1, 0, number, count, 1)  # one dimension, no nulls, from 1 on
    size = _NUMBER_BYTES.get(type_name)
    if size is None:
        return start + b"".join(map(element, values))
    if type_name == "timestamptz":
        values = [value - EPOCH_2000 for value in values]
    return start + _numbers(values, size)


def _numbers(values: Sequence[int], size: int) -> bytearray:
    """Integers of so many bytes (4 or 8), each behind its length, without a call for each."""
    count, words = len(values), size // 4
    parts = memoryview(pack(f"!{count}{'iq'[words - 1]}", *values)).cast("i")
    found = bytearray(count * (4 + size))
    into = memoryview(found).cast("i")
    into[:: 1 + words] = memoryview(pack("!i", size) * count).cast("i")
    for word in range(words):
        into[1 + word :: 1 + words] = parts[word::words]
    return found
