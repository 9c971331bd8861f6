"""Exchanging the tables of a read model for others, in one transaction, while readers read.

The tables change places by their schema: what was built goes where readers look, what they read so
far is kept in `read_old`. Whatever names a table finds the new one: queries, and functions, whose
text is looked up when they run. A view is bound to the table itself; so every view over one of the
tables, in whatever schema, is put anew with its own text in the same transaction, and stays the
same view: grants, comments and views upon it remain. What cannot follow is refused beforehand.

No reader sees a half-built model. A transaction that began before the model was whole, and reads it
for the first time after the exchange, would look into the new table with its old snapshot; so the
exchange waits until all such transactions have ended. And it waits for locks only for moments, for
whoever comes after it waits too.
"""

import time
from collections.abc import Callable, Sequence

import psycopg
from psycopg import Connection, sql

from projections import builds, positions, scratch
from projections.builds import Build
from projections.errors import ProjectionError
from projections.folding import Step, no_step
from projections.tables import LIVE, Table

OLD = "read_old"
"""The schema of the tables that were exchanged last, the way back."""

LOCK_MS = 500
"""All locks are had by then or let go again: how long a reader may wait for an exchange that itself
waits for a longer reader. Less than PostgreSQL's deadlock_timeout (1 s), so that a reader is never
ended for a circle that would have been broken."""

TRIES = 120
PAUSE_SECONDS = 1.0
"""An exchange is tried for two minutes, a second apart."""

OLD_TRANSACTIONS_SECONDS = 600
"""How long an exchange waits for transactions that began before the model was whole: a report over
all members takes minutes."""

Told = Callable[[str], None]


def transactions_now(connection: Connection) -> list[str]:
    """The transactions under way in this database, but our own."""
    rows = connection.execute(
        "SELECT l.virtualtransaction FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)"
        " WHERE l.locktype = 'virtualxid' AND l.granted AND a.datname = current_database()"
        " AND l.pid <> pg_backend_pid()"
    ).fetchall()
    return [row[0] for row in rows]


def wait_for(connection: Connection, transactions: Sequence[str], told: Told) -> None:
    """Wait until these transactions have ended. Raises ProjectionError (`old_transactions`)."""
    deadline = time.monotonic() + OLD_TRANSACTIONS_SECONDS
    said = False
    while left := set(transactions) & set(transactions_now(connection)):
        if not said:
            told(f"waiting for {len(left)} transactions that began before the model was whole")
            said = True
        if time.monotonic() > deadline:
            raise ProjectionError(
                "old_transactions",
                f"{len(left)} transactions have been open since before the model was whole: end"
                " them (pg_stat_activity shows them) and run this again, which goes on from here",
            )
        time.sleep(0.05)


def switch(
    owner: Connection,
    build: Build,
    before: Callable[[], None] = lambda: None,
    step: Step = no_step,
) -> None:
    """Put what was built in the place of what is read, and keep that for the way back. The build
    is forgotten. `before` is called when nobody else folds.

    Raises ProjectionError (`cannot_follow`, `readers_busy`).
    """
    tables = build.tables()

    def exchange() -> None:
        scratch.make_schema(owner, OLD)
        owner.execute(_OLD_POSITIONS)
        scratch.drop_tables(owner, OLD, tables)
        _exchange(owner, tables, build.schema)
        for name in build.models:
            _keep_positions(owner, name)
            _copy_positions(owner, name, build.schema, LIVE)
            _next_generation(owner, name)
        builds.forget(owner, build)
        builds.forget_schema(owner, build)
        step("rebuild.before_switched")

    _in_a_moment(owner, tables, before, exchange)
    step("rebuild.after_switched")


def restore(owner: Connection, name: str) -> None:
    """The way back: what was exchanged last is read again, and folded on from where it stood; what
    was read until now is kept in its place.

    Raises ProjectionError (`unknown_projection`, `nothing_kept`, `other_shape`, `cannot_follow`,
    `readers_busy`, `not_owner`).
    """
    (model,) = builds.models_of([name])
    tables = model.tables
    _check_kept(owner, name, tables)
    # A migration may have added some since.
    scratch.make_indexes(owner, OLD, tables)

    def exchange() -> None:
        scratch.make_schema(owner, OLD)
        # By a third schema: one cannot hold both.
        owner.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(_BETWEEN)))
        _exchange(owner, tables, OLD, by=_BETWEEN)
        owner.execute(sql.SQL("DROP SCHEMA {}").format(sql.Identifier(_BETWEEN)))
        owner.execute(
            sql.SQL(
                "CREATE TEMPORARY TABLE positions ON COMMIT DROP AS"
                " SELECT {} FROM read_old.positions WHERE projection = %s"
            ).format(positions.COLUMNS),
            [name],
        )
        _keep_positions(owner, name)
        _copy_positions(owner, name, "pg_temp", LIVE)
        _next_generation(owner, name)

    _in_a_moment(owner, tables, lambda: None, exchange)


