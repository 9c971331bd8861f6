"""`points audit verify`: a whole ledger is whole; it can be stopped, resumed, used by others.

What it finds in a damaged one: test_damage.py.
"""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege

from audit import models_check, requests_check, shard_check
from audit.errors import AuditRefused
from audit.report import Report
from audit.verify import verify
from ledger.application import Ledger
from ledger.settings import load_settings
from projections.runner import Runner
from schemas.decisions import AccountEvent
from tests.ledger.events import PARTITIONS, SHARDS, direct, purchase
from tests.streams.workers import Stage

Owner = psycopg.Connection[Any]


def counted(report: Report) -> tuple[int, int, int]:
    """Events, dedupe rows and events folded."""
    return (
        sum(shard.events for shard in report.shards),
        sum(shard.inputs for shard in report.shards),
        sum(shard.folded for shard in report.shards),
    )


def in_the_log(owner: Owner) -> tuple[int, int, int]:
    """The same, by the database."""
    row = owner.execute(
        "SELECT (SELECT count(*) FROM ledger.events), (SELECT count(*) FROM ledger.inputs),"
        " (SELECT count(*) FROM ledger.events WHERE shard >= 0)"
    ).fetchone()
    assert row is not None
    return row[0], row[1], row[2]


def test_a_whole_ledger_is_whole(url: str, owner: Owner) -> None:
    """Every kind of input is in it; processes of their own look at its shards."""
    report = verify(url, jobs=2)
    assert report.findings == []
    assert report.ok
    assert report.ended
    assert [shard.shard for shard in report.shards] == list(range(-1, SHARDS))
    assert counted(report) == in_the_log(owner)
    assert sum(report.postings.values()) == 0
    kinds = {row[0] for row in owner.execute("SELECT DISTINCT type FROM ledger.events")}
    every = {kind.__name__ for kind in get_args(AccountEvent)}
    assert every - kinds == set(), "the history has every kind of event"


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many steps in a small ledger."""
    monkeypatch.setattr(shard_check, "STRETCH_EVENTS", 8)
    monkeypatch.setattr(models_check, "PAGE_ACCOUNTS", 3)
    monkeypatch.setattr(requests_check, "FETCHED_AT_ONCE", 1)


@pytest.mark.usefixtures("small_steps")
def test_stopped_after_each_step_it_goes_on_and_comes_to_its_end(
    url: str, owner: Owner, tmp_path: Path
) -> None:
    file = tmp_path / "audit.state"
    stops = 0
    seen = (0, 0, 0)
    while True:
        report = verify(url, jobs=1, resume=file, stopping=lambda: True)
        seen = tuple(a + b for a, b in zip(seen, counted(report), strict=True))  # type: ignore[assignment]
        assert report.findings == []
        if report.ended:
            break
        assert not report.ok
        stops += 1
        assert stops < 80
    assert stops > 10
    events, inputs, folded = in_the_log(owner)
    assert seen[:2] == (events, inputs)
    assert seen[2] == folded
    assert report.postings == verify(url, jobs=1).postings


def test_what_came_since_is_verified_from_where_it_ended(
    url: str, owner: Owner, tmp_path: Path
) -> None:
    file = tmp_path / "audit.state"
    before = {shard.shard: shard.position for shard in verify(url, jobs=1, resume=file).shards}

    async def more() -> None:
        settings = load_settings({}, database_url=url, shards=SHARDS, partitions=PARTITIONS)
        ledger = await Ledger.open(settings)
        await ledger.handle(direct(purchase("m1", "later", at=103)))
        await ledger.close()

    asyncio.run(more())
    report = verify(url, jobs=1, resume=file)
    assert report.ok, "the read models are behind, and right up to where they are"
    assert {shard.shard: shard.since for shard in report.shards} == before
    assert sum(shard.events for shard in report.shards) in (1, 2)
    owner.execute("UPDATE ledger.events SET hash = sha256('x') WHERE (shard, position) = (-1, 4)")
    (finding,) = verify(url, jobs=1, resume=file).findings
    assert (finding.code, finding.shard, finding.position) == ("verified_changed", -1, 4)


def test_models_at_several_positions_are_each_compared(url: str, owner: Owner) -> None:
    Runner(url).run(until_caught_up=True)
    owner.execute("TRUNCATE read.tiers, read.tier_intervals")
    owner.execute("UPDATE read.positions SET position = 0 WHERE projection = 'tiers'")
    owner.execute(
        "UPDATE read.positions SET refresh_target = 9 WHERE projection = 'segments' AND shard = 0"
    )
    report = verify(url, jobs=1)
    assert report.ok
    assert [s.shard for s in report.shards if s.not_compared] == [0]
    owner.execute("UPDATE read.balances SET granted = granted + 1 WHERE member_id = 'm1'")
    assert [f.table for f in verify(url, jobs=1).findings] == ["read.balances"]
    assert verify(url, jobs=1, read_models=False).ok


def test_a_state_of_another_ledger_is_refused(url: str, owner: Owner, tmp_path: Path) -> None:
    file = tmp_path / "audit.state"
    verify(url, jobs=1, shards=[0], read_models=False, resume=file)
    file.write_text(file.read_text().replace('"ledger_id": "', '"ledger_id": "0'))
    for content in (file.read_text(), "{}"):
        file.write_text(content)
        with pytest.raises(AuditRefused) as refused:
            verify(url, jobs=1, resume=file)
        assert refused.value.code == "other_audit"
    with pytest.raises(AuditRefused, match="no shard 77"):
        verify(url, shards=[77])


# --- the command ----------------------------------------------------------------------------------


def test_the_command_tells_what_it_finds(url: str, owner: Owner, tmp_path: Path) -> None:
    stage = Stage(url, "localhost:1")  # nobody asks Kafka
    done = stage.points("audit", "verify", "--jobs", "1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "nothing is wrong"
    owner.execute("UPDATE ledger.events SET version = 99 WHERE (shard, position) = (0, 3)")
    owner.execute("UPDATE read.balances SET available = 7 WHERE shard = 1")
    file = tmp_path / "audit.html"
    done = stage.points("audit", "verify", "--jobs", "1", "--json", "--html", str(file))
    assert done.returncode == 1
    findings = [f for shard in json.loads(done.stdout)["shards"] for f in shard["findings"]]
    assert [(f["code"], f["shard"], f.get("position")) for f in findings] == [
        ("row_changed", 0, 3),
        ("read_row_changed", 1, None),
    ]
    page = file.read_text(encoding="utf-8")
    assert "ledger.events, shard 0, position 3" in page
    assert "available is 7, the log says" in page
    assert "http" not in page, "nothing of the page comes from elsewhere"
    done = stage.points("audit", "verify", "--jobs", "1", "--shard", "0")
    assert done.returncode == 1
    assert "WRONG ledger.events, shard 0, position 3" in done.stdout


# --- the auditor ----------------------------------------------------------------------------------


@pytest.fixture
def auditor(url: str, owner: Owner) -> Iterator[str]:
    """The URL for a login that is an auditor's and nothing else."""
    name = f"auditor_{uuid4().hex[:8]}"
    owner.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD 'a'").format(sql.Identifier(name)))
    owner.execute(sql.SQL("GRANT points_auditor TO {}").format(sql.Identifier(name)))
    yield make_conninfo(url, user=name, password="a")
    owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


