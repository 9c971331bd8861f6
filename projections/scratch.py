"""Tables of the same shape as those that are read, in another schema.

A rebuild and a replay write there. Shapes are taken from the tables themselves, not from the code,
so that columns, defaults, checks, comments, grants, storage and the names of indexes are those that
the migrations made, and a table that takes the other's place is the same in all but its rows.
Indexes are made when the rows are there, which is several times quicker. Whoever makes tables that
are to be read owns those that are (the login of `points migrate`); an auditor's are his own.
"""

from collections.abc import Sequence

from psycopg import Connection, sql

from projections.connection import ROLE
from projections.errors import ProjectionError
from projections.tables import LIVE, Table

DDL_LOCK = 0x7363726174636820
"""Two that make schemas at once would meet in PostgreSQL's catalogue ("scratch ")."""


def make_schema(connection: Connection, schema: str) -> None:
    """Make a schema that the application's role may use, unless it is there. In the caller's
    transaction, which keeps others from making one until its end."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", [DDL_LOCK])
    name = sql.Identifier(schema)
    connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name))
    connection.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(name, sql.Identifier(ROLE)))


def become_owner(connection: Connection) -> None:
    """Take the role that owns what is read, for a login that is a member of it, so that what the
    session makes is the owner's too. A superuser stays one: it may have to follow others' views.

    Raises ProjectionError (`not_owner`).
    """
    found = connection.execute(
        "SELECT pg_get_userbyid(nspowner), pg_has_role(nspowner, 'MEMBER'),"
        " current_setting('is_superuser')::boolean FROM pg_namespace WHERE nspname = %s",
        [LIVE],
    ).fetchone()
    if found is None:
        return  # what is read next says that there is no ledger
    owner, member, superuser = found
    if not member:
        raise ProjectionError(
            "not_owner",
            f"tables are made and exchanged by who owns them, {owner}: run this under that login"
            " (the one of `points migrate`), or under a member of it",
        )
    if not superuser:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(owner)))


def make_tables(
    connection: Connection, schema: str, tables: Sequence[Table], *, to_be_read: bool = True
) -> None:
    """Make the tables, empty and without indexes, in the caller's transaction. `to_be_read`: with
    the grants and the owner of those that are."""
    for table in tables:
        made, live = table.within(schema), table.within(LIVE)
        options, comment = _one(
            connection,
            "SELECT array_to_string(reloptions, ', '), obj_description(oid, 'pg_class')"
            " FROM pg_class WHERE oid = %s::regclass",
            live,
        )
        stored = sql.SQL("WITH ({})").format(sql.SQL(options)) if options else sql.SQL("")
        connection.execute(
            sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING ALL EXCLUDING INDEXES) {}").format(
                made, live, stored
            )
        )
        connection.execute(sql.SQL("COMMENT ON TABLE {} IS {}").format(made, sql.Literal(comment)))
        if to_be_read:
            grant_as(connection, live, made)
            (owner,) = _one(
                connection,
                "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = %s::regclass",
                live,
            )
            connection.execute(
                sql.SQL("ALTER TABLE {} OWNER TO {}").format(made, sql.Identifier(owner))
            )


def grant_as(connection: Connection, live: sql.Identifier, made: sql.Identifier) -> None:
    """Give `made` the grants of `live`, those on single columns too, and no others."""
    for _, _, grantee, _ in _grants(connection, made):
        connection.execute(
            sql.SQL("REVOKE ALL ON {} FROM {} CASCADE").format(made, _grantee(grantee))
        )
    for privilege, column, grantee, grantable in _grants(connection, live):
        of = sql.SQL("") if column is None else sql.SQL("({})").format(sql.Identifier(column))
        connection.execute(
            sql.SQL("GRANT {} {} ON {} TO {} {}").format(
                sql.SQL(privilege),
                of,
                made,
                _grantee(grantee),
                sql.SQL("WITH GRANT OPTION" if grantable else ""),
            )
        )


def _grants(
    connection: Connection, table: sql.Identifier
) -> list[tuple[str, str | None, str | None, bool]]:
    """Privilege, column (None: the table's), to whom (None: to all), and whether to be given on."""
    rows = connection.execute(
        "SELECT g.privilege_type, a.column_name, CASE WHEN g.grantee = 0 THEN NULL"
        "       ELSE pg_get_userbyid(g.grantee) END, g.is_grantable"
        " FROM pg_class AS c, LATERAL (SELECT NULL::name AS column_name, c.relacl AS acl"
        "      UNION ALL SELECT attname, attacl FROM pg_attribute"
        "      WHERE attrelid = c.oid AND NOT attisdropped) AS a, aclexplode(a.acl) AS g"
        " WHERE c.oid = %s::regclass AND g.grantee <> c.relowner",
        [table.as_string(connection)],
    ).fetchall()
    return [(row[0], row[1], row[2], row[3]) for row in rows]


def _grantee(name: str | None) -> sql.Composable:
    return sql.SQL("PUBLIC") if name is None else sql.Identifier(name)


def make_indexes(connection: Connection, schema: str, tables: Sequence[Table]) -> None:
    """Make those indexes that are not there yet, each in a transaction of its own, under the names
    that they have where they are read; then let the planner know the tables."""
    for table in tables:
        indexes = connection.execute(
            "SELECT i.relname, pg_get_indexdef(i.oid), pg_get_constraintdef(c.oid), m.amname"
            " FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid"
            " JOIN pg_am AS m ON m.oid = i.relam"
            " LEFT JOIN pg_constraint AS c ON c.conindid = i.oid AND c.contype IN ('p', 'u', 'x')"
            " WHERE x.indrelid = %s::regclass"
            " AND to_regclass(format('%%I.%%I', %s::text, i.relname)) IS NULL"
            " ORDER BY x.indisprimary DESC, i.relname",
            [table.within(LIVE).as_string(connection), schema],
        ).fetchall()
        made = table.within(schema)
        for name, index, constraint, method in indexes:
            if constraint is not None:
                statement = sql.SQL("ALTER TABLE {} ADD CONSTRAINT {} {}").format(
                    made, sql.Identifier(name), sql.SQL(constraint)
                )
            else:
                statement = sql.SQL(_elsewhere(index, f"{LIVE}.{table.name}", "{}")).format(made)
            connection.execute(statement)
            if method == "brin":
                _put_in_order(connection, made)
        if indexes:
            connection.execute(sql.SQL("ANALYZE {}").format(made))


def _put_in_order(connection: Connection, table: sql.Identifier) -> None:
    """Write the rows in the order of the primary key. An index of block ranges is of use only where
    rows that came one after the other lie beside each other: not so by pages of members."""
    row = connection.execute(
        "SELECT i.relname FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid"
        " WHERE x.indrelid = %s::regclass AND x.indisprimary",
        [table.as_string(connection)],
    ).fetchone()
    if row is not None:
        key = sql.Identifier(row[0])
        connection.execute(sql.SQL("CLUSTER {} USING {}").format(table, key))
        connection.execute(sql.SQL("ALTER TABLE {} SET WITHOUT CLUSTER").format(table))


def _elsewhere(index: str, live: str, made: str) -> str:
    """PostgreSQL's text of an index, for another table."""
    escaped = index.replace("{", "{{").replace("}", "}}")
    before, on, after = escaped.partition(f" ON {live} ")
    assert on, f"an index is defined on the table that has it: {index}"
    return f"{before} ON {made} {after}"


def drop_tables(connection: Connection, schema: str, tables: Sequence[Table]) -> None:
    """Drop those of the tables that are there."""
    for table in tables:
        connection.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(table.within(schema)))


def are_there(connection: Connection, schema: str, tables: Sequence[Table]) -> bool:
    """Whether the schema has all of the tables."""
    row = connection.execute(
        "SELECT count(*) FROM pg_tables WHERE schemaname = %s AND tablename = ANY(%s)",
        [schema, [table.name for table in tables]],
    ).fetchone()
    return row is not None and row[0] == len(tables)


def _one(connection: Connection, query: str, name: sql.Identifier) -> tuple[str, ...]:
    row = connection.execute(query.encode(), [name.as_string(connection)]).fetchone()
    assert row is not None, f"{name.as_string(connection)} is there"
    return tuple(row)
