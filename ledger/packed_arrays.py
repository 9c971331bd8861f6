"""Arrays of byte strings as a parameter of a query, in PostgreSQL's binary form, packed by hand.

psycopg writes an array item by item, as text with quotes: 4 µs for each of the 500 keys that a
batch looks up. All keys have one length, so the whole array is one join. Must be given nothing but
byte strings of one length.
"""

from collections.abc import Sequence
from struct import pack

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format

_BYTEA = 17
_BYTEA_ARRAY = 1001
"""Numbers of PostgreSQL's types bytea and bytea[]: the same in every database."""


class ByteaArray(bytes):
    """A packed array; made by `bytea_array`."""


class _Dumper(Dumper):
    format = Format.BINARY
    oid = _BYTEA_ARRAY

    def dump(self, obj: ByteaArray) -> bytes:
        """It is packed already."""
        return obj


def bytea_array(items: Sequence[bytes]) -> ByteaArray:
    """The items, at least one, all of one length, as a parameter for `= ANY (%s)`."""
    length = pack("!i", len(items[0]))
    head = pack("!iiiii", 1, 0, _BYTEA, len(items), 1)  # one dimension, no nulls, from index 1
    return ByteaArray(head + length + length.join(items))


psycopg.adapters.register_dumper(ByteaArray, _Dumper)
