"""Rows as parameters of one INSERT: each column an array in PostgreSQL's binary form.

A COPY is two round trips and cannot be sent along with other statements, so few rows are inserted
by arrays. Columns that are arrays themselves, which `unnest` would flatten, go as one array with
all rows' elements behind each other, and two columns that tell each row's from and to.
"""

from collections.abc import Sequence
from functools import cache
from itertools import accumulate, chain
from typing import Any

from psycopg import sql
from psycopg.adapt import Dumper
from psycopg.pq import Format

from schemas.array_bytes import array_bytes


class Packed(bytes):
    """An array of a type that the statement names by a cast."""


class PackedDumper(Dumper):
    """As it is."""

    format = Format.BINARY
    oid = 0

    def dump(self, obj: Packed) -> bytes:
        """Its bytes."""
        return obj


def packed(type_name: str, values: Sequence[Any], *, nulls: bool = True) -> Packed:
    """An array as a parameter; see `array_bytes`."""
    return Packed(array_bytes(type_name, values, nulls=nulls))


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
