"""The log folded from its beginning, and every row of the read models compared with that."""

import json
from collections.abc import Callable

import pytest
import typer
from typer.testing import CliRunner

from audit.replay import Replayed, drop, replay
from cli import audit_replay
from cli.audit import commands
from ledger.crash import CRASH_POINTS
from projections import pages, rebuild
from projections.errors import ProjectionError
from projections.runner import read_models
from tests.projections.conftest import Shop, shop, template
from tests.projections.growing import growing
from tests.projections.history import catch_up, dump, write_history
from tests.projections.log_writer import PROGRAM, day, program, purchase
from tests.projections.test_commands import write

__all__ = ["shop", "template"]  # fixtures

TABLES = [table.name for model in read_models() for table in model.tables]

CHANGES = {
    "balances": ("UPDATE read.balances SET debt = debt + 1 WHERE member_id = 'm3'", "debt"),
    "balance_changes": (
        """UPDATE read.balance_changes SET granted = granted + 5 WHERE (shard, position) =
        (SELECT shard, min(position) FROM read.balance_changes WHERE member_id = 'm3'
         GROUP BY shard)""",
        "granted",
    ),
    "open_lots": ("DELETE FROM read.open_lots WHERE member_id = 'm3'", None),
    "tier_intervals": (
        "INSERT INTO read.tier_intervals VALUES ('m3', '2001-01-01', '2001-02-01', 'gold')",
        None,
    ),
    "segment_intervals": (
        """UPDATE read.segment_intervals SET entered_at = entered_at - interval '1 microsecond'
        WHERE member_id = 'm3'""",
        None,
    ),
    "member_purchases": (
        """UPDATE read.member_purchases SET amount = amount + 1 WHERE (shard, position) =
        (SELECT shard, min(position) FROM read.member_purchases WHERE member_id = 'm3'
         GROUP BY shard)""",
        "amount",
    ),
}
"""What somebody changes by hand, and the column that it is seen by (None: the row)."""


def left(shop: Shop) -> bool:
    """Whether something lies in the auditors' schema, or was made elsewhere."""
    rows = shop.log.connection.execute(
        "SELECT nspname FROM pg_namespace WHERE nspname ~ '^(read|audit)'"
    ).fetchall()
    assert {row[0] for row in rows} == {"read", "audit_scratch"}
    row = shop.log.connection.execute(
        "SELECT FROM pg_class WHERE relnamespace = 'audit_scratch'::regnamespace LIMIT 1"
    ).fetchone()
    return row is not None


def test_every_row_of_every_table_is_compared(shop: Shop) -> None:
    write_history(shop.log, 41, inputs=120)
    shop.log.publish(program(PROGRAM.replace("2016-01-01", "2017-06-01")))
    catch_up(shop.session)
    before = dump(shop.session)
    done = replay(shop.url)
    assert done.equal
    assert done.first is None
    found = {name: c.rows for model in done.models for name, c in model.tables.items()}
    assert list(found) == TABLES
    for name, rows in found.items():
        row = shop.session.execute(f"SELECT count(*) FROM read.{name}".encode()).fetchone()
        assert row == (rows,)
    assert all(model.behind == 0 for model in done.models)
    assert dump(shop.session) == before
    assert not left(shop)


@pytest.mark.parametrize("table", CHANGES)
def test_a_changed_row_is_named(shop: Shop, table: str) -> None:
    write_history(shop.log, 42, inputs=80)
    catch_up(shop.session)
    statement, column = CHANGES[table]
    shop.session.execute(statement.encode())
    done = replay(shop.url)
    assert not done.equal
    assert done.first is not None
    assert done.first.table == table
    assert done.first.member_id == "m3"
    assert done.first.column == column
    wrong = [name for m in done.models for name, c in m.tables.items() if c.differences]
    assert wrong == [table]
    assert "m3" in str(done.first)
    if column is not None:
        assert done.first.live != done.first.built