SEEN = (
    "SELECT * FROM ledger.events",
    "SELECT * FROM ledger.inputs",
    "SELECT * FROM ledger.heads",
    "SELECT * FROM read.balances_now",
    "SELECT * FROM read.progress",
    "SELECT id, topic.code, path FROM ledger.dead_letters AS topic",
    "SELECT reward_id, number, position FROM ledger.voucher_codes",
    "SELECT * FROM ledger.command_clashes",
)
HIDDEN = (
    "SELECT * FROM ledger.profiles",
    "SELECT * FROM ledger.member_keys",
    "SELECT code FROM ledger.voucher_codes",
    "SELECT * FROM ledger.promo_codes",
    "SELECT value FROM ledger.dead_letters",
    "SELECT key FROM ledger.dead_letters",
    "SELECT headers FROM ledger.dead_letters",
    "SELECT message FROM ledger.dead_letters",
    "SELECT * FROM ledger.command_outcomes",
)
CHANGES = (
    "UPDATE ledger.events SET hash = hash",
    "DELETE FROM ledger.events",
    "INSERT INTO ledger.events SELECT * FROM ledger.events",
    "TRUNCATE ledger.events",
    "UPDATE ledger.heads SET position = 0",
    "DELETE FROM ledger.inputs",
    "INSERT INTO ledger.inputs VALUES (0, 'x', 'x', 1)",
    "UPDATE read.balances SET available = 0",
    "DELETE FROM read.open_lots",
    "UPDATE ledger.ledger SET shards = 1",
    "CREATE TABLE ledger.mine (n integer)",
    "CREATE TABLE read.mine (n integer)",
    "SET ROLE points_app",
)


def test_an_auditor_verifies_and_changes_nothing(auditor: str) -> None:
    assert verify(auditor, jobs=1).ok
    with psycopg.connect(auditor, autocommit=True) as session:
        for query in SEEN:
            session.execute(query.encode())
        for query in (*HIDDEN, *CHANGES):
            with pytest.raises(InsufficientPrivilege):
                session.execute(query.encode())


def test_tables_of_later_versions_are_seen(url: str, owner: Owner, auditor: str) -> None:
    owner.execute("CREATE TABLE read.later (n integer)")
    with psycopg.connect(auditor, autocommit=True) as session:
        session.execute("SELECT * FROM read.later")
    owner.execute("DROP TABLE read.later")