def drop_old(owner: Connection, name: str) -> bool:
    """Drop what is kept for the way back; whether there was something."""
    (model,) = builds.models_of([name])
    with owner.transaction():
        owner.execute("SELECT pg_advisory_xact_lock(%s)", [scratch.DDL_LOCK])
        if not scratch.are_there(owner, OLD, model.tables):
            return False
        scratch.drop_tables(owner, OLD, model.tables)
        owner.execute("DELETE FROM read_old.positions WHERE projection = %s", [name])
        row = owner.execute("SELECT count(*) FROM read_old.positions").fetchone()
        if row is not None and not row[0]:
            owner.execute("DROP TABLE read_old.positions")
            owner.execute("DROP SCHEMA read_old")
    return True


def check_followers(connection: Connection, tables: Sequence[Table]) -> None:
    """Raises ProjectionError (`cannot_follow`) when something over the tables is bound to them and
    is no view."""
    names = _named(connection, tables)
    found = connection.execute(_OTHERS, [names, names]).fetchone()
    if found is not None:
        raise ProjectionError(
            "cannot_follow",
            f"{found[0]} is bound to the {found[1]} itself and would not follow to the new one:"
            " drop it, or make it upon a view of schema read, and run this again",
        )


_BETWEEN = "read_between"

_OLD_POSITIONS = "CREATE TABLE IF NOT EXISTS read_old.positions (LIKE read.positions INCLUDING ALL)"

_VIEWS = """
SELECT DISTINCT v.oid, v.oid::regclass::text, pg_get_viewdef(v.oid),
       array_to_string(v.reloptions, ', ')
FROM pg_depend AS d JOIN pg_rewrite AS r ON r.oid = d.objid JOIN pg_class AS v ON v.oid = r.ev_class
WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
  AND d.refobjid = ANY(%s::regclass[]) AND v.relkind = 'v'
ORDER BY v.oid
"""

_OTHERS = """
SELECT pg_describe_object(d.classid, d.objid, d.objsubid),
       pg_describe_object(d.refclassid, d.refobjid, 0)
FROM pg_depend AS d
LEFT JOIN pg_rewrite AS r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
LEFT JOIN pg_class AS v ON v.oid = r.ev_class
LEFT JOIN pg_constraint AS c ON d.classid = 'pg_constraint'::regclass AND c.oid = d.objid
WHERE (d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY(%s::regclass[])
       OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (
           SELECT reltype FROM pg_class WHERE oid = ANY(%s::regclass[])))
  AND (v.relkind IS DISTINCT FROM 'v' AND d.classid = 'pg_rewrite'::regclass
       OR d.classid IN ('pg_proc'::regclass, 'pg_trigger'::regclass, 'pg_policy'::regclass)
       OR d.classid = 'pg_constraint'::regclass AND c.contype = 'f'
       OR d.classid = 'pg_class'::regclass AND d.deptype = 'n')
LIMIT 1
"""
"""What is bound to a table and is no view, index, default or check of its own: rules and
materialised views, functions with a parsed body, triggers, policies, foreign keys, heirs."""


def _in_a_moment(
    owner: Connection,
    tables: Sequence[Table],
    before: Callable[[], None],
    exchange: Callable[[], None],
) -> None:
    """Do the exchange in one transaction, with all its locks or not at all."""
    for _ in range(TRIES):
        with positions.standing_still(owner):
            before()
            check_followers(owner, tables)
            try:
                with owner.transaction():
                    _lock(owner, tables)
                    exchange()
                return
            except psycopg.errors.QueryCanceled:
                pass
        time.sleep(PAUSE_SECONDS)
    raise ProjectionError(
        "readers_busy",
        f"somebody has read the read model for longer than {TRIES * PAUSE_SECONDS:.0f} s without"
        " a pause: nothing was exchanged; run this again, which goes on from here",
    )


