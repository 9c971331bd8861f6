"""Folding the log from its beginning beside the read models, and comparing every row of them all.

What `points projections rebuild` does, without exchanging anything: every member's history is
folded once, by pages of accounts, into the tables of a scratch schema; then, in one snapshot of the
database in which both stand at the same position in every shard, each row of each table is
compared, and the first that differs is named with both values. Nobody stands still but for the
moment of that snapshot. A read model that is behind the log is compared as of where it stands.
"""

from typing import NamedTuple

from psycopg import Connection

from projections import builds, meeting, rebuild
from projections.builds import Build
from projections.comparing import Compared, Difference
from projections.connection import AUDITOR_ROLE, connect
from projections.errors import ProjectionError
from projections.folding import Step, no_step
from projections.rebuild import Progress
from projections.runner import read_models

SCRATCH = "audit_scratch"
"""The schema that is folded into: the auditors' own, made by `points migrate`."""

NAME = "replay"

BEGINNINGS_MAX = 2
"""How often it begins: once more when what a replay that was broken off had folded is ahead of the
read models, which went back since (`points projections restore`)."""


class ModelReplayed(NamedTuple):
    """One read model: `position` and `behind` in events, over all shards, as of which it was
    compared, and what was found in each of its tables."""

    projection: str
    position: int
    behind: int
    tables: dict[str, Compared]

    @property
    def compared(self) -> Compared:
        """Of all its tables."""
        return rebuild.in_all(self.tables)


class Replayed(NamedTuple):
    """`events`: folded, of all members. `kept`: the schema with what was folded."""

    events: int
    models: tuple[ModelReplayed, ...]
    kept: str | None

    @property
    def equal(self) -> bool:
        """Whether every row of every read model is what the log gives."""
        return not any(model.compared.differences for model in self.models)

    @property
    def first(self) -> Difference | None:
        """The first difference, in the order of models and tables."""
        return next((m.compared.first for m in self.models if m.compared.first), None)


def replay(
    database_url: str,
    *,
    jobs: int = 1,
    keep: bool = False,
    progress: Progress | None = None,
    step: Step = no_step,
) -> Replayed:
    """Fold the log anew and compare all read models. One that was broken off is gone on with.

    `keep`: leave what was folded; the next replay begins anew. Raises ProjectionError
    (`not_begun`, `rebuild_running`, `not_caught_up`, `went_back`), LogDamaged, psycopg.Error
    (InsufficientPrivilege: the login is no auditor's).
    """
    told: Progress = progress or (lambda *_: None)
    build = _build()
    with (
        connect(database_url, roles=_ROLES) as owner,
        rebuild.alone(owner, NAME),
        connect(database_url, roles=_ROLES) as connection,
    ):
        build, following = _begun(owner, connection, build)
        events = rebuild.fold(database_url, owner, connection, build, told, step, jobs)
        step("replay.after_folded")
        following.catch_up()
        found = rebuild.compare(
            database_url, connection, build, following, told, jobs, folding_live=False
        )
        models = _models(connection, build, found)
        step("replay.after_compared")
        if keep:
            builds.make_old(owner, build)
        else:
            builds.drop(owner, build)
    return Replayed(events, models, SCRATCH if keep else None)


def drop(database_url: str) -> bool:
    """Drop what a replay left: one that was broken off, or kept. Whether there was something.

    Raises ProjectionError (`rebuild_running`).
    """
    with connect(database_url, roles=_ROLES) as owner, rebuild.alone(owner, NAME):
        return builds.drop(owner, _build())


_ROLES = (AUDITOR_ROLE,)


def _build() -> Build:
    return Build(SCRATCH, NAME, tuple(model.name for model in read_models()), audits=True)


def _begun(
    owner: Connection, connection: Connection, build: Build
) -> tuple[Build, meeting.Following]:
    for _ in range(BEGINNINGS_MAX):
        begun = builds.begin(owner, build, always_follow=True)
        following = meeting.Following(connection, begun)
        if not following.behind():
            return begun, following
        builds.drop(owner, build)
    raise ProjectionError(
        "went_back",
        "the read models go back while they are replayed: let `points projections restore` end,"
        " and run this again",
    )


def _models(
    connection: Connection, build: Build, found: dict[str, Compared]
) -> tuple[ModelReplayed, ...]:
    heads: dict[int, int] = dict(
        connection.execute("SELECT shard, position FROM ledger.heads").fetchall()
    )
    models = []
    for model in build.read_models():
        places = builds.places(connection, build, model.name)
        position = sum(place.position for place in places.values())
        behind = sum(heads[shard] - place.position for shard, place in places.items())
        tables = {table.name: found[table.name] for table in model.tables}
        models.append(ModelReplayed(model.name, position, behind, tables))
    return tuple(models)
