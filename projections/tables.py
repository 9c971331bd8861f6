"""The tables of the read models, and writing a batch of rows into them with COPY.

A table is either appended to (one row per event, never changed) or replaced per member: the rows of
the members touched are deleted and written anew, which keeps folding free of any merging in SQL.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from psycopg import Connection, sql

Row = tuple[object, ...]


class Table(NamedTuple):
    """A table of schema `read`; `types` are PostgreSQL's, in the order of `columns`."""

    name: str
    columns: tuple[str, ...]
    types: tuple[str, ...]

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name with its schema."""
        return sql.Identifier("read", self.name)


def table(name: str, **columns: str) -> Table:
    """A table by its columns and their types."""
    return Table(name, tuple(columns), tuple(columns.values()))


class Writes:
    """The rows of one transaction, collected in memory (as many as one batch of events makes)."""

    __slots__ = ("_members", "_numbered", "_rows")

    def __init__(self) -> None:
        self._rows: dict[Table, list[Row]] = {}
        self._members: dict[Table, list[str]] = {}
        self._numbered: dict[Table, tuple[list[str], list[int]]] = {}

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
        with connection.pipeline():
            for target, members in self._members.items():
                connection.execute(
                    sql.SQL("DELETE FROM {} WHERE member_id = ANY(%s)").format(target.identifier),
                    [members],
                )
            for target, (members, numbers) in self._numbered.items():
                connection.execute(
                    sql.SQL(
                        "DELETE FROM {} AS t USING unnest(%s::text[], %s::int[]) AS gone (m, n) "
                        "WHERE t.member_id = gone.m AND t.{} = gone.n"
                    ).format(target.identifier, sql.Identifier(target.columns[1])),
                    [members, numbers],
                )
        for target, rows in self._rows.items():
            _copy(connection, target, rows)
        self._rows.clear()
        self._members.clear()
        self._numbered.clear()


def _copy(connection: Connection, target: Table, rows: Iterable[Row]) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        target.identifier, sql.SQL(", ").join(map(sql.Identifier, target.columns))
    )
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(target.types)
        for row in rows:
            copy.write_row(row)


def truncate(connection: Connection, tables: Sequence[Table]) -> None:
    """Empty the tables, in the caller's transaction."""
    names = sql.SQL(", ").join(t.identifier for t in tables)
    connection.execute(sql.SQL("TRUNCATE {}").format(names))
