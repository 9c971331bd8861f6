"""Building a read model anew from the log beside the one that is read, and exchanging them.

1. Tables of the same shape are made in another schema (`read_next`).
2. Every member's history is folded into them once, page by page, shard by shard, in as many
   processes as asked (projections.pages); then indexes are made.
3. What came meanwhile is folded, and in one snapshot every row is compared with what is read
   (projections.meeting, projections.comparing). Other rows than those that the log gives stop here,
   unless they are what the model was changed for.
4. The tables are exchanged in one transaction (projections.switching). What was read is kept.

All the while readers read, runners fold, the ledger appends. The same command goes on where one was
broken off; only comparing begins again.
"""

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import NamedTuple

import psycopg
from psycopg import Connection

from projections import builds, comparing, meeting, pages, parallel, runner, scratch, switching
from projections.builds import Build
from projections.comparing import NOTHING, Compared, Page
from projections.connection import connect
from projections.errors import LogDamaged, ProjectionError
from projections.folding import Step, no_step
from projections.log import SYSTEM_SHARD

NEXT = "read_next"
"""The schema in which read models are built."""

ALL = "all"
"""The name under which all read models are built in one pass over the log."""

REBUILD_LOCK = 0x4E455854
"""First half of the advisory lock that keeps two rebuilds of a model apart ("NEXT")."""

LOCK_SECONDS = 10.0
"""How long a rebuild waits for the one before: PostgreSQL notices within moments that a process
was killed."""

COMPARED_BEHIND_MAX = 50_000
"""A model that is read and is further behind the built one, in events, is not folded up to it in
order to be compared: that is done while nobody else folds, and would take seconds."""

ROUNDS_MAX = 20
"""Rounds of pages. Each takes a fraction of the time of the one before; a log that grows faster
than that is not caught up with, and what is left is folded in the log's order."""

Progress = Callable[[str, int, int], None]
"""Is told of the step under way, what is done of it and of how much."""


class Rebuilt(NamedTuple):
    """`events`: folded page by page. `compared` None: there was nothing to compare with."""

    events: int
    compared: Compared | None


def rebuild(
    database_url: str,
    name: str,
    progress: Progress | None = None,
    step: Step = no_step,
    *,
    jobs: int = 1,
    accept_differences: bool = False,
) -> Rebuilt:
    """Build the projection `name` anew and put it in the place of the one that is read; ALL: all of
    them, in one pass over the log and one exchange.

    Raises ProjectionError (`unknown_projection`, `not_owner`, `rebuild_running`, `rows_differ`,
    `not_caught_up`, `cannot_follow`, `readers_busy`, `old_transactions`), LogDamaged,
    psycopg.Error. After any of them the same call goes on from there.
    """
    told: Progress = progress or (lambda *_: None)
    build = _build(name)
    with _owning(database_url) as owner, _alone(owner, build):
        switching.check_followers(owner, build.tables())
        build = builds.begin(owner, build, instead=_others(build))
        step("rebuild.after_created")
        with connect(database_url) as connection:
            events = fold(database_url, owner, connection, build, told, step, jobs)
            following = meeting.Following(connection, build)
            following.catch_up()
            step("rebuild.after_caught_up")
            compared = _compared(
                database_url, connection, build, following, told, jobs, accept_differences
            )
            step("rebuild.after_compared")
            if compared is not None and compared.first is not None and not accept_differences:
                raise differ(name, compared)
            old = switching.transactions_now(owner)
            switching.wait_for(owner, old, lambda said: told(said, 0, 0))
            following.catch_up()
            told("exchanging", 0, 0)
            switching.switch(owner, build, following.follow, step)
        told("exchanged", 1, 1)
    return Rebuilt(events, compared)


def discard(database_url: str, name: str) -> bool:
    """Throw away a rebuild that was broken off; whether there was one.

    Raises ProjectionError (`unknown_projection`, `rebuild_running`).
    """
    build = _build(name)
    with _owning(database_url) as owner, _alone(owner, build):
        return builds.drop(owner, build)


def _build(name: str) -> Build:
    """Raises ProjectionError (`unknown_projection`)."""
    if name == ALL:
        return Build(NEXT, ALL, tuple(model.name for model in runner.read_models()))
    builds.models_of([name])
    return Build(NEXT, name, (name,))


def _others(build: Build) -> list[Build]:
    """Rebuilds of the same models under another name, of which this one takes the place."""
    return [_build(name) for name in build.models] if build.name == ALL else [_build(ALL)]


@contextmanager
def _alone(owner: Connection, build: Build) -> Iterator[None]:
    """With the locks of all its models. Raises ProjectionError (`rebuild_running`)."""
    with ExitStack() as stack:
        for name in build.models:
            stack.enter_context(alone(owner, name))
        yield


def restore(database_url: str, name: str) -> None:
    """The way back to what was read before the last rebuild. Raises ProjectionError (see
    switching.restore; `rebuild_running`)."""
    builds.models_of([name])
    with _owning(database_url) as owner, alone(owner, name):
        switching.restore(owner, name)


def drop_old(database_url: str, name: str) -> bool:
    """Drop what is kept for the way back; whether there was something. Raises ProjectionError
    (`unknown_projection`, `rebuild_running`)."""
    builds.models_of([name])
    with _owning(database_url) as owner, alone(owner, name):
        return switching.drop_old(owner, name)


@contextmanager
def _owning(database_url: str) -> Iterator[Connection]:
    """A session that may make and exchange tables. Raises ProjectionError (`not_owner`)."""
    with connect(database_url, owner=True) as owner:
        scratch.become_owner(owner)
        yield owner


