"""Moments and arrays in PostgreSQL's binary form, for COPY.

Rows carry moments as Instants; psycopg would want datetimes and dumps arrays element by element,
which took a third of the time of folding a small batch. Registered by type id only: what else a
session does with datetimes and lists is not affected.
"""

from collections.abc import Sequence
from functools import lru_cache
from struct import Struct, pack

from psycopg import Connection
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from projections.packed import Packed, PackedDumper
from schemas.array_bytes import EPOCH_2000, array_bytes
from schemas.fields import Instant

_TIMESTAMPTZ, _TIMESTAMPTZ_ARRAY, _INT8, _INT8_ARRAY = 1184, 1185, 20, 1016
_TEXT_ARRAY = 1009
"""Type ids of PostgreSQL's catalogue, the same in every database."""

LENGTHS_KNOWN_MAX = 256
"""Lengths of arrays whose layout is remembered: a member's steps ahead are mostly some dozens."""

TEXTS_KNOWN_MAX = 4_096
"""Lists of texts whose bytes are remembered: combinations of rules, of which a program makes some
dozens."""

_ELEMENT_BYTES = 8
_moment = Struct("!q")


def _array(element_type: int, values: Sequence[int]) -> bytes:
    """One dimension, no NULLs; each element is preceded by its length."""
    count = len(values)
    if not count:
        return pack("!iii", 0, 0, element_type)
    elements = [_ELEMENT_BYTES] * (2 * count)
    elements[1::2] = values
    return _array_of(count).pack(1, 0, element_type, count, 1, *elements)


@lru_cache(LENGTHS_KNOWN_MAX)
def _array_of(count: int) -> Struct:
    return Struct(f"!5i{'iq' * count}")


class _Binary(Dumper):
    format = Format.BINARY


class _InstantDumper(_Binary):
    oid = _TIMESTAMPTZ

    def dump(self, obj: Instant) -> Buffer:
        return _moment.pack(obj - EPOCH_2000)


class _InstantsDumper(_Binary):
    oid = _TIMESTAMPTZ_ARRAY

    def dump(self, obj: Sequence[Instant]) -> Buffer:
        return _array(_TIMESTAMPTZ, [moment - EPOCH_2000 for moment in obj])


class _IntegersDumper(_Binary):
    oid = _INT8_ARRAY

    def dump(self, obj: Sequence[int]) -> Buffer:
        return _array(_INT8, obj)


class _TextsDumper(_Binary):
    oid = _TEXT_ARRAY

    def dump(self, obj: Sequence[str]) -> Buffer:
        return _texts(tuple(obj))


@lru_cache(TEXTS_KNOWN_MAX)
def _texts(values: tuple[str, ...]) -> bytes:
    return array_bytes("text", values, nulls=False)


class _Moment:
    """Never instantiated: dumpers are registered for a class, and these are looked up by id."""


class _Moments(_Moment):
    pass


class _Integers(_Moment):
    pass


class _Texts(_Moment):
    pass


def register(connection: Connection) -> None:
    """Let COPY with declared types take Instants, and integer sequences for arrays."""
    connection.adapters.register_dumper(_Moment, _InstantDumper)
    connection.adapters.register_dumper(_Moments, _InstantsDumper)
    connection.adapters.register_dumper(_Integers, _IntegersDumper)
    connection.adapters.register_dumper(_Texts, _TextsDumper)
    connection.adapters.register_dumper(Packed, PackedDumper)
