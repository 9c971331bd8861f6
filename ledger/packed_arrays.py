"""Arrays of byte strings, integers, UUIDs and moments as parameters of a query, in PostgreSQL's
binary form.

psycopg writes an array item by item, as text with quotes: 4 µs for each of the 500 keys that a
batch looks up. Here the whole array is one join. `bytea_array` and `uuid_array` must be given
nothing but items of one length.
"""

from collections.abc import Sequence
from struct import Struct, pack

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

from schemas.array_bytes import array_bytes
from schemas.fields import Instant

_BYTEA, _BYTEA_ARRAY = 17, 1001
_UUID, _UUID_ARRAY = 2950, 2951
_BIGINT_ARRAY, _TEXT_ARRAY, _INTEGER_ARRAY, _TIMESTAMPTZ_ARRAY = 1016, 1009, 1007, 1185
"""Numbers of PostgreSQL's types: the same in every database."""


class ByteaArray(bytes):
    """A packed bytea[]; made by `bytea_array`."""


class IntegerArray(bytes):
    """A packed integer[]; made by `integer_array`."""


class BigintArray(bytes):
    """A packed bigint[]; made by `bigint_array`."""


class TextArray(bytes):
    """A packed text[]; made by `text_array`."""


class UuidArray(bytes):
    """A packed uuid[]; made by `uuid_array`."""


class MomentArray(bytes):
    """A packed timestamptz[]; made by `moment_array`."""


class _Packed(Dumper):
    format = Format.BINARY

    def dump(self, obj: bytes) -> bytes:
        """It is packed already."""
        return obj


class _ByteaArrayDumper(_Packed):
    oid = _BYTEA_ARRAY


class _IntegerArrayDumper(_Packed):
    oid = _INTEGER_ARRAY


class _BigintArrayDumper(_Packed):
    oid = _BIGINT_ARRAY


class _TextArrayDumper(_Packed):
    oid = _TEXT_ARRAY


class _UuidArrayDumper(_Packed):
    oid = _UUID_ARRAY


class _MomentArrayDumper(_Packed):
    oid = _TIMESTAMPTZ_ARRAY


def bytea_array(items: Sequence[bytes]) -> ByteaArray:
    """The items, at least one, all of one length, as a parameter."""
    return ByteaArray(_packed(_BYTEA, items))


def integer_array(numbers: Sequence[int]) -> IntegerArray:
    """Integers of four bytes, at least one, as a parameter."""
    return IntegerArray(array_bytes("int4", numbers, nulls=False))


def bigint_array(numbers: Sequence[int]) -> BigintArray:
    """Integers of eight bytes, at least one, as a parameter."""
    return BigintArray(array_bytes("int8", numbers, nulls=False))


def text_array(texts: Sequence[str]) -> TextArray:
    """Texts, at least one, as a parameter."""
    return TextArray(array_bytes("text", texts, nulls=False))


def any_bytea_array(items: Sequence[bytes | None]) -> ByteaArray:
    """Byte strings of any length, or nothing, at least one item, as a parameter."""
    return ByteaArray(array_bytes("bytea", items))


def any_moment_array(moments: Sequence[Instant | None]) -> MomentArray:
    """Moments or nothing, at least one item, as a parameter."""
    return MomentArray(array_bytes("timestamptz", moments))


def uuid_array(items: Sequence[bytes]) -> UuidArray:
    """UUIDs, at least one, each given by its 16 bytes, as a parameter."""
    return UuidArray(_packed(_UUID, items))


def moment_array(moments: Sequence[Instant]) -> MomentArray:
    """Moments, at least one, as a parameter."""
    return MomentArray(array_bytes("timestamptz", moments, nulls=False))


def _packed(element_type: int, items: Sequence[bytes]) -> bytes:
    length = pack("!i", len(items[0]))
    head = pack("!iiiii", 1, 0, element_type, len(items), 1)  # one dimension, no nulls, from 1 on
    return head + length + length.join(items)


class Column(bytes):
    """A packed array of a type that the statement names by a cast; made by `columns_of`."""


class _ColumnDumper(_Packed):
    oid = 0


_ARRAY = Struct("!iiiii").pack
_field = Struct("!i").unpack_from


def columns_of(rows: Sequence[bytes], types: Sequence[int]) -> list[Column]:
    """The columns of rows of binary COPY, at least one, each as an array for `unnest`. `types`:
    PostgreSQL's numbers of the columns' types."""
    columns: list[list[bytes]] = [[] for _ in types]
    for row in rows:
        at = 2  # after the number of fields
        for column in columns:
            length = _field(row, at)[0]
            end = at + 4 + (max(0, length))  # -1 is NULL
            column.append(row[at:end])
            at = end
    count = len(rows)
    return [
        Column(_ARRAY(1, 0, of, count, 1) + b"".join(column))
        for of, column in zip(types, columns, strict=True)
    ]


psycopg.adapters.register_dumper(Column, _ColumnDumper)
psycopg.adapters.register_dumper(ByteaArray, _ByteaArrayDumper)
psycopg.adapters.register_dumper(BigintArray, _BigintArrayDumper)
psycopg.adapters.register_dumper(TextArray, _TextArrayDumper)
psycopg.adapters.register_dumper(IntegerArray, _IntegerArrayDumper)
psycopg.adapters.register_dumper(UuidArray, _UuidArrayDumper)
psycopg.adapters.register_dumper(MomentArray, _MomentArrayDumper)