def _lock(owner: Connection, tables: Sequence[Table]) -> None:
    """Take all locks of the exchange within LOCK_MS. Raises QueryCanceled."""
    # Views first, as readers take them: view, then table. In one statement: who comes between two
    # of them and wants the other first would have to be waited for in vain.
    names = [sql.SQL(row[1]) for row in _views(owner, tables)]
    names_of_tables = [table.identifier for table in tables]
    owner.execute(sql.SQL("SET LOCAL statement_timeout = {}").format(sql.Literal(LOCK_MS)))
    owner.execute(
        sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(
            sql.SQL(", ").join([*names, *names_of_tables])
        )
    )
    owner.execute("SET LOCAL statement_timeout = 0")


def _exchange(
    owner: Connection, tables: Sequence[Table], source: str, by: str | None = None
) -> None:
    """What is in `source` is read, what was read is in OLD; views follow."""
    views = _views(owner, tables)
    for table in tables:
        # Those of this moment: what was made or kept may have others.
        scratch.grant_as(owner, table.identifier, table.within(source))
        _move(owner, table, LIVE, by or OLD)
        _move(owner, table, source, LIVE)
        if by is not None:
            _move(owner, table, by, OLD)
    # Their texts name the tables that were read before: now others have these names.
    for _, view, text, options in views:
        owner.execute(_put_anew(view, text, options))


def _move(owner: Connection, table: Table, source: str, target: str) -> None:
    owner.execute(
        sql.SQL("ALTER TABLE {} SET SCHEMA {}").format(table.within(source), sql.Identifier(target))
    )


def _views(owner: Connection, tables: Sequence[Table]) -> list[tuple[int, str, str, str | None]]:
    return [tuple(row) for row in owner.execute(_VIEWS, [_named(owner, tables)]).fetchall()]


def _put_anew(view: str, text: str, options: str | None) -> sql.Composed:
    stored = f" WITH ({options})" if options else ""
    return sql.SQL(f"CREATE OR REPLACE VIEW {view}{stored} AS {text}".replace("{", "{{").replace(
        "}", "}}")).format()  # fmt: skip


def _named(connection: Connection, tables: Sequence[Table]) -> list[str]:
    return [table.identifier.as_string(connection) for table in tables]


def _keep_positions(owner: Connection, name: str) -> None:
    owner.execute("DELETE FROM read_old.positions WHERE projection = %s", [name])
    _copy_positions(owner, name, LIVE, OLD)
    owner.execute("DELETE FROM read.positions WHERE projection = %s", [name])


def _copy_positions(owner: Connection, name: str, source: str, target: str) -> None:
    owner.execute(
        sql.SQL(
            "INSERT INTO {target} ({columns}) SELECT {columns} FROM {source} WHERE projection = %s"
        ).format(
            target=sql.Identifier(target, "positions"),
            source=sql.Identifier(source, "positions"),
            columns=positions.COLUMNS,
        ),
        [name],
    )


def _next_generation(owner: Connection, name: str) -> None:
    owner.execute(
        "INSERT INTO read.generations (projection, generation, switched_at) VALUES (%s, 1, now())"
        " ON CONFLICT (projection) DO UPDATE SET generation = generations.generation + 1,"
        " switched_at = now()",
        [name],
    )


def _check_kept(owner: Connection, name: str, tables: Sequence[Table]) -> None:
    if not scratch.are_there(owner, OLD, tables):
        raise ProjectionError(
            "nothing_kept",
            f"nothing is kept of {name}: there is a way back only after"
            f" `points projections rebuild {name}`, until it is dropped",
        )
    for table in tables:
        shapes = [
            owner.execute(
                "SELECT array_agg((attname, format_type(atttypid, atttypmod), attnotnull)::text"
                " ORDER BY attnum) FROM pg_attribute"
                " WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped",
                [table.within(schema).as_string(owner)],
            ).fetchone()
            for schema in (LIVE, OLD)
        ]
        if shapes[0] != shapes[1]:
            raise ProjectionError(
                "other_shape",
                f"what is kept of {name} is from before `points migrate` changed"
                f" {LIVE}.{table.name}: rebuild it instead",
            )
