"""docs/architecture.md: the logins that it names can do their work, and cannot touch the log."""

import asyncio
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege

from ledger.application import Ledger
from ledger.core.program.load import load_program
from ledger.create import create_ledger
from ledger.migrate import migrate
from ledger.received import received
from ledger.settings import load_settings
from projections.runner import Runner
from schemas.decode import decode_record
from tests.docs.codes import ROOT
from tests.docs.pages import blocks, page

(LOGINS,) = blocks(page("architecture.md"), "sql")

PASSWORD = "…"

EVENT = (ROOT / "demo" / "first-steps.jsonl").read_bytes().splitlines()[0]


@pytest.fixture(scope="module")
def logins(database: str) -> Iterator[str]:
    """A ledger, and the logins as the page makes them."""
    migrate(database)
    program = (ROOT / "demo" / "program.yaml").read_text(encoding="utf-8")
    create_ledger(database, load_program(program, "program.yaml"), load_settings({}).shards)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(LOGINS.encode())
        try:
            yield database
        finally:
            for name in ("points_worker", "analyst", "auditor"):
                owner.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


def place(url: str) -> str:
    """Host and port."""
    return urlsplit(url).netloc.rpartition("@")[2]


async def apply_one(url: str) -> None:
    ledger = await Ledger.open(load_settings({"POINTS_DATABASE_URL": url}))
    try:
        (outcome,) = await ledger.handle([received(decode_record(EVENT))])
        assert outcome.kind == "applied"
    finally:
        await ledger.close()


def test_a_worker_appends_and_folds_and_cannot_change_the_log(logins: str) -> None:
    address = urlsplit(logins)._replace(netloc=f"points_worker:{quote(PASSWORD)}@{place(logins)}")
    url = address.geturl()
    asyncio.run(apply_one(url))
    Runner(url).run(until_caught_up=True)
    with psycopg.connect(url, autocommit=True) as worker:
        for change in ("UPDATE ledger.events SET hash = hash", "DELETE FROM ledger.events"):
            with pytest.raises(InsufficientPrivilege):
                worker.execute(change.encode())


def test_an_analyst_reads_the_read_models_and_nothing_else(logins: str) -> None:
    url = make_conninfo(logins, user="analyst", password=PASSWORD)
    with psycopg.connect(url, autocommit=True) as analyst:
        analyst.execute("SELECT * FROM read.balances_now")
        with pytest.raises(InsufficientPrivilege):
            analyst.execute("SELECT * FROM ledger.events")


def test_an_auditor_reads_the_log_and_changes_nothing(logins: str) -> None:
    url = make_conninfo(logins, user="auditor", password=PASSWORD)
    with psycopg.connect(url, autocommit=True) as auditor:
        auditor.execute("SELECT * FROM ledger.events")
        auditor.execute("SELECT * FROM read.balances_now")
        for refused in ("SELECT * FROM ledger.profiles", "UPDATE ledger.events SET hash = hash"):
            with pytest.raises(InsufficientPrivilege):
                auditor.execute(refused.encode())
