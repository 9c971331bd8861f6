"""docs/sql.md says what the database says: every view and function, its columns; its queries."""

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from psycopg import Connection, sql

from ledger.application import Ledger
from ledger.core.program.load import load_program
from ledger.create import create_ledger
from ledger.migrate import migrate
from ledger.received import received
from ledger.settings import load_settings
from projections.runner import Runner
from schemas.inputs import PurchaseCompleted, PurchaseData, PurchaseLine
from tests.docs.pages import blocks, items, page, sections

PAGE = page("sql.md")
SECTIONS = {name: text for name, text in sections(PAGE).items() if name.startswith("`read.")}

SQL_FILES = sorted((Path(__file__).parents[2] / "ledger" / "migrations" / "versions").glob("*.sql"))

PROGRAM = """
program: sql-examples
currency: RUB
time_zone: UTC
effective_from: 2025-01-01T00:00:00Z
point_value: 1
activation: immediately
expiry: {after: P20D}
earn:
  - {id: base, award: {rate: {points: 1, per_amount: 100}}}
tiers:
  qualify_by: {amount_spent: {window: lifetime}}
  levels: [{id: gold, at_least: 100000}]
"""

SIGNATURES = """
SELECT 'read.' || p.proname || '(' || pg_get_function_arguments(p.oid) || ')'
FROM pg_proc p WHERE p.pronamespace = 'read'::regnamespace
"""

GIVEN = {
    "text": "'m-1'",
    "timestamptz": "now()",
    "integer": "90",
    "read.kpi_grain": "'day'",
    "read.kpi_by": "'all'",
}
"""An argument of each type."""

VIEWS = "SELECT 'read.' || table_name FROM information_schema.views WHERE table_schema = 'read'"


def bought(order_id: str, at: datetime, amount: int) -> PurchaseCompleted:
    line = PurchaseLine("1", "article", amount, Decimal(1))
    return PurchaseCompleted(
        specversion="1.0",
        id=order_id,
        source="/till",
        time=at,
        subject="m-1",
        data=PurchaseData(order_id, "store", "store", "RUB", (line,)),
    )


async def record(url: str, *events: PurchaseCompleted) -> None:
    ledger = await Ledger.open(load_settings({"POINTS_DATABASE_URL": url}))
    try:
        for event in events:
            (outcome,) = await ledger.handle([received(event)])
            assert outcome.kind == "applied"
    finally:
        await ledger.close()


@pytest.fixture(scope="module")
def reader(database: str) -> Iterator[Connection]:
    """A reader of read models that hold one member with two purchases."""
    migrate(database)
    create_ledger(database, load_program(PROGRAM, "program.yaml"), load_settings({}).shards)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    old = bought("o-1", datetime(2025, 1, 10, tzinfo=UTC), 45_000)
    asyncio.run(record(database, old, bought("o-2", yesterday, 50_000)))
    Runner(database).run(until_caught_up=True)
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET ROLE points_reader")
        yield connection


def test_the_page_names_what_the_migration_makes() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in SQL_FILES)
    made = re.findall(r"^CREATE (?:VIEW|FUNCTION) (read\.\w+)", text, re.MULTILINE)
    assert sorted(name.strip("`").partition("(")[0] for name in SECTIONS) == sorted(made)


def test_every_view_and_function_has_its_section(reader: Connection) -> None:
    functions = {
        row[0].replace("timestamp with time zone", "timestamptz")
        for row in reader.execute(SIGNATURES)
    }
    views = {row[0] for row in reader.execute(VIEWS)}
    assert {name.strip("`") for name in SECTIONS} == functions | views


@pytest.mark.parametrize("heading", sorted(SECTIONS))
def test_the_columns(reader: Connection, heading: str) -> None:
    name, is_function, arguments = heading.strip("`").partition("(")
    kinds_given = re.findall(r"\w+ ([\w.]+)", arguments)
    given = ", ".join(GIVEN[kind] for kind in kinds_given)
    called = f"{name}({given})" if is_function else name
    cursor = reader.execute(f"SELECT * FROM {called}".encode())
    assert cursor.description is not None
    kinds = reader.execute(
        sql.SQL("SELECT {}").format(
            sql.SQL(", ").join(
                sql.SQL("format_type({}, NULL)").format(column.type_code)
                for column in cursor.description
            )
        )
    ).fetchone()
    assert kinds is not None
    columns = [
        (column.name, kind.replace("timestamp with time zone", "timestamptz"))
        for column, kind in zip(cursor.description, kinds, strict=True)
    ]
    assert [(item.name, item.kind) for item in items(SECTIONS[heading]).values()] == columns


EXPECTED = (("m-1", 450, 0, "none"), ("m-1", 500), ("m-1", "none", "gold", 5_000))
"""How the one row of each example begins."""


@pytest.mark.parametrize("number", range(len(EXPECTED)))
def test_an_example_finds_the_member(reader: Connection, number: int) -> None:
    queries = blocks(PAGE, "sql")
    assert len(queries) == len(EXPECTED)
    (row,) = reader.execute(queries[number].encode()).fetchall()
    assert row[: len(EXPECTED[number])] == EXPECTED[number]
