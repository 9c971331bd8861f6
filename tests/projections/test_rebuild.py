"""A read model built anew beside the one that is read, and exchanged, while everything goes on."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from msgspec.structs import replace
from psycopg import Connection

from audit.replay import replay
from deploy import embedded
from ledger.crash import CRASH_POINTS
from ledger.create import create_ledger
from ledger.migrate import migrate
from ledger.sharding import ANONYMOUS_MEMBER
from projections import builds, pages, rebuild, runner, switching
from projections.balances import Balances
from projections.builds import Build
from projections.cache import MemberCache
from projections.connection import connect
from projections.errors import ProjectionError
from projections.folding import Folder
from projections.log import Entry
from projections.member import Member
from projections.rebuild import NEXT, Rebuilt
from projections.runner import Runner, read_models
from projections.system import System
from projections.tables import Writes
from projections.tiers import Tiers
from tests.projections.conftest import Shop
from tests.projections.growing import growing
from tests.projections.history import catch_up, dump, folded_anew, write_history
from tests.projections.log_writer import PROGRAM, SHARDS, Log, day, program, purchase

WAIT_SECONDS = 300.0

NAMES = tuple(model.name for model in read_models())

LATER = PROGRAM.replace("2016-01-01", "2017-10-01").replace("grace: P1M", "grace: P2M")


def built(shop: Shop, name: str, **options: object) -> Rebuilt:
    return rebuild.rebuild(shop.url, name, **options)  # type: ignore[arg-type]


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(ProjectionError) as caught:
        work()
    return caught.value.code


def schemas(shop: Shop) -> set[str]:
    rows = shop.log.connection.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'read%'"
    ).fetchall()
    return {row[0] for row in rows}


def shape(shop: Shop) -> list[tuple[object, ...]]:
    """All that the migrations made of the schema that readers read, but the rows."""
    return shop.log.connection.execute(
        """
        SELECT c.relname, c.relkind, c.relacl::text, obj_description(c.oid), c.reloptions,
               pg_get_userbyid(c.relowner),
               (SELECT array_agg((a.attname, a.atttypid, a.attnotnull, a.attcollation,
                        pg_get_expr(d.adbin, d.adrelid), col_description(c.oid, a.attnum),
                        a.attacl)::text
                        ORDER BY a.attnum)
                FROM pg_attribute a LEFT JOIN pg_attrdef d
                  ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
               (SELECT array_agg(pg_get_constraintdef(k.oid) ORDER BY k.conname)
                FROM pg_constraint k WHERE k.conrelid = c.oid),
               CASE WHEN c.relkind = 'i' THEN pg_get_indexdef(c.oid) END,
               CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END
        FROM pg_class c WHERE c.relnamespace = 'read'::regnamespace ORDER BY 1
        """
    ).fetchall()


def test_each_model_is_built_anew_and_nothing_else_changes(shop: Shop) -> None:
    write_history(shop.log, 4)
    for n in range(3):
        shop.log.take(ANONYMOUS_MEMBER, purchase(f"nobody{n}", day(n)))
    folder = catch_up(shop.session)
    first, made = dump(shop.session), shape(shop)
    assert first["sale_notes"].count("nobody") == 3
    for name in NAMES:
        done = built(shop, name)
        assert done.compared is not None
        assert (done.compared.differences, done.compared.first) == (0, None)
        assert done.compared.rows > 0
        assert dump(shop.session) == first
        assert shape(shop) == made
        assert schemas(shop) == {"read", "read_old"}
    write_history(shop.log, 5, inputs=20, first=160)
    catch_up(shop.session, folder)
    assert dump(shop.session) == folded_anew(shop)


def test_all_models_are_built_in_one_pass_and_exchanged_together(shop: Shop) -> None:
    write_history(shop.log, 4)
    folder = catch_up(shop.session)
    first, made = dump(shop.session), shape(shop)
    done = built(shop, rebuild.ALL)
    assert done.compared is not None
    assert done.compared.differences == 0
    own = [table.name for model in read_models() for table in model.tables]
    assert done.compared.rows == sum(len(first[name].splitlines()) for name in own)
    assert (dump(shop.session), shape(shop)) == (first, made)
    assert schemas(shop) == {"read", "read_old"}
    write_history(shop.log, 5, inputs=20, first=160)
    catch_up(shop.session, folder)
    assert dump(shop.session) == folded_anew(shop)
    for name in NAMES:
        rebuild.restore(shop.url, name)
    catch_up(shop.session)
    assert dump(shop.session) == folded_anew(shop)


def test_of_all_models_one_that_was_never_folded_is_not_compared(shop: Shop) -> None:
    write_history(shop.log, 4)
    Runner(shop.url, [Balances()]).run(until_caught_up=True)
    done = built(shop, rebuild.ALL)
    assert done.compared is not None
    assert done.compared.rows > 0
    assert dump(shop.session) == folded_anew(shop)


def test_a_rebuild_of_all_takes_the_place_of_one_that_was_broken_off(shop: Shop) -> None:
    write_history(shop.log, 4)
    catch_up(shop.session)
    first = dump(shop.session)

    def step(name: str) -> None:
        if name == "rebuild.after_page":
            raise Stopped

    for broken, whole in (("tiers", rebuild.ALL), (rebuild.ALL, "segments")):
        with pytest.raises(Stopped):
            built(shop, broken, step=step)
        done = built(shop, whole)
        assert done.compared is not None
        assert done.compared.differences == 0
        assert not rebuild.discard(shop.url, broken)
        assert dump(shop.session) == first


def test_a_program_published_meanwhile_is_seen(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    write_history(shop.log, 4)
    catch_up(shop.session)
    monkeypatch.setattr(pages, "PAGE_ACCOUNTS", 1)

    def step(name: str, passed: list[str] = []) -> None:  # noqa: B006
        passed.append(name)
        if passed.count("rebuild.after_page") == 3 and name == "rebuild.after_page":
            shop.log.publish(program(LATER))

    done = built(shop, "segments", step=step)
    assert done.compared is not None
    assert done.compared.differences == 0
    catch_up(shop.session)
    assert dump(shop.session) == folded_anew(shop)


def test_what_grew_much_meanwhile_is_gone_over_once_more(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_history(shop.log, 4, inputs=60)
    catch_up(shop.session)
    monkeypatch.setattr(pages, "ROUND_EVENTS", 0)
    monkeypatch.setattr(pages, "PAGE_ACCOUNTS", 2)
    grown: list[str] = []

    def step(name: str) -> None:
        if name == "rebuild.after_indexed" and not grown:
            grown.append(name)
            write_history(shop.log, 6, inputs=40, first=60)
            shop.log.publish(program(LATER))
            catch_up(shop.session)

    done = built(shop, "balances", step=step)
    assert done.compared is not None
    assert done.compared.differences == 0
    assert done.events > 60
    assert dump(shop.session) == folded_anew(shop)


@pytest.mark.parametrize(
    ("members", "each"),
    [
        pytest.param(60, 8, id="some"),
        pytest.param(1_200, 12, id="many", marks=pytest.mark.long),
    ],
)
def test_every_event_is_folded_once_however_many_members_there_are(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, members: int, each: int
) -> None:
    """In the log's order, with more members than in memory, nearly each event would find its
    member forgotten."""
    shop.log.take_many(
        (f"m{n % members}", purchase(f"o{n}", day(3 * n / members))) for n in range(members * each)
    )
    catch_up(shop.session)
    row = shop.session.execute("SELECT count(*) FROM ledger.events WHERE shard >= 0").fetchone()
    assert row is not None
    folds = 0
    fold = Member.fold

    def counted(self: Member, entry: Entry, event: object) -> None:
        nonlocal folds
        folds += 1
        fold(self, entry, event)  # type: ignore[arg-type]

    monkeypatch.setattr(Member, "fold", counted)
    monkeypatch.setattr(pages, "PAGE_ACCOUNTS", max(7, members // 20))
    assert built(shop, "balances").events == row[0]
    assert folds == row[0]
    folds = 0
    shop.session.execute("TRUNCATE read.tiers, read.tier_intervals")
    shop.session.execute("UPDATE read.positions SET position = 0 WHERE projection = 'tiers'")
    # As many events between two of a member as there are members.
    catch_up(shop.session, Folder([Tiers()], MemberCache(5), batch_events=members // 8))
    assert folds > each / 3 * row[0], "in the log's order it is more, the more the longer"


@contextmanager
def readers(shop: Shop, seen: list[BaseException]) -> Iterator[list[int]]:
    """Sessions that read all the time, by prepared statements, views, functions and in long
    transactions. No answer is ever less than one before."""
    stop = threading.Event()
    counts: list[int] = [0]

    def fewest(connection: Connection, least: list[int]) -> None:
        found = []
        for query in (
            "SELECT count(*) FROM read.balances",
            "SELECT count(*) FROM read.balance_changes",
            "SELECT count(*) FROM read.balance_at('2050-01-01')",
            "SELECT count(*) FROM read.tiers_now",
            "SELECT count(DISTINCT member_id) FROM read.lots JOIN read.accounts USING (member_id)",
            "SELECT count(*) FROM read.accounts",
        ):
            row = connection.execute(query.encode(), prepare=True).fetchone()
            assert row is not None
            found.append(row[0])
        # Lots also go; that there is one member with any at all is what can be said.
        assert found[4] > 0
        found[4] = 0
        assert all(now >= before for now, before in zip(found, least, strict=True)), (found, least)
        least[:] = found
        counts[0] += 1

    def read(isolation: psycopg.IsolationLevel | None) -> None:
        try:
            with psycopg.connect(shop.url, autocommit=isolation is None) as connection:
                connection.isolation_level = isolation
                connection.execute("SET ROLE points_reader")
                connection.commit()
                least = [0] * 6
                while not stop.is_set():
                    fewest(connection, least)
                    time.sleep(0.01)
                    if isolation is not None:
                        fewest(connection, least)
                        connection.commit()
        except BaseException as error:
            seen.append(error)

    threads = [
        threading.Thread(target=read, args=[isolation])
        for isolation in (None, None, psycopg.IsolationLevel.REPEATABLE_READ)
    ]
    for thread in threads:
        thread.start()
    try:
        yield counts
    finally:
        stop.set()
        for thread in threads:
            thread.join(WAIT_SECONDS)


def test_readers_the_runner_and_who_appends_go_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "PAGE_ACCOUNTS", 3)
    monkeypatch.setattr(pages, "ROUND_EVENTS", 30)
    write_history(shop.log, 11, inputs=120)
    catch_up(shop.session)
    failures: list[BaseException] = []
    with readers(shop, failures) as counts, growing(shop, 120):
        for name in ("balances", "tiers", "balances"):
            before = counts[0]
            done = built(shop, name)
            assert done.compared is not None
            assert done.compared.differences == 0
            assert counts[0] > before
    assert failures == []
    catch_up(shop.session)
    assert dump(shop.session) == folded_anew(shop)


def test_an_old_transaction_never_sees_a_half_built_model(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began before the model was built, and reads it for the first time after all was done."""
    write_history(shop.log, 12, inputs=60)
    catch_up(shop.session)
    with psycopg.connect(shop.url) as old:
        old.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        old.execute("SELECT 1")
        with monkeypatch.context() as soon:
            soon.setattr(switching, "OLD_TRANSACTIONS_SECONDS", 0.3)
            assert refused(lambda: built(shop, "balances")) == "old_transactions"
        row = old.execute("SELECT count(*) FROM read.balances").fetchone()
        assert row is not None
        assert row[0] > 0
    assert built(shop, "balances").events > 0


def test_who_reads_for_long_keeps_the_exchange_waiting_and_nobody_else(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_history(shop.log, 12, inputs=60)
    catch_up(shop.session)
    first = dump(shop.session)
    monkeypatch.setattr(switching, "TRIES", 2)
    monkeypatch.setattr(switching, "PAUSE_SECONDS", 0.1)
    with psycopg.connect(shop.url) as reader:

        def step(name: str) -> None:
            if name == "rebuild.after_compared":
                monkeypatch.setattr(switching, "wait_for", lambda *_: None)
                reader.execute("SELECT * FROM read.balances_now")

        assert refused(lambda: built(shop, "balances", step=step)) == "readers_busy"
        assert dump(shop.session) == first
    assert NEXT in schemas(shop)
    built(shop, "balances")
    assert dump(shop.session) == first


class Stopped(Exception):
    """What stands for Ctrl-C."""


def test_grants_are_those_of_the_moment_of_the_exchange(shop: Shop) -> None:
    """A login that may see single columns only sees them after a rebuild, and no more; what was
    granted or revoked while a model was built, or before the way back, counts."""
    catch_up(shop.session)
    owner = shop.log.connection

    def do(statement: str) -> None:
        owner.execute(statement.encode())

    guest = f"guest_{uuid4().hex[:8]}"
    do(f"CREATE ROLE {guest}")
    try:
        do(f"GRANT SELECT (member_id, tier), UPDATE (tier) ON read.tiers TO {guest}")

        def step(name: str) -> None:
            if name == "rebuild.after_created":
                do(f"REVOKE UPDATE (tier) ON read.tiers FROM {guest}")
                do(f"GRANT SELECT ON read.tier_intervals TO {guest} WITH GRANT OPTION")

        def grants() -> list[tuple[object, ...]]:
            return owner.execute(
                "SELECT table_name, column_name, privilege_type, is_grantable"
                " FROM information_schema.column_privileges"
                " WHERE table_schema = 'read' AND grantee = %s"
                " AND (table_name, column_name) IN"
                " (('tiers', 'member_id'), ('tiers', 'tier'), ('tiers', 'reached'),"
                "  ('tier_intervals', 'tier')) ORDER BY 1, 2, 3",
                [guest],
            ).fetchall()

        built(shop, "tiers", step=step)
        assert grants() == [
            ("tier_intervals", "tier", "SELECT", "YES"),
            ("tiers", "member_id", "SELECT", "NO"),
            ("tiers", "tier", "SELECT", "NO"),
        ]
        do(f"REVOKE ALL ON read.tiers, read.tier_intervals FROM {guest}")
        rebuild.restore(shop.url, "tiers")
        assert grants() == []
        made = shape(shop)
        rebuild.restore(shop.url, "tiers")
        assert shape(shop) == made
    finally:
        do(f"DROP OWNED BY {guest}")
        do(f"DROP ROLE {guest}")


def test_positions_that_a_migration_gave_a_column_are_exchanged(shop: Shop) -> None:
    write_history(shop.log, 14, inputs=20)
    catch_up(shop.session)
    built(shop, "tiers")
    with pytest.raises(Stopped):
        built(shop, "balances", step=_stop_at_once)
    shop.log.connection.execute("ALTER TABLE read.positions ADD note text")
    built(shop, "tiers")
    rebuild.restore(shop.url, "tiers")
    built(shop, "balances")
    assert dump(shop.session) == folded_anew(shop)


def _stop_at_once(_: str) -> None:
    raise Stopped


REBUILD_POINTS = [name for name in CRASH_POINTS if name.startswith("rebuild.")]


def test_stopped_at_each_step_it_goes_on_there(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_ACCOUNTS", 2)
    write_history(shop.log, 13, inputs=60)
    catch_up(shop.session)
    first = dump(shop.session)
    for point in REBUILD_POINTS:

        def step(name: str, point: str = point) -> None:
            if name == point:
                raise Stopped

        with pytest.raises(Stopped):
            built(shop, "tiers", step=step)
        assert dump(shop.session) == first
    assert schemas(shop) == {"read", "read_old"}


def test_what_was_folded_is_not_folded_again(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_ACCOUNTS", 2)
    write_history(shop.log, 13, inputs=60)
    catch_up(shop.session)
    passed = 0

    def step(name: str) -> None:
        nonlocal passed
        passed += name == "rebuild.after_page"
        if passed == 4:
            raise Stopped

    with pytest.raises(Stopped):
        built(shop, "tiers", step=step)
    found = builds.progress(shop.log.connection, Build(NEXT, "tiers", ("tiers",)))
    assert 0 < found.folded < found.total
    folds = 0
    fold = Member.fold

    def counted(self: Member, entry: Entry, event: object) -> None:
        nonlocal folds
        folds += 1
        fold(self, entry, event)  # type: ignore[arg-type]

    monkeypatch.setattr(Member, "fold", counted)
    assert built(shop, "tiers").events == found.folded + folds


def test_other_code_begins_anew(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    write_history(shop.log, 13, inputs=40)
    catch_up(shop.session)

    def step(name: str) -> None:
        if name == "rebuild.after_pages":
            raise Stopped

    with pytest.raises(Stopped):
        built(shop, "tiers", step=step)
    with connect(shop.url) as session:
        session.execute("UPDATE read_next.tiers SET tier = 'wrong'")
    assert refused(lambda: built(shop, "tiers")) == "rows_differ"
    monkeypatch.setattr(builds, "code", lambda: "other")
    done = built(shop, "tiers")
    assert done.compared is not None
    assert done.compared.differences == 0


def test_a_changed_row_is_named_and_nothing_is_exchanged(shop: Shop) -> None:
    write_history(shop.log, 14, inputs=60)
    catch_up(shop.session)
    right = dump(shop.session)
    shop.session.execute("UPDATE read.balances SET granted = granted + 1 WHERE member_id = 'm3'")
    shop.session.execute("DELETE FROM read.open_lots WHERE member_id = 'm5'")
    with pytest.raises(ProjectionError) as caught:
        built(shop, "balances")
    assert caught.value.code == "rows_differ"
    assert "read.balances, member_id m3: granted is " in caught.value.message
    assert dump(shop.session) != right
    done = built(shop, "balances", accept_differences=True)
    assert done.compared is not None
    assert done.compared.differences > 1
    assert done.compared.first is not None
    assert done.compared.first.column == "granted"
    assert done.compared.first.built + 1 == done.compared.first.live
    assert dump(shop.session) == right


def test_rows_that_the_log_does_not_give_are_found(shop: Shop) -> None:
    write_history(shop.log, 14, inputs=30)
    catch_up(shop.session)
    shop.session.execute(
        "INSERT INTO read.tier_intervals VALUES ('zz', '2017-01-01', NULL, 'gold')"
    )
    with pytest.raises(ProjectionError) as caught:
        built(shop, "tiers")
    assert "member_id zz" in caught.value.message
    assert "does not follow from the log" in caught.value.message


class Doubled(Balances):
    """A read model that was changed: it shows twice as much."""

    def show(self, member: Member, system: System, writes: Writes) -> None:
        """Twice the granted points."""
        super().show(member, system, writes)

    def note(self, entry: Entry, event: object, member: Member, writes: Writes) -> None:
        """Everything that happened, twice as much."""
        super().note(entry, replace(event), member, _Twice(writes))  # type: ignore[type-var, arg-type]


class _Twice:
    def __init__(self, writes: Writes) -> None:
        self._writes = writes

    def append(self, into: object, row: tuple[object, ...]) -> None:
        *others, granted, debt = row
        assert isinstance(granted, int)
        self._writes.append(into, (*others, 2 * granted, debt))  # type: ignore[arg-type]


def test_a_changed_model_takes_the_place_and_the_way_back(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_history(shop.log, 15, inputs=60)
    folder = catch_up(shop.session)
    first = dump(shop.session)
    monkeypatch.setattr(runner, "read_models", lambda: [Doubled(), *read_models()[1:]])
    assert refused(lambda: built(shop, "balances")) == "rows_differ"
    assert dump(shop.session) == first
    built(shop, "balances", accept_differences=True)
    changed = dump(shop.session)
    assert changed["balance_changes"] != first["balance_changes"]
    rebuild.restore(shop.url, "balances")
    assert dump(shop.session) == first
    rebuild.restore(shop.url, "balances")
    assert dump(shop.session) == changed
    rebuild.restore(shop.url, "balances")
    # What is read again is folded on from where it stood, by a runner that was there all along.
    monkeypatch.undo()
    write_history(shop.log, 16, inputs=20, first=60)
    catch_up(shop.session, folder)
    assert dump(shop.session) == folded_anew(shop)
    assert rebuild.drop_old(shop.url, "balances")
    assert not rebuild.drop_old(shop.url, "balances")
    assert schemas(shop) == {"read"}
    assert refused(lambda: rebuild.restore(shop.url, "balances")) == "nothing_kept"


def test_a_model_that_was_never_folded_is_there_at_once(shop: Shop) -> None:
    write_history(shop.log, 17, inputs=60)
    assert built(shop, "segments").compared is None
    found = dump(shop.session)
    assert found["segment_intervals"]
    assert found["balances"] == ""
    catch_up(shop.session)
    assert dump(shop.session) == folded_anew(shop)


def test_one_that_cannot_be_folded_can_be_replaced(shop: Shop) -> None:
    write_history(shop.log, 17, inputs=60)
    catch_up(shop.session)
    right = dump(shop.session)
    shop.session.execute(
        "UPDATE read.positions SET position = 1 WHERE projection = 'balances' AND shard = 2"
    )
    with pytest.raises(ProjectionError) as caught:
        # Whoever folds it meets rows that are there already.
        rebuild.rebuild(shop.url, "balances", step=_behind_the_log(shop))
    assert caught.value.code == "not_comparable"
    assert built(shop, "balances", accept_differences=True).compared is None
    catch_up(shop.session)
    assert dump(shop.session) == right


def _behind_the_log(shop: Shop) -> Callable[[str], None]:
    def step(name: str) -> None:
        if name == "rebuild.after_caught_up":
            # As if what is built were ahead: from then on it follows the log's heads.
            folder = Folder([Balances()], schema=NEXT)
            while folder.cycle(shop.session):
                pass

    return step


def test_two_at_once_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    write_history(shop.log, 18, inputs=20)
    catch_up(shop.session)
    monkeypatch.setattr(rebuild, "LOCK_SECONDS", 0.2)
    with connect(shop.url, owner=True) as other, rebuild.alone(other, "tiers"):
        assert refused(lambda: built(shop, "tiers")) == "rebuild_running"
        built(shop, "segments")


def test_several_processes_build_the_same(shop: Shop) -> None:
    write_history(shop.log, 19, members=30, inputs=150)
    catch_up(shop.session)
    first = dump(shop.session)
    seen: list[tuple[str, int, int]] = []
    done = built(shop, "balances", progress=lambda *told: seen.append(told), jobs=2)
    assert done.compared is not None
    assert (done.compared.differences, done.compared.rows > 100) == (0, True)
    assert dump(shop.session) == first
    assert ("folding", done.events, done.events) in seen


def test_what_is_bound_to_a_table_and_cannot_follow_is_refused(shop: Shop) -> None:
    write_history(shop.log, 20, inputs=20)
    catch_up(shop.session)
    owner = shop.log.connection
    owner.execute("CREATE MATERIALIZED VIEW stale AS SELECT * FROM read.balances")
    assert refused(lambda: built(shop, "balances")) == "cannot_follow"
    owner.execute("DROP MATERIALIZED VIEW stale")
    owner.execute(
        "CREATE VIEW mine WITH (security_barrier) AS SELECT member_id, available + 1 AS more"
        " FROM read.balances"
    )
    owner.execute("GRANT SELECT ON mine TO points_reader")
    before = shop.log.connection.execute("TABLE mine").fetchall()
    built(shop, "balances")
    built(shop, "balances")
    assert sorted(owner.execute("TABLE mine").fetchall()) == sorted(before)
    row = owner.execute(
        "SELECT reloptions, relacl::text FROM pg_class WHERE relname = 'mine'"
    ).fetchone()
    assert row is not None
    assert row[0] == ["security_barrier=true"]
    assert "points_reader" in row[1]


def test_a_rebuild_that_was_broken_off_can_be_thrown_away(shop: Shop) -> None:
    write_history(shop.log, 20, inputs=20)
    catch_up(shop.session)

    def step(name: str) -> None:
        if name == "rebuild.after_pages":
            raise Stopped

    with pytest.raises(Stopped):
        built(shop, "tiers", step=step)
    assert rebuild.discard(shop.url, "tiers")
    assert not rebuild.discard(shop.url, "tiers")
    assert schemas(shop) == {"read"}


def test_who_does_not_own_the_tables_is_told(shop: Shop) -> None:
    owner = shop.log.connection
    owner.execute("DROP ROLE IF EXISTS rebuild_guest")
    owner.execute("CREATE ROLE rebuild_guest LOGIN PASSWORD 'guest' IN ROLE points_app")
    try:
        url = f"postgresql://rebuild_guest:guest@{shop.url.partition('@')[2]}"
        assert refused(lambda: rebuild.rebuild(url, "tiers")) == "not_owner"
    finally:
        owner.execute("DROP ROLE rebuild_guest")


@pytest.fixture
def owned(services: embedded.Services) -> Iterator[tuple[str, str]]:
    """A ledger as production has it, and no superuser near: the URL of the login that owns it, and
    that of an operator who is a member of this one."""
    names = owner, operator, database = [f"{each}_{uuid4().hex[:8]}" for each in OWNED]
    address = services.database_url.rpartition("/")[0].partition("@")[2]
    with psycopg.connect(services.database_url, autocommit=True) as admin:
        for statement in (
            f"CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD 'o'",
            f"CREATE ROLE {operator} LOGIN PASSWORD 'o' IN ROLE {owner}",
            f"CREATE DATABASE {database} OWNER {owner}",
            # On this server another ledger's owner made them.
            f"GRANT points_app, points_reader, points_auditor TO {owner} WITH ADMIN OPTION",
        ):
            admin.execute(statement.encode())
        urls = [f"postgresql://{name}:o@{address}/{database}" for name in names[:2]]
        migrate(urls[0])
        create_ledger(urls[0], program(), SHARDS)
        yield urls[0], urls[1]
        admin.execute(f"DROP DATABASE {database} WITH (FORCE)".encode())
        for name in (operator, owner):
            admin.execute(f"DROP OWNED BY {name}".encode())
            admin.execute(f"DROP ROLE {name}".encode())


OWNED = ("owner", "operator", "owned")


def test_an_operator_who_is_a_member_of_the_owner_rebuilds(owned: tuple[str, str]) -> None:
    owner_url, url = owned
    with psycopg.connect(owner_url, autocommit=True) as owner:
        Log(owner, program()).take("m1", purchase("o1", day(1)))
        Runner(owner_url).run(until_caught_up=True)
        for name in NAMES:
            assert rebuild.rebuild(url, name, jobs=2 if name == "balances" else 1).events == 1
        rebuild.restore(url, "tiers")
        assert rebuild.drop_old(url, "tiers")
        assert rebuild.rebuild(owner_url, "tiers").events == 1
        owners = owner.execute(
            "SELECT DISTINCT pg_get_userbyid(relowner) = current_user FROM pg_class"
            " WHERE relnamespace = 'read'::regnamespace"
        ).fetchall()
        assert owners == [(True,)]
    assert replay(owner_url).equal
