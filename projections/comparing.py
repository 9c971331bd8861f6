"""Comparing every row of the tables of two schemas, page by page, and naming the first difference.

Both sides are looked at in one snapshot of the database, so nobody has to stand still meanwhile.
A page is a range of the primary key, compared by the server: rows that only one side has, and rows
of which any column differs in a single byte. Nothing but what differs is sent.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from psycopg import Connection, sql

from projections.connection import connect
from projections.tables import LIVE, Table

PAGE_ROWS = 20_000
"""Rows compared by one query: a tenth of a second, and bounded memory at the server."""

_BY_KEYS = (
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;"
    " SET LOCAL enable_hashjoin = off; SET LOCAL max_parallel_workers_per_gather = 0"
)
"""PostgreSQL estimates a range of a key of several columns by the first, here of a whole shard, and
would read all of the table for each page. Both sides come in the order of their keys, to be merged.
"""

Key = tuple[str, ...]
"""The values of a primary key as text."""


class Page(NamedTuple):
    """The rows of a table with keys above `after` (None: from the first) up to `last` (None: to the
    end)."""

    table: Table
    columns: tuple[str, ...]
    types: tuple[str, ...]
    after: Key | None
    last: Key | None


class Difference(NamedTuple):
    """A row that is not the same. `key`: of the primary key. `column` None: the row is on one side
    only. Values as JSON has them."""

    table: str
    key: dict[str, Any]
    member_id: str | None
    column: str | None
    live: Any
    built: Any

    def __str__(self) -> str:
        place = ", ".join(f"{name} {value}" for name, value in self.key.items())
        member = self.member_id if "member_id" not in self.key else None
        where = f"{LIVE}.{self.table}, {place}" + (f" of member {member}" if member else "")
        if self.column is not None:
            return f"{where}: {self.column} is {self.live!r}, by the log {self.built!r}"
        if self.live is None:
            return f"{where}: the row is missing, by the log it is {self.built!r}"
        return f"{where}: the row {self.live!r} does not follow from the log"


class Compared(NamedTuple):
    """Rows looked at (by the side that was built), how many differ, the first of these."""

    rows: int
    differences: int
    first: Difference | None

    def plus(self, other: "Compared") -> "Compared":
        """Of both, this one's before the other's."""
        return Compared(
            self.rows + other.rows,
            self.differences + other.differences,
            self.first or other.first,
        )


NOTHING = Compared(0, 0, None)


def pages(connection: Connection, schema: str, tables: Sequence[Table]) -> Iterator[Page]:
    """All pages of the tables, found by walking the keys of those in `schema`. In a transaction."""
    connection.execute(_BY_KEYS)
    for table in tables:
        columns, types = _key_of(connection, table)
        after: Key | None = None
        while True:
            page = Page(table, columns, types, after, None)
            row = connection.execute(
                sql.SQL("SELECT {texts} FROM {table} AS t WHERE {range} ORDER BY {keys}"
                        " OFFSET {rows} LIMIT 1").format(
                    texts=sql.SQL(", ").join(
                        sql.SQL("{}::text").format(sql.Identifier(name)) for name in columns
                    ),
                    table=table.within(schema),
                    range=_range(page),
                    # Of the table: by its name alone the text above would be meant.
                    keys=sql.SQL(", ").join(
                        sql.SQL("t.{}").format(sql.Identifier(name)) for name in columns
                    ),
                    rows=sql.Literal(PAGE_ROWS - 1),
                )
            ).fetchone()  # fmt: skip
            last = None if row is None else tuple(row)
            yield page._replace(last=last)
            if last is None:
                break
            after = last


def compare(connection: Connection, schema: str, page: Page) -> Compared:
    """Compare one page of the table that is read with that of `schema`, in a transaction."""
    connection.execute(_BY_KEYS)
    rows = connection.execute(
        sql.SQL("SELECT count(*) FROM {} WHERE {}").format(page.table.within(schema), _range(page))
    ).fetchone()
    found = connection.execute(
        sql.SQL(
            "SELECT count(*) OVER (), to_jsonb(a), to_jsonb(b)"
            " FROM (SELECT * FROM {live} WHERE {range}) AS a"
            " FULL JOIN (SELECT * FROM {built} WHERE {range}) AS b ON {same}"
            " WHERE a.{first} IS NULL OR b.{first} IS NULL OR a *<> b"
            " ORDER BY {order} LIMIT 1"
        ).format(
            live=page.table.within(LIVE),
            built=page.table.within(schema),
            range=_range(page),
            same=sql.SQL(" AND ").join(
                sql.SQL("a.{0} = b.{0}").format(sql.Identifier(name)) for name in page.columns
            ),
            first=sql.Identifier(page.columns[0]),
            order=sql.SQL(", ").join(
                sql.SQL("coalesce(a.{0}, b.{0})").format(sql.Identifier(name))
                for name in page.columns
            ),
        )
    ).fetchone()
    counted = 0 if rows is None else int(rows[0])
    if found is None:
        return Compared(counted, 0, None)
    return Compared(counted, int(found[0]), _difference(page, found[1], found[2]))


def compare_elsewhere(url: str, role: str, snapshot: str, schema: str, page: Page) -> Compared:
    """Compare one page in a session of its own under `role`, in the snapshot of another."""
    with connect(url, roles=(role,)) as connection, connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        connection.execute(sql.SQL("SET TRANSACTION SNAPSHOT {}").format(sql.Literal(snapshot)))
        return compare(connection, schema, page)


def _difference(
    page: Page, live: dict[str, Any] | None, built: dict[str, Any] | None
) -> Difference:
    row = live or built
    assert row is not None, "a difference has a side"
    key = {name: row[name] for name in page.columns}
    member_id = row.get("member_id")
    if live is None or built is None:
        return Difference(page.table.name, key, member_id, None, live, built)
    # None: other bytes that JSON shows as the same.
    column = next((name for name in live if live[name] != built.get(name)), None)
    if column is None:
        return Difference(page.table.name, key, member_id, None, live, built)
    return Difference(page.table.name, key, member_id, column, live[column], built.get(column))


def _key_of(connection: Connection, table: Table) -> tuple[tuple[str, ...], tuple[str, ...]]:
    rows = connection.execute(
        "SELECT a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_index AS x"
        " CROSS JOIN unnest(x.indkey::int2[]) WITH ORDINALITY AS k (attnum, n)"
        " JOIN pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = k.attnum"
        " WHERE x.indrelid = %s::regclass AND x.indisprimary ORDER BY k.n",
        [table.within(LIVE).as_string(connection)],
    ).fetchall()
    assert rows, f"{table.name} has a primary key: every table of a read model has one"
    names, types = zip(*rows, strict=True)
    return names, types


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _range(page: Page) -> sql.Composed:
    def beyond(sign: str, key: Key) -> sql.Composed:
        values = sql.SQL(", ").join(
            sql.SQL("{}::{}").format(sql.Literal(value), sql.SQL(kind))
            for value, kind in zip(key, page.types, strict=True)
        )
        return sql.SQL("({}) {} ({})").format(_names(page.columns), sql.SQL(sign), values)

    parts = [sql.SQL("true").format()]
    if page.after is not None:
        parts.append(beyond(">", page.after))
    if page.last is not None:
        parts.append(beyond("<=", page.last))
    return sql.SQL(" AND ").join(parts)