def test_it_goes_on_while_everything_goes_on(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_ACCOUNTS", 3)
    monkeypatch.setattr(pages, "ROUND_EVENTS", 30)
    write_history(shop.log, 43, inputs=80)
    catch_up(shop.session)
    with growing(shop, 80):
        assert replay(shop.url).equal


def test_a_model_that_is_behind_is_compared_as_of_where_it_stands(shop: Shop) -> None:
    write_history(shop.log, 44, inputs=60)
    catch_up(shop.session)
    shop.log.take("m1", purchase("later", day(300)))
    done = replay(shop.url)
    assert done.equal
    assert all(model.behind > 0 for model in done.models)


class Stopped(Exception):
    """What stands for Ctrl-C."""


def stopped_at(point: str) -> Callable[[str], None]:
    def step(name: str) -> None:
        if name == point:
            raise Stopped

    return step


def test_stopped_at_each_step_it_goes_on(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "PAGE_ACCOUNTS", 2)
    write_history(shop.log, 45, inputs=60)
    catch_up(shop.session)
    before = dump(shop.session)
    for point in ("rebuild.after_page", "replay.after_folded", "replay.after_compared"):
        assert point in CRASH_POINTS
        with pytest.raises(Stopped):
            replay(shop.url, step=stopped_at(point))
    assert left(shop)
    assert replay(shop.url).equal
    assert not left(shop)
    assert dump(shop.session) == before


def test_read_models_that_went_back_since_are_replayed_from_the_beginning(shop: Shop) -> None:
    write_history(shop.log, 46, inputs=40)
    catch_up(shop.session)
    rebuild.rebuild(shop.url, "tiers")
    shop.log.take("m1", purchase("later", day(300)))
    catch_up(shop.session)
    with pytest.raises(Stopped):
        replay(shop.url, step=stopped_at("replay.after_folded"))
    rebuild.restore(shop.url, "tiers")
    done = replay(shop.url)
    assert done.equal
    assert [model.behind > 0 for model in done.models if model.projection == "tiers"] == [True]


def test_what_was_folded_can_be_kept_and_dropped(shop: Shop) -> None:
    write_history(shop.log, 47, inputs=30)
    catch_up(shop.session)
    assert replay(shop.url, keep=True).kept == "audit_scratch"
    row = shop.log.connection.execute("SELECT count(*) FROM audit_scratch.balances").fetchone()
    assert row is not None
    assert row[0] > 0
    # The next one does not believe what lies there.
    shop.log.connection.execute("UPDATE audit_scratch.balances SET debt = 7")
    assert replay(shop.url, keep=True).equal
    assert drop(shop.url)
    assert not drop(shop.url)
    assert not left(shop)


def test_several_processes_find_the_same(shop: Shop) -> None:
    write_history(shop.log, 48, members=20, inputs=80)
    catch_up(shop.session)
    shop.session.execute("UPDATE read.tiers SET reached = reached + 1 WHERE member_id = 'm7'")

    def told(done: Replayed) -> list[tuple[str, object]]:
        return [(name, c) for model in done.models for name, c in model.tables.items()]

    assert told(replay(shop.url, jobs=2)) == told(replay(shop.url))


def test_two_at_once_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    catch_up(shop.session)
    monkeypatch.setattr(rebuild, "LOCK_SECONDS", 0.2)

    def again(_: str) -> None:
        with pytest.raises(ProjectionError) as caught:
            replay(shop.url)
        assert caught.value.code == "rebuild_running"
        raise Stopped

    with pytest.raises(Stopped):
        replay(shop.url, step=again)


def test_the_command(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POINTS_DATABASE_URL", shop.url)
    write(shop)
    catch_up(shop.session)
    app = typer.Typer()
    app.add_typer(commands, name="audit")
    if not any(command.name == "replay" for command in commands.registered_commands):
        audit_replay.register(app)
    told = CliRunner().invoke(app, ["audit", "replay", "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["equal"] is True
    assert found["models"][0]["tables"]["balances"]["rows"] > 0
    assert found["decided"]["equal"] is True
    assert found["decided"]["decided"] > 0
    shop.session.execute("UPDATE read.balances SET granted = 7 WHERE member_id = 'anna'")
    told = CliRunner().invoke(app, ["audit", "replay", "--no-decide"])
    assert told.exit_code == 1
    assert "WRONG read.balances, member_id anna: granted is 7, by the log " in told.stdout