@contextmanager
def alone(owner: Connection, name: str) -> Iterator[None]:
    """One rebuild of a model at a time, one replay at a time.

    Raises ProjectionError (`rebuild_running`).
    """
    deadline = time.monotonic() + LOCK_SECONDS
    key = [REBUILD_LOCK, name]
    while True:
        row = owner.execute("SELECT pg_try_advisory_lock(%s, hashtext(%s))", key).fetchone()
        if row is not None and row[0]:
            break
        if time.monotonic() > deadline:
            raise ProjectionError(
                "rebuild_running",
                f"another process is at work on the {name} built anew: wait for it, or end it;"
                " whoever comes next goes on where it stopped",
            )
        time.sleep(0.1)
    try:
        yield
    finally:
        if not owner.closed:
            owner.execute("SELECT pg_advisory_unlock(%s, hashtext(%s))", key)


def fold(
    url: str,
    owner: Connection,
    connection: Connection,
    build: Build,
    told: Progress,
    step: Step,
    jobs: int,
) -> int:
    """Go over all pages of all shards, as often as much has come meanwhile, and make the indexes;
    how many events were folded."""

    def tell() -> None:
        done = builds.progress(connection, build)
        told("folding", done.folded, done.total)

    def told_step(name: str) -> None:
        step(name)
        if name == "rebuild.after_page":
            tell()

    work = partial(pages.build_shard, url, build, stopping=parallel.stopping)
    if jobs == 1:
        work = partial(work, step=told_step)
    tell()
    for _ in range(ROUNDS_MAX):
        shards = pages.begin_rounds(connection, build)
        if not shards:
            break
        for _ in parallel.each(work, shards, jobs, tell):
            tell()
        step("rebuild.after_pages")
        told("making indexes", 0, 0)
        scratch.make_indexes(owner, build.schema, build.tables())
    # Once more: a process may have died between the last page and the last index.
    scratch.make_indexes(owner, build.schema, build.tables())
    step("rebuild.after_indexed")
    return builds.progress(connection, build).folded


def compare(
    url: str,
    connection: Connection,
    build: Build,
    following: meeting.Following,
    told: Progress,
    jobs: int,
    *,
    folding_live: bool,
) -> dict[str, Compared]:
    """Every row of every table of the build with what is read, as of one snapshot in which both
    stand at equal positions: by table. Raises ProjectionError (`not_caught_up`), LogDamaged,
    psycopg.Error.
    """
    total = _rows(connection, build)
    found = {table.name: NOTHING for table in build.tables()}
    given: deque[str] = deque()

    def noted(some: Iterable[Page]) -> Iterator[Page]:
        for page in some:
            given.append(page.table.name)
            yield page

    rows = 0
    told("comparing", 0, total)
    with meeting.snapshot(connection, following, folding_live=folding_live) as name:
        found_pages = comparing.pages(connection, build.schema, build.tables())
        if jobs == 1:
            work = partial(comparing.compare, connection, build.schema)
        else:
            work = partial(comparing.compare_elsewhere, url, build.role, name, build.schema)
        with closing(parallel.each(work, noted(found_pages), jobs)) as results:  # type: ignore[type-var]
            for part in results:
                table = given.popleft()
                found[table] = found[table].plus(part)
                rows += part.rows
                told("comparing", rows, max(total, rows))
    return found


def in_all(compared: Mapping[str, Compared]) -> Compared:
    """Of all tables, in their order."""
    total = NOTHING
    for part in compared.values():
        total = total.plus(part)
    return total


def differ(name: str, compared: Compared) -> ProjectionError:
    """The refusal to exchange what is not the same."""
    return ProjectionError(
        "rows_differ",
        f"{compared.differences} rows of {name} are not as the log gives them, first"
        f" {compared.first}; nothing was exchanged; with --accept-differences the rebuilt model"
        " takes the place of the one that is read",
    )


def _compared(
    url: str,
    connection: Connection,
    build: Build,
    following: meeting.Following,
    told: Progress,
    jobs: int,
    accept: bool,
) -> Compared | None:
    """None: the models that are read were never folded, or (only if differences are accepted)
    cannot be compared. Of several, one that was never folded is left out."""
    folded = tuple(name for name in build.models if _was_folded(connection, name))
    if not folded:
        return None
    if folded != build.models:
        build = build._replace(models=folded)
        following = meeting.Following(connection, build)
    if following.behind() > COMPARED_BEHIND_MAX:
        reason = "it is too far behind: run `points projections run --until-caught-up` first"
    else:
        try:
            return in_all(compare(url, connection, build, following, told, jobs, folding_live=True))
        except (LogDamaged, psycopg.errors.IntegrityError) as error:
            # By what is read: the same log has just been folded without it.
            reason = " ".join(str(error).split())
        except ProjectionError as error:
            if error.code != "not_caught_up":
                raise
            reason = error.message
    if accept:
        return None
    raise ProjectionError(
        "not_comparable",
        f"the rebuilt {build.name} cannot be compared with what is read ({reason}); nothing was"
        " exchanged; with --accept-differences it takes its place all the same",
    )


def _was_folded(connection: Connection, name: str) -> bool:
    live = builds.live_places(connection, name)
    return any(place.position for shard, place in live.items() if shard != SYSTEM_SHARD)


def _rows(connection: Connection, build: Build) -> int:
    """An estimate, by the planner's statistics."""
    row = connection.execute(
        "SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint FROM pg_class AS c"
        " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relname = ANY(%s)",
        [build.schema, [table.name for table in build.tables()]],
    ).fetchone()
    return 0 if row is None else int(row[0])
