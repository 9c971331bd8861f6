"""What is known of a read model being built beside the one that is read: how far it is.

All of it lies in the schema that is built in, in tables of its own: `builds` (which code began it),
`pages` (how far each shard is, by account) and `positions` (as those of the models that are read).
So a build that was broken off at any point is taken up by the next process, and one that other code
began is thrown away.
"""

from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from psycopg import Connection, sql

from projections import positions, runner, scratch
from projections.connection import AUDITOR_ROLE, ROLE
from projections.errors import ProjectionError
from projections.model import ReadModel
from projections.tables import LIVE, Table

FOLLOWED_EVENTS_MAX = 100_000
"""A model that is read and is at most so many events behind is followed: the build goes as far as
it goes, so that both can be compared. One further behind (a new one) is not waited for."""

_ROOT = Path(__file__).parent.parent
_CODE = ("projections", "schemas", "ledger/core")
"""The folders that what is folded follows from."""


class Build(NamedTuple):
    """What is built where. `follows`: it goes no further than the models that are read. `audits`:
    it is built by an auditor in the schema that he was given, and takes nothing's place."""

    schema: str
    name: str
    models: tuple[str, ...]
    follows: bool = True
    audits: bool = False

    @property
    def role(self) -> str:
        """Under which it is folded."""
        return AUDITOR_ROLE if self.audits else ROLE

    def read_models(self) -> list[ReadModel]:
        """New ones of the models."""
        return models_of(self.models)

    def tables(self) -> list[Table]:
        """All their tables."""
        return [table for model in self.read_models() for table in model.tables]


class Progress(NamedTuple):
    """Of the pages: accounts' events folded, of all; whether every shard is through."""

    folded: int
    total: int
    done: bool


def models_of(names: Sequence[str]) -> list[ReadModel]:
    """Raises ProjectionError (`unknown_projection`)."""
    known = {model.name: model for model in runner.read_models()}
    for name in names:
        if name not in known:
            raise ProjectionError(
                "unknown_projection",
                f"there is no projection {name!r}; there are {', '.join(known)}",
            )
    return [known[name] for name in names]


