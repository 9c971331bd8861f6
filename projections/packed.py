"""Rows as parameters of one INSERT: each column an array in PostgreSQL's binary form.

A COPY is two round trips and cannot be sent along with other statements, so few rows are inserted
by arrays. Columns that are arrays themselves, which `unnest` would flatten, go as one array with
all rows' elements behind each other, and two columns that tell each row's from and to.
"""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate, chain
from struct import pack
from typing import Any
from uuid import UUID

from psycopg import sql
from psycopg.adapt import Dumper
from psycopg.pq import Format

from schemas.fields import Instant

POSTGRES_EPOCH: Instant = 946_684_800_000_000
"""2000-01-01T00:00:00Z, from which PostgreSQL counts its microseconds."""

NULL = b"\xff\xff\xff\xff"
"""Instead of a length and a value."""


class Packed(bytes):
    """An array of a type that the statement names by a cast."""


class PackedDumper(Dumper):
    """As it is."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Packed) -> bytes:
        """Its bytes."""
        return obj


def _int4(value: int) -> bytes:
    return pack("!ii", 4, value)


def _int8(value: int) -> bytes:
    return pack("!iq", 8, value)


def _moment(value: Instant) -> bytes:
    return pack("!iq", 8, value - POSTGRES_EPOCH)


def _text(value: str) -> bytes:
    encoded = value.encode()
    return pack("!i", len(encoded)) + encoded


def _uuid(value: UUID) -> bytes:
    return pack("!i16s", 16, value.bytes)


_TYPES: dict[str, tuple[int, Callable[..., bytes]]] = {
    "int4": (23, _int4),
    "int8": (20, _int8),
    "text": (25, _text),
    "timestamptz": (1184, _moment),
    "uuid": (2950, _uuid),
}
"""PostgreSQL's number of the type, the same in every database, and an element with its length."""


def packed(type_name: str, values: Sequence[Any], nulls: bool = True) -> Packed:
    """An array of a type by its name: of `int4`, `int8`, `text`, `uuid`, Instants of `timestamptz`.
    Only with `nulls` may some be None."""
    number, element = _TYPES[type_name]
    count = len(values)
    if not count:
        return Packed(pack("!iii", 0, 0, number))
    if nulls and None in values:
        body = [NULL if value is None else element(value) for value in values]
        return Packed(pack("!5i", 1, 1, number, count, 1) + b"".join(body))
    start = pack("!5i", 1, 0, number, count, 1)
    if type_name in ("text", "uuid"):
        return Packed(start + b"".join(map(element, values)))
    if type_name == "timestamptz":
        values = [value - POSTGRES_EPOCH for value in values]
    return Packed(start + _numbers(values, 4 if type_name == "int4" else 8))


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


def _spread(type_name: str, lists: Sequence[Sequence[Any]]) -> tuple[Packed, Packed, Packed]:
    """All lists' elements, and of each list its first and its last place among them."""
    elements = list(chain.from_iterable(lists))
    lasts = list(accumulate(map(len, lists)))
    firsts = [1, *[last + 1 for last in lasts[:-1]]]
    return packed(type_name, elements, nulls=False), packed("int4", firsts), packed("int4", lasts)


def parameters(types: Sequence[str], rows: Sequence[Sequence[object]]) -> list[Packed]:
    """What `insert` takes for rows, at least one. Instants for moments, lists for arrays."""
    plain: list[Packed] = []
    elements: list[Packed] = []
    for name, values in zip(types, zip(*rows, strict=True), strict=True):
        if name.endswith("[]"):
            all_of, firsts, lasts = _spread(name[:-2], values)
            elements.append(all_of)
            plain += (firsts, lasts)
        else:
            plain.append(packed(name, values))
    return elements + plain


@cache
def insert(schema: str, name: str, columns: Sequence[str], types: Sequence[str]) -> bytes:
    """The statement that inserts rows given by `parameters`."""
    given: list[sql.Composable] = []
    asked: list[sql.Identifier] = []
    shown: list[sql.Composable] = []
    for number, of in enumerate(types):
        column, element = sql.Identifier(f"v{number}"), sql.Identifier(of.removesuffix("[]"))
        if of.endswith("[]"):
            first, last = sql.Identifier(f"first{number}"), sql.Identifier(f"last{number}")
            part = sql.SQL("(%s::{}[])[{}:{}]").format(element, first, last)
            shown.append(part)
            given += [sql.SQL("%s::int4[]")] * 2
            asked += [first, last]
        else:
            shown.append(column)
            given.append(sql.SQL("%s::{}[]").format(element))
            asked.append(column)
    statement = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM unnest({}) AS v ({})").format(
        sql.Identifier(schema, name),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(shown),
        sql.SQL(", ").join(given),
        sql.SQL(", ").join(asked),
    )
    return statement.as_bytes()
