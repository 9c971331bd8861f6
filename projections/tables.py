"""The tables of the read models, and writing a batch of rows into them.

A table is either appended to (one row per event, never changed) or replaced per member: the rows of
the members touched are deleted and written anew, which keeps folding free of any merging in SQL.
They live in schema `read`; a rebuild writes the same tables of another schema.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

from psycopg import Connection, sql

from projections import packed
from projections.round_trip import round_trip

Row = tuple[object, ...]

LIVE = "read"
"""The schema that readers read."""

INSERTED_MAX = 500
"""Rows of one table that a batch inserts by arrays, along with its other statements. More are
copied, which takes less for each but two round trips of their own for each table."""


class Table(NamedTuple):
    """A table of the read models; `types` are PostgreSQL's, in the order of `columns`."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name of the one that readers read."""
        return self.within(LIVE)

    def within(self, schema: str) -> sql.Identifier:
        """The quoted name in a schema."""
        return sql.Identifier(schema, self.name)


def table(name: str, **columns: str) -> Table:
    """A table by its columns and their types."""
    return Table(name, tuple(columns), tuple(columns.values()))


class Writes:
    """The rows of one transaction, collected in memory (as many as one batch of events makes)."""

    __slots__ = ("_members", "_numbered", "_rows", "_schema")

    def __init__(self, schema: str = LIVE) -> None:
        self._schema = schema
        self._rows: dict[Table, list[Row]] = {}
        self._members: dict[Table, list[str]] = {}
        self._numbered: dict[Table, tuple[list[str], list[int]]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def append(self, into: Table, row: Row) -> None:
        """Add a row to an append-only table."""
        self._rows.setdefault(into, []).append(row)

    def replace(
        self, into: Table, member_id: str, rows: Sequence[Row], *, new: bool = False
    ) -> None:
        """Put `rows` in the place of all rows of the member. Once per member and batch. `new`: it
        has none, so none are looked for."""
        if not new:
            self._members.setdefault(into, []).append(member_id)
        if rows:
            self._rows.setdefault(into, []).extend(rows)

    def replace_numbered(
        self, into: Table, member_id: str, numbers: Sequence[int], rows: Sequence[Row]
    ) -> None:
        """Put `rows` in the place of the member's rows with these numbers (the second column)."""
        if numbers:
            members, gone = self._numbered.setdefault(into, ([], []))
            members.extend([member_id] * len(numbers))
            gone.extend(numbers)
        if rows:
            self._rows.setdefault(into, []).extend(rows)

    def flush(self, connection: Connection) -> None:
        """Write everything, in the caller's transaction."""
        self.copy_many(connection)
        with round_trip(connection):
            self.insert_few(connection)

    def copy_many(self, connection: Connection) -> None:
        """Write the tables that get many rows, in round trips of their own."""
        many = [into for into, rows in self._rows.items() if len(rows) > INSERTED_MAX]
        if not many:
            return
        with round_trip(connection):
            for target in many:
                self._delete(connection, target)
        for target in many:
            _copy(connection, target, target.within(self._schema), self._rows.pop(target))

    def insert_few(self, connection: Connection) -> None:
        """Write the others, in the caller's round trip."""
        for target in {**self._members, **self._numbered}:
            self._delete(connection, target)
        for target, rows in self._rows.items():
            connection.execute(
                packed.insert(self._schema, target.name, target.columns, target.types),
                packed.parameters(target.types, rows),
            )
        self._rows.clear()

    def _delete(self, connection: Connection, target: Table) -> None:
        members = self._members.pop(target, None)
        if members:
            statement = _deletion(self._schema, target.name)
            connection.execute(statement, [packed.packed("text", members)])
        numbered = self._numbered.pop(target, None)
        if numbered:
            statement = _deletion(self._schema, target.name, target.columns[1])
            gone = [packed.packed("text", numbered[0]), packed.packed("int4", numbered[1])]
            connection.execute(statement, gone)


@cache
def _deletion(schema: str, table_name: str, number: str | None = None) -> bytes:
    """The statement that deletes rows of members: all of them, or those with numbers."""
    name = sql.Identifier(schema, table_name)
    if number is None:
        statement = sql.SQL("DELETE FROM {} WHERE member_id = ANY(%s::text[])").format(name)
    else:
        statement = sql.SQL(
            "DELETE FROM {} AS t USING unnest(%s::text[], %s::int[]) AS gone (m, n) "
            "WHERE t.member_id = gone.m AND t.{} = gone.n"
        ).format(name, sql.Identifier(number))
    return statement.as_bytes()


def _copy(connection: Connection, target: Table, name: sql.Identifier, rows: Iterable[Row]) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        name, sql.SQL(", ").join(map(sql.Identifier, target.columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(target.types)
        for row in rows:
            copy.write_row(row)
