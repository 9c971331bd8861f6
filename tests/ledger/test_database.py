"""What the database itself guards: the role, the chain, who may start on it."""

import psycopg
import pytest
from msgspec.structs import replace
from psycopg.errors import InsufficientPrivilege

from ledger.application import Ledger
from ledger.core.program.form import Program
from ledger.create import create_ledger
from ledger.errors import ChainBroken, LogWentBack, ProgramRefused, StartRefused
from ledger.migrate import migrate, revisions
from ledger.settings import Settings, load_settings
from ledger.sharding import SYSTEM_SHARD, shard_of
from tests.ledger.events import SHARDS, direct, purchase, survey
from tests.ledger.opened import opened, run

LOG_ROWS = ("ledger.events", "ledger.events_0", "ledger.inputs", "ledger.inputs_0", "ledger.ledger")


@pytest.mark.parametrize("table", LOG_ROWS)
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {}"])
def test_the_role_cannot_change_the_log(owner: psycopg.Connection, table: str, change: str) -> None:
    owner.execute("SET ROLE points_app")
    column = "one" if table == "ledger.ledger" else "shard"
    statement = change.format(table, column, column)
    with pytest.raises(InsufficientPrivilege):
        owner.execute(statement.encode())


def test_the_ledger_works_under_that_role(settings: Settings) -> None:
    async def test() -> None:
        async with opened(settings) as ledger, ledger._pool.connection() as connection:
            cursor = await connection.execute("SELECT current_user")
            assert await cursor.fetchone() == ("points_app",)

    run(test())


@pytest.mark.parametrize(
    ("tamper", "position"),
    [
        ("UPDATE ledger.events SET payload = payload || ' '::bytea WHERE position = 2", 2),
        ("UPDATE ledger.events SET member_id = 'm2' WHERE position = 3", 3),
        ("UPDATE ledger.events SET occurred_at = '2000-01-01' WHERE position = 1", 1),
        ("DELETE FROM ledger.events WHERE position = 2", 2),
        ("DELETE FROM ledger.events WHERE position = 3", 3),
        ("UPDATE ledger.heads SET hash = sha256('') WHERE position = 3", 3),
    ],
)
def test_a_changed_row_is_found(
    settings: Settings, owner: psycopg.Connection, tamper: str, position: int
) -> None:
    async def test() -> None:
        ledger = await Ledger.open(settings)
        try:
            await ledger.handle(direct(*(purchase("m1", f"o{n}") for n in range(3))))
            shard = shard_of("m1", SHARDS)
            assert (await ledger.verify_chain(shard)).position == 3
            owner.execute(tamper.encode())
            with pytest.raises(ChainBroken) as broken:
                await ledger.verify_chain(shard)
            assert broken.value.position == position
        finally:
            await ledger.close()

    run(test())


def test_a_database_that_lost_commits_is_not_appended_to(
    settings: Settings, owner: psycopg.Connection
) -> None:
    """What this process remembers of the account no longer happened: nothing may follow it."""

    async def test() -> None:
        ledger = await Ledger.open(settings)
        try:
            await ledger.handle(direct(purchase("m1", "o1")))
            before = owner.execute("SELECT position, hash, shard FROM ledger.heads").fetchall()
            await ledger.handle(direct(purchase("m1", "o2")))
            for position, last, shard in before:
                for table in ("events", "inputs"):
                    owner.execute(
                        f"DELETE FROM ledger.{table} WHERE shard = %s AND position > %s",
                        (shard, position),
                    )
                owner.execute(
                    "UPDATE ledger.heads SET position = %s, hash = %s WHERE shard = %s",
                    (position, last, shard),
                )
            with pytest.raises(LogWentBack):
                await ledger.handle(direct(purchase("m1", "o3")))
        finally:
            await ledger.close()
        async with opened(settings) as ledger:  # started again, it goes on from what is there
            await ledger.handle(direct(purchase("m1", "o3")))
            assert (await ledger.account("m1")).granted == 200

    run(test())


def test_recorded_at_never_steps_back(settings: Settings, owner: psycopg.Connection) -> None:
    async def test() -> None:
        async with opened(settings) as ledger:
            owner.execute("UPDATE ledger.heads SET recorded_at = '2100-01-01T00:00:00Z'")
            await ledger.handle(direct(survey("m1")))

    run(test())
    row = owner.execute(
        "SELECT extract(year FROM recorded_at)::int FROM ledger.events WHERE shard >= 0"
    ).fetchone()
    assert row == (2100,)


def test_creating_again_changes_nothing(
    url: str, owner: psycopg.Connection, program: Program
) -> None:
    before = owner.execute("SELECT * FROM ledger.heads ORDER BY shard").fetchall()
    again = create_ledger(url, program, SHARDS)
    assert again.program_id == "tests"
    assert owner.execute("SELECT * FROM ledger.heads ORDER BY shard").fetchall() == before
    assert migrate(url) == revisions()[-1]


def test_the_first_events_of_a_ledger(owner: psycopg.Connection, settings: Settings) -> None:
    types = owner.execute(
        "SELECT type FROM ledger.events WHERE shard = %s ORDER BY position", (SYSTEM_SHARD,)
    ).fetchall()
    assert types == [("LedgerCreated",), ("ProgramPublished",)]

    async def test() -> None:
        async with opened(settings) as ledger:
            (version,) = ledger.programs.versions
            assert version[1].form.program == "tests"

    run(test())


def open_with(url: str | None, **settings: object) -> StartRefused:
    """Opening with these settings must be refused."""
    values: dict[str, object] = {"shards": SHARDS, "partitions": 4} | settings

    async def test() -> None:
        ledger = await Ledger.open(load_settings({}, database_url=url, **values))
        await ledger.close()

    with pytest.raises(StartRefused) as refused:
        run(test())
    return refused.value


def test_the_wrong_start_is_refused(url: str, owner: psycopg.Connection, program: Program) -> None:
    assert open_with(None).code == "no_database"
    assert open_with("postgresql://nobody@127.0.0.1:1/x").code == "no_connection"
    assert open_with(url, shards=16).code == "other_shards"
    assert open_with(url, program_id="another").code == "other_program"
    assert create_ledger(url, program, SHARDS * 2, insist=False).shards == SHARDS
    with pytest.raises(StartRefused) as refused:
        create_ledger(url, program, SHARDS * 2)
    assert refused.value.code == "other_shards"
    for change, code in (
        ({"currency": "EUR"}, "other_currency"),
        ({"time_zone": "Europe/Paris"}, "other_time_zone"),
    ):
        with pytest.raises(ProgramRefused) as other:
            create_ledger(url, replace(program, **change), SHARDS)
        assert other.value.code == code
    owner.execute("UPDATE ledger.schema_version SET version_num = '9999'")
    assert open_with(url).code == "newer_schema"
    with pytest.raises(StartRefused, match="newer version"):
        migrate(url)
    owner.execute("UPDATE ledger.schema_version SET version_num = '0001'")
    if revisions()[-1] != "0001":
        assert open_with(url).code == "older_schema"


def test_an_empty_database_is_refused(
    admin: psycopg.Connection, url: str, program: Program
) -> None:
    name = url.rsplit("/", 1)[1] + "_empty"
    empty = url.rsplit("/", 1)[0] + "/" + name
    admin.execute(f"CREATE DATABASE {name}")
    try:
        assert open_with(empty).code == "no_ledger"
        with pytest.raises(StartRefused, match="points init PROGRAM"):
            create_ledger(empty, program, SHARDS)
        migrate(empty)
        assert open_with(empty).code == "no_ledger"
    finally:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