@cache
def code() -> str:
    """A digest of the code that rows follow from: other code, other rows."""
    digest = sha256()
    for folder in _CODE:
        for path in sorted((_ROOT / folder).rglob("*.py")):
            digest.update(str(path.relative_to(_ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def begin(
    owner: Connection,
    build: Build,
    *,
    always_follow: bool = False,
    instead: Sequence[Build] = (),
) -> Build:
    """Make what the build needs, or find what an earlier process left of it. `instead`: builds in
    the same schema of which this one takes the place, if they were begun.

    Raises ProjectionError (`not_begun`).
    """
    if build.audits:
        _check_begun(owner, build)
    else:
        positions.ensure(owner, build.models)
    with owner.transaction():
        if not build.audits:
            scratch.make_schema(owner, build.schema)
        for statement in _TABLES:
            owner.execute(sql.SQL(statement).format(schema=sql.Identifier(build.schema)))
        for other in instead:
            if _begun(owner, other) is not None:
                forget(owner, other)
                scratch.drop_tables(owner, other.schema, other.tables())
        row = _begun(owner, build)
        tables = build.tables()
        whole = scratch.are_there(owner, build.schema, tables)
        if row is not None and row[0] == code() and whole:
            return build._replace(follows=row[1])
        forget(owner, build)
        scratch.drop_tables(owner, build.schema, tables)
        scratch.make_tables(owner, build.schema, tables, to_be_read=not build.audits)
        made = build._replace(follows=always_follow or _followed(owner, build))
        owner.execute(
            _in(build, "INSERT INTO {schema}.builds (name, code, follows) VALUES (%s, %s, %s)"),
            [build.name, code(), made.follows],
        )
        owner.execute(
            _in(
                build,
                "INSERT INTO {schema}.pages (name, shard) SELECT %s, shard FROM ledger.heads"
                " WHERE shard >= 0",
            ),
            [build.name],
        )
        owner.execute(
            _in(
                build,
                "INSERT INTO {schema}.positions (projection, shard)"
                " SELECT m, shard FROM unnest(%s::text[]) AS m CROSS JOIN ledger.heads",
            ),
            [list(build.models)],
        )
    return made


def _begun(owner: Connection, build: Build) -> tuple[str, bool] | None:
    """Which code began the build, and whether it follows; None: nobody began it."""
    row = owner.execute(
        _in(build, "SELECT code, follows FROM {schema}.builds WHERE name = %s"), [build.name]
    ).fetchone()
    return None if row is None else (row[0], bool(row[1]))


def drop(owner: Connection, build: Build) -> bool:
    """Throw a build away, if there is one; whether there was. The schema goes with its last, unless
    it is an auditor's."""
    with owner.transaction():
        owner.execute("SELECT pg_advisory_xact_lock(%s)", [scratch.DDL_LOCK])
        if not _exists(owner, build):
            return False
        forget(owner, build)
        scratch.drop_tables(owner, build.schema, build.tables())
        forget_schema(owner, build)
    return True


def make_old(owner: Connection, build: Build) -> None:
    """Leave what was built as it is, for somebody to look at: the next one begins anew."""
    owner.execute(
        _in(build, "UPDATE {schema}.builds SET code = 'kept' WHERE name = %s"), [build.name]
    )


def forget_schema(owner: Connection, build: Build) -> None:
    """Drop the schema if nothing is built in it any more, in the caller's transaction. An auditor's
    stays, empty: he could not make it again."""
    row = owner.execute(_in(build, "SELECT count(*) FROM {schema}.builds")).fetchone()
    if row is not None and not row[0]:
        owner.execute(_in(build, "DROP TABLE {schema}.builds, {schema}.pages, {schema}.positions"))
        if not build.audits:
            owner.execute(_in(build, "DROP SCHEMA {schema}"))


def _exists(owner: Connection, build: Build) -> bool:
    row = owner.execute("SELECT to_regclass(%s)", [f"{build.schema}.builds"]).fetchone()
    return row is not None and row[0] is not None


def forget(owner: Connection, build: Build) -> None:
    """Forget how far the build is, in the caller's transaction."""
    owner.execute(_in(build, "DELETE FROM {schema}.builds WHERE name = %s"), [build.name])
    owner.execute(_in(build, "DELETE FROM {schema}.pages WHERE name = %s"), [build.name])
    owner.execute(
        _in(build, "DELETE FROM {schema}.positions WHERE projection = ANY(%s)"),
        [list(build.models)],
    )


def progress(connection: Connection, build: Build) -> Progress:
    """How far the pages are, over all shards."""
    row = connection.execute(
        _in(
            build,
            "SELECT coalesce(sum(p.folded), 0)::bigint,"
            " coalesce(sum(CASE WHEN p.done THEN p.folded ELSE"
            "     greatest(p.folded, coalesce(p.head, h.position)) END), 0)::bigint,"
            " coalesce(bool_and(p.done), true)"
            " FROM {schema}.pages AS p JOIN ledger.heads AS h USING (shard) WHERE p.name = %s",
        ),
        [build.name],
    ).fetchone()
    assert row is not None, "an aggregate has a row"
    return Progress(*row)


def targets(connection: Connection, build: Build) -> dict[int, int]:
    """How far the build should go in each shard, the system shard included."""
    if not build.follows:
        rows = connection.execute("SELECT shard, position FROM ledger.heads").fetchall()
    else:
        rows = connection.execute(
            "SELECT shard, min(position) FROM read.positions WHERE projection = ANY(%s)"
            " GROUP BY shard",
            [list(build.models)],
        ).fetchall()
    return dict(sorted(rows))


def places(connection: Connection, build: Build, name: str) -> dict[int, positions.Place]:
    """Where one model of the build stands in each shard."""
    found = positions.places(connection, [name], build.schema)
    return {shard: each[0] for shard, each in found.items()}


def live_places(connection: Connection, name: str) -> dict[int, positions.Place]:
    """Where the model that is read stands in each shard."""
    found = positions.places(connection, [name], LIVE)
    return {shard: each[0] for shard, each in found.items()}


def _check_begun(connection: Connection, build: Build) -> None:
    """Raises ProjectionError (`not_begun`)."""
    begun = connection.execute(
        "SELECT count(DISTINCT projection) FROM read.positions WHERE projection = ANY(%s)",
        [list(build.models)],
    ).fetchone()
    if begun is None or begun[0] < len(build.models):
        raise ProjectionError(
            "not_begun",
            "a read model has never been folded, so there is nothing to compare with: run"
            " `points projections run --until-caught-up` first, under its own login",
        )


def _followed(connection: Connection, build: Build) -> bool:
    row = connection.execute(
        "SELECT bool_and(behind <= %s AND (folded > 0 OR behind = 0)) FROM ("
        "  SELECT sum(p.position) AS folded, sum(h.position - p.position) AS behind"
        "  FROM read.positions AS p JOIN ledger.heads AS h USING (shard)"
        "  WHERE p.projection = ANY(%s) GROUP BY p.projection) AS each",
        [FOLLOWED_EVENTS_MAX, list(build.models)],
    ).fetchone()
    return row is not None and bool(row[0])


def _in(build: Build, statement: str) -> sql.Composed:
    return sql.SQL(statement).format(schema=sql.Identifier(build.schema))


_TABLES = (
    """CREATE TABLE IF NOT EXISTS {schema}.builds (
        name text PRIMARY KEY, code text NOT NULL, follows boolean NOT NULL,
        begun_at timestamptz NOT NULL DEFAULT now())""",
    """CREATE TABLE IF NOT EXISTS {schema}.pages (
        name text NOT NULL, shard integer NOT NULL, since bigint NOT NULL DEFAULT 0, head bigint,
        system_position bigint, after uuid, folded bigint NOT NULL DEFAULT 0,
        done boolean NOT NULL DEFAULT false, PRIMARY KEY (name, shard))""",
    "CREATE TABLE IF NOT EXISTS {schema}.positions (LIKE read.positions INCLUDING ALL)",
    "GRANT SELECT, INSERT, UPDATE ON {schema}.pages, {schema}.positions TO points_app",
    "GRANT SELECT ON {schema}.builds TO points_app",
)
